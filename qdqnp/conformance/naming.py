"""Names of cases: operator, shapes, types, attributes, parameters and stimulus, in this order, as TOSA's tests have it.

qlinearconv_1x2x6x5_w3x2x3x3_u8xi8_pads1111_strides21_third_qdq_ties-1
"""

from __future__ import annotations

import re
from typing import Any

from qdqnp.conformance.layer import LayerCase

_SHORT = {"uint8": "u8", "int8": "i8", "int32": "i32", "int64": "i64", "float32": "f32", "bool": "b"}
#: Attributes that the shapes say already.
_SAID = ("kernel_shape", "channels_last")


def name_of(layer: LayerCase, form: str, stimulus: str) -> str:
    """Return the name of a case, in lower case: letters, digits, '_', '-' and '.' only."""
    operands = [name for name in ("x", "w") if name in layer.arrays]
    shapes = ["x".join(map(str, layer.arrays[name].shape)) for name in operands]
    types = "x".join(_SHORT[str(layer.arrays[name].dtype)] for name in operands)
    parts = [
        layer.op.lower(),
        shapes[0],
        *(f"w{shape}" for shape in shapes[1:]),
        types if str(layer.dtype) == str(layer.arrays["x"].dtype) else f"{types}-{_SHORT[str(layer.dtype)]}",
        *(f"{key}{_value(value)}" for key, value in sorted(layer.attributes.items()) if key not in _SAID),
        *(["k" + _value(layer.attributes["kernel_shape"])] if "w" not in layer.arrays and _pools(layer) else []),
        layer.note,
        "b" if "b" in layer.arrays else "",
        form,
        stimulus.replace(" ", "-"),
    ]
    return re.sub(r"[^a-z0-9_.-]", "", "_".join(part for part in parts if part).lower())


def _pools(layer: LayerCase) -> bool:
    return "kernel_shape" in layer.attributes


def _value(value: Any) -> str:
    if isinstance(value, tuple | list):
        return "".join(map(str, value)) if all(0 <= item < 10 for item in value) else "-".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
