"""Write values and names as C99. Everything that comes from a model file is checked here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qdqnp.errors import GoldenError, Problem
from qdqnp.files.regular import packaged
from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.layouts import PLAIN
from qdqnp.golden_sets.tensor import Document, GoldenTensor
from qdqnp.quant import Array

# (C type, name of the type in qdqnp_check.h)
TYPES: dict[str, tuple[str, str]] = {
    "int8": ("int8_t", "QDQNP_INT8"),
    "uint8": ("uint8_t", "QDQNP_UINT8"),
    "bool": ("uint8_t", "QDQNP_UINT8"),
    "int16": ("int16_t", "QDQNP_INT16"),
    "uint16": ("uint16_t", "QDQNP_UINT16"),
    "int32": ("int32_t", "QDQNP_INT32"),
    "int64": ("int64_t", "QDQNP_INT64"),
    "float32": ("float", "QDQNP_FLOAT32"),
    "float64": ("double", "QDQNP_FLOAT64"),
}
PER_LINE = {"int8": 20, "uint8": 20, "bool": 20, "int16": 14, "uint16": 14}
# Attributes that hold one number for each side of a window, with the names of the sides.
SIDES = {
    "kernel_shape": ("KERNEL_H", "KERNEL_W"),
    "strides": ("STRIDE_H", "STRIDE_W"),
    "dilations": ("DILATION_H", "DILATION_W"),
    "pads": ("PAD_TOP", "PAD_LEFT", "PAD_BOTTOM", "PAD_RIGHT"),
}


#: Around declarations, so that a C++ program finds what a C compiler made.
CPLUSPLUS_START = '#ifdef __cplusplus\nextern "C" {\n#endif\n'
CPLUSPLUS_END = "\n#ifdef __cplusplus\n}\n#endif\n"


def shipped(name: str, prefix: str = "golden") -> str:
    """Return the text of a C file that comes with qdqnp, with the names of a set that has this prefix."""
    text = packaged("qdqnp.golden_sets", "c", name).decode("utf-8")
    return text.replace("@PREFIX@", prefix).replace("@MACRO@", prefix.upper())


def c_type(entry: Entry) -> tuple[str, str]:
    """Return the C type and its name in qdqnp_check.h. Raises GoldenError for element types that C99 does not have."""
    if str(entry.tensor.dtype) not in TYPES:
        problem = Problem(f"tensor '{entry.tensor.key}'", f"one of {', '.join(TYPES)}", str(entry.tensor.dtype))
        raise GoldenError("C has no such type", [problem])
    return TYPES[str(entry.tensor.dtype)]


def values(stored: Array, where: str) -> str:
    """Return the lines of an initializer, each value followed by a comma. Raises GoldenError for infinities and NaN."""
    flat = stored.reshape(-1)
    if flat.dtype.kind == "f":
        double = flat.dtype == np.float64
        texts = [real(item, where, double) + ("" if double else "f") for item in flat.tolist()]
    else:
        texts = [integer(item) for item in flat.astype(np.int64).tolist()]
    width = PER_LINE.get(str(stored.dtype), 8)
    return "".join(f"    {', '.join(texts[at : at + width])},\n" for at in range(0, len(texts), width))


def integer(value: int) -> str:
    """Return a literal of the value's own type. The lowest value's magnitude does not have one, so it is written as a
    difference; wide literals get a suffix."""
    if value == -(2**63):
        return "(-INT64_C(9223372036854775807) - 1)"
    if abs(value) > 2**31 - 1 and value != -(2**31):
        return f"INT64_C({value})" if value >= 0 else f"-INT64_C({-value})"
    return "(-2147483647 - 1)" if value == -(2**31) else str(value)


def real(value: float, where: str, double: bool = False) -> str:
    """Return the shortest decimal literal that is the exact value again, as float32 unless `double`. C++ has none that
    are hexadecimal before C++17."""
    with np.errstate(over="ignore"):
        single = np.float32(value)
    if not np.isfinite(value if double else single):
        problem = Problem(where, "finite numbers", str(value), "C99 has no literal for them; use another format.")
        raise GoldenError("C has no such number", [problem])
    text = repr(float(value)) if double else np.format_float_scientific(single, trim="0")
    return text if "." in text else text.replace("e", ".0e")


def define(name: str, value: Any, where: str) -> str:
    """Return a macro of one number; negative numbers are in brackets."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(type(value).__name__)
    text = integer(value) if isinstance(value, int) else f"{real(value, where)}f"
    return f"#define {name} {f'({text})' if text.startswith('-') else text}\n"


def attribute_macros(prefix: str, layer: Document) -> str:
    """Return the layer's attributes as macros. Texts, and lists without a name for each place, are left to the
    manifest."""
    lines = ""
    for name, value in layer["attributes"].items():
        if name in SIDES and len(value) == len(SIDES[name]):
            parts = zip(SIDES[name], value, strict=True)
            lines += "".join(define(f"{prefix}_{side}", number, name) for side, number in parts)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and np.isfinite(value):
            lines += define(f"{prefix}_{name.upper().lstrip('_')}", value, name)
    return lines


def tensor_macros(tensor: GoldenTensor, name: str) -> str:
    """Return macros for the size, the sizes along the stored axes, scale and zero point.

    name: what they start with.
    """
    lines = f"#define {name}_SIZE {math.prod(tensor.shape)}\n"
    shape = tensor.stored_shape
    letters = "" if tensor.layout == PLAIN.name else tensor.layout
    if letters:
        lines += "".join(
            f"#define {name}_{letter} {size}\n" for letter, size in zip(letters, shape, strict=True) if letter != "1"
        )
    else:
        lines += "".join(f"#define {name}_DIM{axis} {size}\n" for axis, size in enumerate(shape))
    if isinstance(tensor.scale, float):  # per tensor
        lines += define(f"{name}_SCALE", tensor.scale, tensor.key)
        lines += define(f"{name}_ZERO_POINT", tensor.zero_point, tensor.key)
    return lines
