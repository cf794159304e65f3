"""How a golden set is stored: what `golden` and `stimulate` have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from qdqnp.api.arguments import Texts, listed
from qdqnp.errors import InputError, Problems


class StorageOptions(TypedDict, total=False):
    """Arguments of `golden` and `stimulate`; what is left out is as in qdqnp.golden_sets.Options."""

    #: Stored order of the axes of activations: 'NCHW' or 'NHWC'.
    activations: str | None
    #: Stored order of the axes of weights: 'OIHW', 'OHWI' or 'HWIO'.
    weights: str | None
    #: Stored order of the axes of depthwise weights.
    depthwise: str | None
    #: Whether to add the numbers that CMSIS-NN's kernels take.
    cmsis_nn: bool
    #: Bits of a word in hex files.
    hex_width: int
    #: Whether the first element of a word is its lowest ('little') or highest lane ('big').
    hex_lanes: str
    #: Alignment of C arrays in bytes; 0 for the compiler's.
    align: int
    #: Section attribute of C arrays.
    section: str
    #: What names in C start with.
    prefix: str
    #: Frameworks for which format 'c' has a test program.
    skeleton: Texts
    #: The most bytes of arrays in C; 0 for no limit.
    limit_flash: int
    #: The most bytes that all files together may have.
    limit_bytes: int
    #: Whether to leave the model itself out of the set.
    no_model: bool


_FIELDS = {"align": "alignment", "skeleton": "skeletons"}


def fields_of(storage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of qdqnp.golden_sets.Options that are given. Raises InputError for other names."""
    problems = Problems()
    known = StorageOptions.__annotations__
    for name in storage:
        if name not in known:
            problems.add(f"argument '{name}'", f"one of {', '.join(known)}", "another name")
    problems.raise_if_any("the golden set cannot be stored so", InputError)
    found = {_FIELDS.get(name, name): value for name, value in storage.items() if value is not None}
    if "skeletons" in found:
        found["skeletons"] = listed(found["skeletons"])
    if "no_model" in found:
        found["store_model"] = not found.pop("no_model")
    return found
