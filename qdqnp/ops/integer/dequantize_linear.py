"""DequantizeLinear turns codes into float32, per tensor or per axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.integer.quantize_linear import CODES, aligned, checked_quant
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Operand, Step
from qdqnp.quant import Array, Quant


@dataclass(frozen=True)
class DequantizeAttributes:
    axis: int = 1
    block_size: int = 0
    output_dtype: int = 0


class DequantizeLinear(Operator):
    op = "DequantizeLinear"
    only = "no blocks, float32 scales"
    arity = (2, 3)
    reads = ("convert",)
    Attributes = DequantizeAttributes

    def infer(self, check: NodeCheck, attributes: DequantizeAttributes) -> Inferred:
        check.dtype_in(0, (*CODES.values(), np.int32), "x")
        self._quant(check, attributes)
        return ((FLOAT32, check.value(0).shape),)

    def _quant(self, check: NodeCheck, attributes: DequantizeAttributes) -> Quant:
        if attributes.block_size:
            check.refuse("attribute 'block_size'", "0 (no blocks)", attributes.block_size)
        if attributes.output_dtype not in (0, 1):
            check.refuse("attribute 'output_dtype'", "float32", attributes.output_dtype)
        return checked_quant(check, attributes.axis, check.value(0).dtype)

    def step(self, check: NodeCheck, attributes: DequantizeAttributes) -> Step:
        x = Operand(check.node.inputs[0], self._quant(check, attributes))
        return self.make_step(check, attributes, (x,), (Operand(check.node.outputs[0]),))

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return x[index]

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        return (binding.profile.convert.dequantize(x, aligned(binding.step.quant(0), x.ndim)),)


class MicrosoftDequantizeLinear(DequantizeLinear):
    """The contrib form, which ONNX Runtime's quantizer writes for 16-bit codes before opset 21."""

    domain = MICROSOFT
