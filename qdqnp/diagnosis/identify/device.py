"""Open a golden set together with a device's dump: the model, and what the device answered to each input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from qdqnp import golden_sets
from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.dump import Dump
from qdqnp.diagnosis.dumps.golden_dump import open_dump
from qdqnp.diagnosis.identify.observations import REFERENCE, Observed
from qdqnp.diagnosis.pairing import Mapped
from qdqnp.diagnosis.reference import inputs_of, name_as_in
from qdqnp.diagnosis.replay import Device, Reference
from qdqnp.errors import InputError, Problem
from qdqnp.model import Model, load
from qdqnp.ops.operator import Operator
from qdqnp.reader.proto import Source


def open_device(
    golden_set: Path,
    dump: Path | Dump,
    model: Source | None = None,
    mapping: Mapping[str, Mapped] | None = None,
    first: int = 0,
    operators: Iterable[type | Operator] = (),
) -> tuple[Model, list[Observed]]:
    """Return the model of a golden set, and each run of the dump with the network inputs that it was given.

        golden_set: the set whose inputs the device ran.
        dump: the device's answers.
        model: the model's file, for a set that was written without it.
        mapping: which entry of the dump is which tensor, see `read_mapping`.
        first: the set's input that the dump begins with.
        operators: classes of operators that qdqnp does not have, as `qdqnp.load` takes them.

    Raises GoldenError and InputError for what does not fit.
    """
    found = golden_sets.read(golden_set)
    loaded = load(model if model is not None else _stored(found), operators=operators)
    feeds = inputs_of(found, loaded)
    reference = Reference(loaded, REFERENCE, feeds)
    name_as_in(found, reference)
    values = reference.cases[first:]
    device = Device(reference, align(open_dump(dump), reference.targets, len(feeds), mapping, values=values), first)
    runs = []
    for case in range(device.count):
        found_here, holders = device.values(case), device.holders()
        tensors = {name: found_here[name] for name in holders if name not in reference.plan.program.inputs}
        runs.append(Observed(feeds[first + case], tensors))
    return loaded, runs


def _stored(found: golden_sets.GoldenSet) -> bytes:
    data = found.model()
    if data is None:
        problem = Problem("golden set", "a stored model", "none", "Pass the model's file with --model.")
        raise InputError("the golden set was written without its model", [problem])
    return data
