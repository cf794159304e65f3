"""The reference of a comparison, made from a golden set: its model, run again under its profile on its inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from qdqnp.diagnosis.replay import Reference
from qdqnp.element_types import from_plain, plain
from qdqnp.errors import InputError, Problem, Problems
from qdqnp.golden import GoldenSet, read
from qdqnp.model import Model, load
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profile_toml import profile_from
from qdqnp.numerics.profile_writer import to_document
from qdqnp.numerics.profiles import PROFILES
from qdqnp.quant import Array

#: Fields of a profile that sets of older releases do not state; what they hold was refused when those were made.
LATER = ("resize",)


def reference_from(path: Path, profile: str | None = None, first: int = 0, host_float: bool = False) -> Reference:
    """Open a golden set and run its model on every input that it has.

        path: the golden set.
        profile: a profile to use in place of the set's.
        first: the case of the set that the comparison begins with.
        host_float: whether what the profile does not define runs in float32; it does where it did for the set.

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
    model = load(data)
    reference = Reference(model, chosen, inputs_of(golden, model))
    _name_as_in(golden, reference)
    if _made_by(golden, chosen):
        _check(golden, reference)
    return reference


def inputs_of(golden: GoldenSet, model: Model) -> list[dict[str, Array]]:
    """Return all inputs of a set, by name, in the model's element types, some of which a set cannot name.

    Raises GoldenError for a damaged set.
    """
    tensors = model.program().tensors
    sets = [golden.feeds(case) for case in range(golden.inputs)]
    return [
        {name: from_plain(array, tensors[name].dtype) if name in tensors else array for name, array in feeds.items()}
        for feeds in sets
    ]


def profile_of(golden: GoldenSet, given: str | None = None) -> Profile:
    """Return the profile that made a set, or another profile that is given. Raises InputError where the set's profile
    is not a named profile with the same parameters, and ProfileError where the given profile cannot be loaded."""
    if given is not None:
        return profile_from(given)
    named = PROFILES.get(golden.profile)
    if named is not None and not _made_by(golden, named):
        named = replace(named, host_float=True)
    if named is None or not _made_by(golden, named):
        problem = Problem(
            f"profile '{golden.profile}' of the golden set",
            "a named profile with the same parameters",
            "another",
            "Give the file that it came from: --profile FILE.toml",
        )
        raise InputError("the golden set's profile is not one of qdqnp's", [problem])
    return named


def _made_by(golden: GoldenSet, profile: Profile) -> bool:
    stated, document = golden.manifest["profile"]["parameters"], to_document(profile)
    return bool(stated == {name: value for name, value in document.items() if name in stated or name not in LATER})


def _name_as_in(golden: GoldenSet, reference: Reference) -> None:
    """Give the targets the names of the set's files as aliases: a device may use them."""
    keys = {t.name: t.key for t in golden.tensors if t.role in ("output", "network_input")}
    reference.asides = frozenset(t.key for t in golden.tensors) - set(keys.values())
    reference.targets = [replace(target, alias=keys.get(target.name, "")) for target in reference.targets]
    reference.target = {target.name: target for target in reference.targets}


def _check(golden: GoldenSet, reference: Reference) -> None:
    """Raise InputError unless the model gives every output that the set holds: otherwise the set or the model is not
    what it claims."""
    problems = Problems()
    for tensor in golden.tensors:
        if tensor.role not in ("output", "network_output"):
            continue
        for case, values in enumerate(reference.cases):
            if tensor.name in values and not _equal(golden.array(tensor, case), plain(values[tensor.name])):
                problems.add(
                    f"tensor '{tensor.name}', input {case}",
                    "the golden set's values",
                    "others",
                    "Write the set again with this version.",
                )
                break
    problems.raise_if_any("the model gives other values than its golden set", InputError)


def _equal(golden: Array, found: Array) -> bool:
    """Tell whether the values are the same; a NaN is the same as another."""
    return np.array_equal(golden, found, equal_nan=golden.dtype.kind == found.dtype.kind == "f")
