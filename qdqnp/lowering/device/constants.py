"""Float constants beside codes become codes: a converter quantizes the constant operand of an Add, Sub or Mul itself.

tensorflow/tensorflow, compiler/mlir/quantization/common (GetUniformQuantizedTypeForWeight, not narrow) and LLVM,
mlir/lib/Dialect/Quant (getNudgedScaleAndZeroPoint, quantizeF32ToInt8). What another device's compiler does is inferred.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from qdqnp.graph import ONNX, Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import DEQUANTIZE, is_dq, is_op, is_q, per_tensor
from qdqnp.quant import EIGHT_BIT, SIXTEEN_BIT, Array, code_range


def constants(graph: Graph, log: Log) -> Graph:
    """Quantize the float constant beside the codes of an Add, Sub or Mul that a Q follows, in the type of the codes."""
    edit = Edit(graph)
    for node in edit.nodes():
        q = edit.only_user(node) if is_op(node, "Add", "Sub", "Mul") else None
        if q is None or not is_q(q):
            continue
        sides = [edit.producer(node.input(at)) for at in (0, 1)]
        given = [edit.constant(node.input(at)) for at in (0, 1)]
        for at, side, const in zip((1, 0), sides, reversed(given), strict=True):
            if side is None or not is_dq(side) or not per_tensor(edit, side) or const is None:
                continue
            kind = edit.dtype(side.input(0))
            fine = const.dtype == np.float32 and const.size and bool(np.isfinite(const).all())
            if fine and kind in (*EIGHT_BIT, SIXTEEN_BIT[0]):
                _quantize(edit, node, at, const, kind)
    return edit.done()


def _quantize(edit: Edit, node: Node, at: int, const: Array, kind: np.dtype[Any]) -> None:
    codes, scale, zero = quantized_constant(const, kind)
    name = node.input(at)
    inputs = tuple(
        edit.add_constant(f"{name}_{what}", array)
        for what, array in (("codes", codes), ("scale", scale), ("zero_point", zero))
    )
    made = Node(DEQUANTIZE, ONNX, inputs, (edit.fresh(f"{name}_real", edit.values[name]),), {}, origin=node.origins)
    edit.insert(made, node)
    edit.rewire(node, at, made.outputs[0])


def quantized_constant(values: Array, kind: np.dtype[Any]) -> tuple[Array, Array, Array]:
    """Return the codes, the scale and the zero point that TFLite's converter gives to a float32 constant.

    The range is that of the values and zero, in 8 bits; of int16 codes it is symmetric. Halves go away from zero.
    """
    low, high = code_range(kind)
    least, most = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if kind in SIXTEEN_BIT:
        most = max(-least, most)
        low, least = -high, -most
    scale = max((most - least) / (high - low), float(np.finfo(np.float32).tiny))
    if most == least:  # zeros only
        scale, zero = 1.0, 0 if kind in SIXTEEN_BIT else low
    else:
        zero = 0 if kind in SIXTEEN_BIT else nudged_zero_point(least, most, scale, low, high)
    exact = values.astype(np.float64) / scale + zero
    codes = np.clip(np.copysign(np.floor(np.abs(exact) + 0.5), exact), low, high)
    return codes.astype(kind), np.asarray(scale, np.float32), np.asarray(zero, kind)


def nudged_zero_point(least: float, most: float, scale: float, low: int, high: int) -> int:
    """Return the code of zero, computed from the end of the range that has the smaller error."""
    ends = [(abs(code) + abs(real / scale), code - real / scale) for real, code in ((least, low), (most, high))]
    exact = ends[0][1] if ends[0][0] < ends[1][0] else ends[1][1]
    rounded = math.copysign(math.floor(abs(exact) + 0.5), exact)
    return int(min(max(rounded, low), high))
