"""The reference of a comparison, made from a golden set: its model, run again under its profile on its inputs."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from qdqnp.diagnosis.dumps.storage import DTYPES, Storage, layout_name
from qdqnp.diagnosis.remembered import Remembered
from qdqnp.diagnosis.replay import Reference
from qdqnp.diagnosis.targets import DumpTarget
from qdqnp.element_types import from_plain, plain
from qdqnp.errors import InputError, Problem, Problems, ProfileError
from qdqnp.golden_sets import GoldenSet, read
from qdqnp.golden_sets.formats import readers
from qdqnp.golden_sets.tensor import GoldenTensor
from qdqnp.golden_sets.writers.raw import as_bytes
from qdqnp.model import Model, load
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profile_toml import from_document, profile_from
from qdqnp.numerics.profile_writer import to_document
from qdqnp.numerics.profiles import PROFILES
from qdqnp.ops.operator import Operator
from qdqnp.quant import Array

#: Fields of a profile that sets of older releases do not state; what they hold was refused when those were made.
LATER = ("resize",)

# The roles of the tensors themselves; those of other roles belong to a layer.
TENSORS = ("output", "network_output", "network_input", "input")


def reference_from(
    path: Path,
    profile: str | Profile | None = None,
    first: int = 0,
    host_float: bool = False,
    operators: Iterable[type | Operator] = (),
) -> Reference:
    """Open a golden set and run its model on every input that it has.

        path: the golden set.
        profile: a profile to use in place of the set's.
        first: the case of the set that the comparison begins with.
        host_float: whether what the profile does not define runs in float32; it does where it did for the set.
        operators: classes of operators that qdqnp does not have, as `qdqnp.load` takes them.

    Raises GoldenError for a damaged set; InputError for a set without its model, for a case that it does not have, and
    where this version computes other values than the set holds.
    """
    golden = read(path)
    data = golden.model()
    if data is None:
        problem = Problem(
            f"golden set {path}",
            "its model",
            "none",
            "Write the set with its model: layers are replayed from the device's tensors.",
        )
        raise InputError("the golden set has no model", [problem])
    if first >= golden.inputs:
        raise InputError("the golden set has fewer inputs", [Problem("--case", f"below {golden.inputs}", str(first))])
    chosen = profile_of(golden, profile)
    chosen = replace(chosen, host_float=True) if host_float else chosen
    model = load(data, operators=operators)
    reference = Reference(model, chosen, inputs_of(golden, model))
    name_as_in(golden, reference)
    if _made_by(golden, chosen):
        _check(golden, reference)
    return reference


def inputs_of(golden: GoldenSet, model: Model) -> Sequence[dict[str, Array]]:
    """Return all inputs of a set, by name, in the model's element types, some of which a set cannot name; each is read
    when it is needed.

    Raises GoldenError for a damaged set.
    """
    tensors = model.program().tensors

    def inputs(case: int) -> dict[str, Array]:
        feeds = golden.feeds(case)
        return {n: from_plain(array, tensors[n].dtype) if n in tensors else array for n, array in feeds.items()}

    return Remembered(golden.inputs, inputs)


def profile_of(golden: GoldenSet, given: str | Profile | None = None) -> Profile:
    """Return the profile that made a set, which the set itself states, or another profile that is given.

    Raises InputError where the set's profile cannot be made from what it states, and ProfileError where the given
    profile cannot be loaded.
    """
    if given is not None:
        return profile_from(given) if isinstance(given, str) else given
    named = PROFILES.get(golden.profile)
    if named is not None and not _made_by(golden, named):
        named = replace(named, host_float=True)
    if named is not None and _made_by(golden, named):
        return named
    where, hint = (
        f"profile '{golden.profile}' of the golden set",
        "Give the file that it came from: --profile FILE.toml",
    )
    try:
        own = from_document(golden.manifest["profile"]["parameters"], where)
    except ProfileError as error:
        problems = [Problem(f"{where}, {p.where}", p.expected, p.got, hint) for p in error.problems]
        raise InputError("the golden set's profile is not one of qdqnp's", problems) from error
    if not _made_by(golden, own):
        problem = Problem(where, "a profile with the same parameters", "another", hint)
        raise InputError("the golden set's profile is not one of qdqnp's", [problem])
    return own


def _made_by(golden: GoldenSet, profile: Profile) -> bool:
    stated, document = golden.manifest["profile"]["parameters"], to_document(profile)
    return bool(stated == {name: value for name, value in document.items() if name in stated or name not in LATER})


def name_as_in(golden: GoldenSet, reference: Reference) -> None:
    """Say of the targets what the set's files call them, and how these store them: a device may do likewise."""
    known: dict[str, list[GoldenTensor]] = {}
    for tensor in golden.tensors:
        if tensor.role in TENSORS and tensor.name in reference.target:
            known.setdefault(tensor.name, []).append(tensor)
    reference.targets = [_as_stored(target, known.get(target.name, ())) for target in reference.targets]
    reference.target = {target.name: target for target in reference.targets}
    reference.held = frozenset(known)
    reference.golden = golden


def _as_stored(target: DumpTarget, tensors: Sequence[GoldenTensor]) -> DumpTarget:
    """Return a target with its names in the set, and the form of the first of them."""
    if not tensors:
        return target
    layout = layout_name(tensors[0].axes) if tensors[0].axes else None
    stored = Storage(layout, tensors[0].dtype if tensors[0].dtype in DTYPES else None)
    names = dict.fromkeys(name for tensor in tensors for name in tensor.called)
    return replace(target, aliases=tuple(names), stored=stored)


def _check(golden: GoldenSet, reference: Reference) -> None:
    """Raise InputError unless the model gives every output that the set holds: otherwise the set or the model is not
    what it claims."""
    problems = Problems()
    left = [tensor for tensor in golden.tensors if tensor.role in ("output", "network_output")]
    for case, values in enumerate(reference.cases):
        for tensor in [tensor for tensor in left if tensor.name in values]:
            if not _holds(golden, tensor, case, plain(values[tensor.name])):
                where, hint = f"tensor '{tensor.name}', input {case}", "Write the set again with this version."
                problems.add(where, "the golden set's values", "others", hint)
                left = [other for other in left if other is not tensor]
    problems.raise_if_any("the model gives other values than its golden set", InputError)


def _holds(golden: GoldenSet, tensor: GoldenTensor, case: int, found: Array) -> bool:
    """Tell whether the set holds these values; of a set in formats that Python does not read back, their checksum."""
    if any(kind in tensor.files for kind in readers()):
        return _equal(golden.array(tensor, case), found)
    stored = tensor.order.stored(found)
    return f"{zlib.crc32(as_bytes(stored)):08x}" == tensor.crc32[case if tensor.varies else 0]


def _equal(golden: Array, found: Array) -> bool:
    """Tell whether the values are the same; a NaN is the same as another."""
    return np.array_equal(golden, found, equal_nan=golden.dtype.kind == found.dtype.kind == "f")
