"""Storage: what the command line, a mapping file or a manifest says of how a tensor is stored in a dump."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from qdqnp.errors import Problems

#: Element types that a dump may have.
DTYPES = (
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *("float16", "float32", "float64", "bool"),
)
#: What the elements stand for.
CODES, REAL = "codes", "real"
#: The letters of axes, in ONNX's order.
LETTERS = "NCDHW"


@dataclass(frozen=True)
class Storage:
    """How a tensor is stored. What is None is not said."""

    #: The stored order of the axes, a permutation of NCHW in capitals; axes that a tensor does not have are left out.
    layout: str | None = None
    #: Name of the element type, one of DTYPES.
    dtype: str | None = None
    #: What the device adds to each code.
    offset: int | None = None
    #: CODES or REAL.
    values: str | None = None

    def over(self, other: Storage) -> Storage:
        """Return what this form says, and what the other says of the rest."""
        return replace(other, **{key: value for key, value in asdict(self).items() if value is not None})


def form_from(document: Mapping[str, Any], where: str, problems: Problems) -> Storage:
    """Return the form that the entries 'layout', 'dtype', 'offset' and 'values' of a document say; others are left
    alone."""
    found: dict[str, Any] = {}
    for field in fields(Storage):
        value = document.get(field.name)
        if value is None:
            continue
        if field.name == "layout" and isinstance(value, str):
            value = layout_from(value)
        if not _GOOD[field.name](value):
            problems.add(f"{where}, {field.name}", _EXPECTED[field.name], repr(document[field.name]))
        else:
            found[field.name] = value
    return Storage(**found)


_GOOD: Mapping[str, Callable[[Any], bool]] = {
    "layout": lambda value: isinstance(value, str) and value != "",
    "dtype": lambda value: value in DTYPES,
    "offset": lambda value: isinstance(value, int) and not isinstance(value, bool) and abs(value) <= 2**31,
    "values": lambda value: value in (CODES, REAL),
}
_EXPECTED = {
    "layout": "an order of the axes N, C, D, H, W, such as 'nhwc'",
    "dtype": f"one of {', '.join(DTYPES)}",
    "offset": "a whole number that the device adds to each code, such as 128",
    "values": f"'{CODES}' or '{REAL}'",
}


def layout_from(text: str) -> str:
    """Return an order of axes in capitals, N first where it is left out; '' for a text that is none.

    >>> layout_from("nhwc"), layout_from("HWC"), layout_from("nhwcc")
    ('NHWC', 'NHWC', '')
    """
    letters = text.upper()
    if "N" not in letters:
        letters = f"N{letters}"
    return letters if len(set(letters)) == len(letters) and set(letters) <= set(LETTERS) and "C" in letters else ""


def axes_of(layout: str, rank: int) -> tuple[int, ...]:
    """Return which axis of a tensor each stored axis is: stored axis i is axis axes[i]. Orders without D put it before
    H; tensors of one axis, and of more than five, are stored as they are.

    >>> axes_of("NHWC", 4), axes_of("NHWC", 3), axes_of("NHWC", 5), axes_of("NHWC", 2)
    ((0, 2, 3, 1), (0, 2, 1), (0, 2, 3, 4, 1), (0, 1))
    """
    names = {2: "NC", 3: "NCW", 4: "NCHW", 5: "NCDHW"}.get(rank)
    if names is None:
        return tuple(range(rank))
    full = layout if "D" in layout else layout.replace("H", "DH")
    listed = [letter for letter in full if letter in names]
    if len(listed) != rank:
        return tuple(range(rank))
    return tuple(names.index(letter) for letter in listed)


def layout_name(axes: tuple[int, ...]) -> str:
    """Return the letters of a stored order.

    >>> layout_name((0, 2, 3, 1)), layout_name((0, 1))
    ('NHWC', 'NC')
    """
    names = {2: "NC", 3: "NCW", 4: "NCHW", 5: "NCDHW"}.get(len(axes))
    return "ONNX" if names is None else "".join(names[axis] for axis in axes)


def dtype_of(form: Storage) -> np.dtype[Any] | None:
    """Return the element type that is said, None where none is."""
    return None if form.dtype is None else np.dtype(form.dtype)
