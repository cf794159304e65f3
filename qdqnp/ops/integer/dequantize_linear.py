"""DequantizeLinear turns codes, float8 and float4 into real numbers, per tensor, per axis or per block."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from qdqnp.element_types import DTYPES, Dtype, is_integer
from qdqnp.graph import MICROSOFT, Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.integer.quantize_linear import CONTRIB, MADE, REALS, STANDARD_ONLY, checked_quant, only_axis, small_zero
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.ops.standard import standard_doubt
from qdqnp.program import Operand, Step
from qdqnp.quant import Array, Quant

INT32 = np.dtype(np.int32)


@dataclass(frozen=True)
class DequantizeAttributes:
    axis: int = 1
    block_size: int = 0
    output_dtype: int = 0
    #: How float8 and float4 stand for real numbers; None where codes do.
    _small: Quant | None = None
    #: The type of the result.
    _made: Dtype = FLOAT32


class DequantizeLinear(Operator):
    op = "DequantizeLinear"
    arity = (2, 3)
    reads = ("convert",)
    Attributes = DequantizeAttributes
    read: ClassVar[tuple[Dtype, ...]] = (*MADE, INT32)

    def infer(self, check: NodeCheck, attributes: DequantizeAttributes) -> Inferred:
        check.dtype_in(0, self.read, "x")
        self._quant(check, attributes)
        return ((self._made(check, attributes), check.value(0).shape),)

    def _made(self, check: NodeCheck, attributes: DequantizeAttributes) -> Dtype:
        """Return the type of the result: that of the scales, unless the node says another."""
        named = DTYPES.get(attributes.output_dtype)
        if attributes.output_dtype and named not in REALS:
            check.refuse("attribute 'output_dtype'", "float32, float16 or bfloat16", attributes.output_dtype)
        return named or check.value(1).dtype

    def _quant(self, check: NodeCheck, attributes: DequantizeAttributes) -> Quant:
        kind = check.value(0).dtype
        quant = checked_quant(check, attributes.axis, attributes.block_size, kind, self.read)
        small_zero(check, quant)
        return quant

    def step(self, check: NodeCheck, attributes: DequantizeAttributes) -> Step:
        quant = self._quant(check, attributes)
        integer = is_integer(quant.dtype)
        found = replace(attributes, _small=None if integer else quant, _made=self._made(check, attributes))
        x = Operand(check.node.inputs[0], quant if integer else None)
        return self.make_step(check, found, (x,), (Operand(check.node.outputs[0]),))

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return x[index]

    def doubt(self, binding: Binding) -> str:
        attributes = binding.step.attributes
        small = () if attributes._small is None else (attributes._small.dtype,)
        return standard_doubt((attributes._made, *small), STANDARD_ONLY)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        attributes: DequantizeAttributes = binding.step.attributes
        with np.errstate(all="ignore"):
            if attributes._small is None:
                quant = binding.step.quant(0).aligned(x.shape)
                real = binding.profile.convert.dequantize(x, quant)
            else:
                real = x.astype(np.float32) * attributes._small.aligned(x.shape).scale
            return (real.astype(attributes._made, copy=False),)


class MicrosoftDequantizeLinear(DequantizeLinear):
    """The contrib form, which ONNX Runtime's quantizer writes for 16-bit and 4-bit codes before opset 21."""

    domain = MICROSOFT
    read = (*CONTRIB, INT32)
    only = "no blocks"

    def _quant(self, check: NodeCheck, attributes: DequantizeAttributes) -> Quant:
        only_axis(check)
        return super()._quant(check, attributes)
