"""QuantizeLinear turns real numbers into codes, or into float8 and float4, per tensor, per axis or per block."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from qdqnp.element_types import BFLOAT16, DTYPES, FLOAT4, FLOAT8, INT2, UINT2, Dtype, is_integer
from qdqnp.graph import MICROSOFT, ONNX, Shape
from qdqnp.numerics.float8 import to_small_float
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.ops.standard import standard_doubt
from qdqnp.program import Operand, Step
from qdqnp.quant import QUANTIZED, Array, Quant

FLOAT16 = np.dtype(np.float16)
#: Types of real numbers and of scales.
REALS = (FLOAT32, FLOAT16, BFLOAT16)
#: Types that are made: integers, and numbers of few bits.
MADE = (*QUANTIZED, *FLOAT8, FLOAT4)
#: Those that the contrib forms have.
CONTRIB = tuple(kind for kind in QUANTIZED if kind not in (INT2, UINT2))
#: What ONNX Runtime 1.32 has no kernel for on CPUs.
STANDARD_ONLY = (BFLOAT16, FLOAT4)
#: The opset from which scales may have another type than the real numbers, and theirs is the one of the division.
MIXED = 23


@dataclass(frozen=True)
class QuantizeAttributes:
    axis: int = 1
    block_size: int = 0
    saturate: int = 1
    output_dtype: int = 0
    precision: int = 0
    #: How float8 and float4 stand for real numbers; None where codes do.
    _small: Quant | None = None
    #: The type in which x is divided by the scale.
    _divided_in: Dtype = FLOAT32


def checked_quant(check: NodeCheck, axis: int, block_size: int, dtype: Dtype | None, kinds: tuple[Dtype, ...]) -> Quant:
    """Return the Quant of a QuantizeLinear or DequantizeLinear node; its axis is checked and made non-negative."""
    quant = check.quant(1, 2, dtype, axis=axis, block_size=block_size, scales=REALS, kinds=kinds)
    if quant.per_tensor:
        return quant
    shape = check.value(0).shape
    if not block_size:
        if check.given(2) and quant.zero_point.size != quant.scale.size:
            check.refuse("input 2 (zero point)", f"{quant.scale.size} values, as many as scales", quant.zero_point.size)
        if not -len(shape) <= axis < len(shape):
            check.refuse("attribute 'axis'", f"an axis of rank {len(shape)}", axis)
        quant = replace(quant, axis=axis % len(shape))
    if block_size and quant.scale.shape == (1,):
        check.refuse("attribute 'block_size'", "0 for one scale, which ONNX Runtime takes for all", block_size)
    if not quant.fits(shape):
        what = f"block of {block_size} along" if block_size else "slice of"
        check.refuse("input 1 (scale)", f"one value per {what} axis {axis} of {list(shape)}", list(quant.scale.shape))
    return quant


def only_axis(check: NodeCheck) -> None:
    """Refuse attributes that the contrib forms do not have."""
    for name in check.node.attributes:
        if name != "axis":
            check.refuse(f"attribute '{name}'", "one of ['axis']", check.node.attributes[name])


def small_zero(check: NodeCheck, quant: Quant) -> None:
    """Refuse a zero point of float8 or float4 that is not zero: it says the type, and nothing else."""
    if not is_integer(quant.dtype) and quant.zero_point.astype(np.float32).any():
        check.refuse("input 2 (zero point)", f"0, for {quant.dtype} has none", quant.zero_point.reshape(-1)[0])


class QuantizeLinear(Operator):
    op = "QuantizeLinear"
    arity = (2, 3)
    reads = ("convert",)
    Attributes = QuantizeAttributes
    reals: ClassVar[tuple[Dtype, ...]] = REALS
    made: ClassVar[tuple[Dtype, ...]] = MADE

    def infer(self, check: NodeCheck, attributes: QuantizeAttributes) -> Inferred:
        x = check.dtype_in(0, self.reals, "x")
        quant = self._quant(check, attributes)
        scale = check.value(1).dtype
        if scale != x and not self._mixed(check):
            check.refuse("input 1 (scale)", f"{x}, the type of x", scale, f"From opset {MIXED} on they may differ.")
        if attributes.precision not in (0, *(number for number, kind in DTYPES.items() if kind in REALS)):
            check.refuse("attribute 'precision'", "0, or float32, float16 or bfloat16", attributes.precision)
        return ((quant.dtype, check.value(0).shape),)

    def _mixed(self, check: NodeCheck) -> bool:
        return self.domain == ONNX and check.opset >= MIXED

    def _quant(self, check: NodeCheck, attributes: QuantizeAttributes) -> Quant:
        named = DTYPES.get(attributes.output_dtype)
        if attributes.output_dtype and named not in self.made:
            check.refuse(
                "attribute 'output_dtype'", f"one of {', '.join(map(str, self.made))}", attributes.output_dtype
            )
        quant = checked_quant(check, attributes.axis, attributes.block_size, named, self.made)
        small_zero(check, quant)
        return quant

    def step(self, check: NodeCheck, attributes: QuantizeAttributes) -> Step:
        quant = self._quant(check, attributes)
        integer = is_integer(quant.dtype)
        divided_in = DTYPES[attributes.precision] if attributes.precision else check.value(1).dtype
        if divided_in == FLOAT16 and not self._mixed(check):  # ONNX Runtime divides in float32 there
            divided_in = FLOAT32
        found = replace(attributes, _small=None if integer else quant, _divided_in=divided_in)
        y = Operand(check.node.outputs[0], quant if integer else None)
        return self.make_step(check, found, (Operand(check.node.inputs[0]),), (y,))

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return x[index]

    def doubt(self, binding: Binding) -> str:
        attributes = binding.step.attributes
        small = () if attributes._small is None else (attributes._small.dtype,)
        return standard_doubt((attributes._divided_in, *small), STANDARD_ONLY)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        attributes: QuantizeAttributes = binding.step.attributes
        quant, kind = (attributes._small or binding.step.y).aligned(x.shape), attributes._divided_in
        with np.errstate(all="ignore"):
            real: Any = x.astype(kind)
            if kind != FLOAT32:
                real = (real / quant.scale.astype(kind)).astype(np.float32)
                quant = replace(quant, scale=np.ones((), np.float32))
            if attributes._small is None:
                return (binding.profile.convert.quantize(real, quant),)
            return (to_small_float(real / quant.scale, quant.dtype, bool(attributes.saturate)),)


class MicrosoftQuantizeLinear(QuantizeLinear):
    """The contrib form, which ONNX Runtime's quantizer writes for 16-bit and 4-bit codes before opset 21."""

    domain = MICROSOFT
    reals = (FLOAT32, FLOAT16)
    made = CONTRIB
    only = "no blocks"

    def _quant(self, check: NodeCheck, attributes: QuantizeAttributes) -> Quant:
        only_axis(check)
        return super()._quant(check, attributes)
