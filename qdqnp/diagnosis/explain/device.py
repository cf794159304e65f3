"""Where to begin with a device: the first wrong element of a dump, with what the device read to make it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import CompareOptions, compare
from qdqnp.diagnosis.compare.report import CompareReport
from qdqnp.diagnosis.dump import Dump
from qdqnp.diagnosis.dumps.golden_dump import open_dump
from qdqnp.diagnosis.dumps.storage import Storage
from qdqnp.diagnosis.pairing import Mapped
from qdqnp.diagnosis.replay import Device, Reference, expected
from qdqnp.diagnosis.tally import ordered
from qdqnp.errors import InputError, Problem
from qdqnp.find import find_step
from qdqnp.program import Program
from qdqnp.quant import Array


@dataclass(frozen=True, eq=False)
class WrongElement:
    """One element of a dump, and all that the device had in that case."""

    #: The name of the tensor.
    tensor: str
    #: Where it is in the tensor.
    index: tuple[int, ...]
    #: The case of the golden set.
    case: int
    #: The device's code; None for a real value.
    got: int | None
    #: The device's tensors, by name.
    dumped: dict[str, Array]


def wrong_element(
    reference: Reference,
    dump: Path | Dump,
    *,
    mapping: Mapping[str, Mapped] | None = None,
    form: Storage | None = None,
    first: int = 0,
    layer: str | None = None,
    index: tuple[int, ...] | None = None,
) -> WrongElement | None:
    """Return the first element that a layer of the device makes wrong from what it reads; None where there is none.

        reference: what the device should have made.
        dump: its tensors.
        mapping: which entry of the dump is which tensor, see `read_mapping`.
        form: what is said of how the dump is stored.
        first: the case of the golden set that is the dump's first one.
        layer: the layer that is meant; the first that errs by itself if None.
        index: the element that is meant; the first wrong one if None.

    Raises InputError where the layer was not dumped or the element is not there.
    """
    values = reference.cases[first:]
    aligned = align(open_dump(dump), reference.targets, len(values), mapping, form, values)
    device = Device(reference, aligned, first)
    name = _meant(device, layer) if layer is not None else _first(compare(reference, aligned, _QUICK, first))
    if name is None:
        return None
    tensor = device.tensors[name]
    for case in range(device.count):
        got = tensor.cases[case]
        want = expected(device, tensor.target, case, device.replays[case])
        wrong = ordered(got) != ordered(want)
        if index is not None or wrong.any():
            at = (
                index
                if index is not None
                else tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
            )
            if len(at) != got.ndim or not all(0 <= i < size for i, size in zip(at, got.shape, strict=True)):
                problem = Problem("index", f"{got.ndim} numbers within shape {list(got.shape)}", str(list(at)))
                raise InputError("no such element", [problem])
            makers: Program = reference.plan.program
            made = tensor.target.codes if tensor.target.codes in makers.makers else name
            code = int(got[at]) if got.dtype.kind in "iu" else None
            return WrongElement(made, at, first + case, code, device.values(case))
    return None


_QUICK = CompareOptions(diagnose=False)


def _first(report: CompareReport) -> str | None:
    return report.first.name if report.first is not None else None


def _meant(device: Device, layer: str) -> str:
    """Return the dumped tensor of a layer."""
    program = device.reference.plan.program
    names = [layer, *program.steps[find_step(program, layer)].output_names] if layer not in device.tensors else [layer]
    found = next((name for name in names if name in device.tensors), None)
    if found is None:
        raise InputError("the dump does not hold the layer", [Problem(f"layer '{layer}'", "its tensor", "none")])
    return found
