"""Float constants beside codes become codes: a converter quantizes the operand of an Add, Sub, Mul, Max or Min itself.

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
from qdqnp.lowering.qdq import DEQUANTIZE, is_dq, is_op, is_q, per_tensor, scalar
from qdqnp.quant import EIGHT_BIT, SIXTEEN_BIT, Array, code_range

#: Operators whose operands and result have one quantization in TFLite.
ALIKE = ("Max", "Min")


def constants(graph: Graph, log: Log) -> Graph:
    """Quantize the float constant beside the codes of an operator that a Q follows, in the type of the codes.

    Add, Sub and Mul get a constant with a range of its own, Max and Min one with the parameters of the codes.
    """
    edit = Edit(graph)
    for node in edit.nodes():
        q = edit.only_user(node) if is_op(node, "Add", "Sub", "Mul", *ALIKE) else None
        if q is None or not is_q(q) or len(node.inputs) != 2:
            continue
        sides = [edit.producer(node.input(at)) for at in (0, 1)]
        given = [edit.constant(node.input(at)) for at in (0, 1)]
        for at, side, const in zip((1, 0), sides, reversed(given), strict=True):
            if side is None or not is_dq(side) or not per_tensor(edit, side) or const is None:
                continue
            kind = edit.dtype(side.input(0))
            fine = const.dtype == np.float32 and const.size and bool(np.isfinite(const).all())
            if fine and kind in (*EIGHT_BIT, SIXTEEN_BIT[0]):
                made = _as_beside(edit, side, const) if node.op in ALIKE else quantized_constant(const, kind)
                _quantize(edit, node, at, made)
    return edit.done()


def _quantize(edit: Edit, node: Node, at: int, made: tuple[Array, Array, Array]) -> None:
    name = node.input(at)
    inputs = tuple(
        edit.add_constant(f"{name}_{what}", array)
        for what, array in zip(("codes", "scale", "zero_point"), made, strict=True)
    )
    dq = Node(DEQUANTIZE, ONNX, inputs, (edit.fresh(f"{name}_real", edit.values[name]),), {}, origin=node.origins)
    edit.insert(dq, node)
    edit.rewire(node, at, dq.outputs[0])


def _as_beside(edit: Edit, side: Node, const: Array) -> tuple[Array, Array, Array]:
    """Return the codes of a constant with the parameters of a DQ, halves away from zero, and these."""
    scale, kind = scalar(edit, side.input(1)), edit.values[side.input(0)].dtype
    zero = scalar(edit, side.input(2)) if side.input(2) else None
    assert scale is not None
    offset = np.zeros((), kind) if zero is None else zero.reshape(())
    return codes_of(const, float(scale.reshape(())), int(offset), kind), scale.reshape(()), offset


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
    return codes_of(values, scale, zero, kind), np.asarray(scale, np.float32), np.asarray(zero, kind)


def codes_of(values: Array, scale: float, zero: int, kind: np.dtype[Any]) -> Array:
    """Return the codes of real values, computed in float64, halves away from zero."""
    low, high = code_range(kind)
    with np.errstate(over="ignore"):
        exact = values.astype(np.float64) / scale + zero
    rounded: Array = np.clip(np.copysign(np.floor(np.abs(exact) + 0.5), exact), low, high).astype(kind)
    return rounded


def nudged_zero_point(least: float, most: float, scale: float, low: int, high: int) -> int:
    """Return the code of zero, computed from the end of the range that has the smaller error."""
    ends = [(abs(code) + abs(real / scale), code - real / scale) for real, code in ((least, low), (most, high))]
    exact = ends[0][1] if ends[0][0] < ends[1][0] else ends[1][1]
    rounded = math.copysign(math.floor(abs(exact) + 0.5), exact)
    return int(min(max(rounded, low), high))
