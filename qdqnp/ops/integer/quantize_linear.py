"""QuantizeLinear turns float32 into codes, per tensor or per axis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Operand, Step
from qdqnp.quant import Array, Quant

# The code types by TensorProto's numbers, which output_dtype uses; 0 stands for none.
CODES = {2: np.dtype(np.uint8), 3: np.dtype(np.int8), 4: np.dtype(np.uint16), 5: np.dtype(np.int16)}


@dataclass(frozen=True)
class QuantizeAttributes:
    axis: int = 1
    block_size: int = 0
    saturate: int = 1
    output_dtype: int = 0
    precision: int = 0


def aligned(quant: Quant, rank: int) -> Quant:
    """Return the same parameters, reshaped to broadcast over an array of that rank."""
    if quant.per_tensor or quant.axis is None:
        return quant
    shape = [-1 if axis == quant.axis else 1 for axis in range(rank)]
    zero = quant.zero_point.reshape(shape) if quant.zero_point.ndim else quant.zero_point
    return replace(quant, scale=quant.scale.reshape(shape), zero_point=zero)


def checked_quant(check: NodeCheck, axis: int, dtype: Any) -> Quant:
    """Return the Quant of a QuantizeLinear or DequantizeLinear node; its axis is checked and made non-negative."""
    quant = check.quant(1, 2, dtype, axis=axis)
    if quant.per_tensor:
        return quant
    if check.given(2) and quant.zero_point.size != quant.scale.size:
        check.refuse("input 2 (zero point)", f"{quant.scale.size} values, as many as scales", quant.zero_point.size)
    shape = check.value(0).shape
    if not -len(shape) <= axis < len(shape):
        check.refuse("attribute 'axis'", f"an axis of rank {len(shape)}", axis)
    size = shape[axis]
    if isinstance(size, int) and size != quant.scale.size:
        check.refuse("input 1 (scale)", f"{size} values, one per slice of axis {axis}", quant.scale.size)
    return replace(quant, axis=axis % len(shape))


class QuantizeLinear(Operator):
    op = "QuantizeLinear"
    only = "no blocks, float32 scales"
    arity = (2, 3)
    reads = ("convert",)
    Attributes = QuantizeAttributes

    def infer(self, check: NodeCheck, attributes: QuantizeAttributes) -> Inferred:
        check.dtype_in(0, (np.float32,), "x")
        quant = self._quant(check, attributes)
        return ((quant.dtype, check.value(0).shape),)

    def _quant(self, check: NodeCheck, attributes: QuantizeAttributes) -> Quant:
        if attributes.block_size:
            check.refuse("attribute 'block_size'", "0 (no blocks)", attributes.block_size)
        if attributes.precision not in (0, 1):
            check.refuse("attribute 'precision'", "float32", attributes.precision)
        if attributes.output_dtype not in (0, *CODES):
            check.refuse("attribute 'output_dtype'", "an 8- or 16-bit integer type", attributes.output_dtype)
        quant = checked_quant(check, attributes.axis, CODES.get(attributes.output_dtype))
        if quant.dtype not in CODES.values():
            check.refuse("input 2 (zero point)", "int8, uint8, int16 or uint16", quant.dtype)
        return quant

    def step(self, check: NodeCheck, attributes: QuantizeAttributes) -> Step:
        y = Operand(check.node.outputs[0], self._quant(check, attributes))
        return self.make_step(check, attributes, (Operand(check.node.inputs[0]),), (y,))

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return x[index]

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        return (binding.profile.convert.quantize(x, aligned(binding.step.y, x.ndim)),)


class MicrosoftQuantizeLinear(QuantizeLinear):
    """The contrib form, which ONNX Runtime's quantizer writes for 16-bit codes before opset 21."""

    domain = MICROSOFT
