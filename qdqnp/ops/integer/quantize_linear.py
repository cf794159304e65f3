"""QuantizeLinear: float32 to codes, per tensor or per axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, Site
from qdqnp.program import Operand, Step
from qdqnp.quant import Array, Quant

# The code types by TensorProto's numbers, which output_dtype names them by; 0 names none.
CODES = {2: np.dtype(np.uint8), 3: np.dtype(np.int8), 4: np.dtype(np.uint16), 5: np.dtype(np.int16)}


@dataclass(frozen=True)
class QuantizeAttributes:
    axis: int = 1
    block_size: int = 0
    saturate: int = 1
    output_dtype: int = 0
    precision: int = 0


def aligned(quant: Quant, rank: int) -> Quant:
    """The same parameters, reshaped to broadcast over an array of that rank."""
    if quant.per_tensor or quant.axis is None:
        return quant
    shape = [-1 if axis == quant.axis else 1 for axis in range(rank)]
    zero = quant.zero_point.reshape(shape) if quant.zero_point.ndim else quant.zero_point
    return replace(quant, scale=quant.scale.reshape(shape), zero_point=zero)


def checked_quant(site: Site, axis: int, dtype: Any) -> Quant:
    """The Quant of a QuantizeLinear or DequantizeLinear node; its axis is made non-negative and checked."""
    quant = site.quant(1, 2, dtype, axis=axis)
    if quant.per_tensor:
        return quant
    shape = site.value(0).shape
    if not -len(shape) <= axis < len(shape):
        site.refuse("attribute 'axis'", f"an axis of rank {len(shape)}", axis)
    size = shape[axis]
    if isinstance(size, int) and size != quant.scale.size:
        site.refuse("input 1 (scale)", f"{size} values, one per slice of axis {axis}", quant.scale.size)
    return replace(quant, axis=axis % len(shape))


class QuantizeLinear(Operator):
    op = "QuantizeLinear"
    arity = (2, 3)
    Attributes = QuantizeAttributes

    def infer(self, site: Site, attributes: QuantizeAttributes) -> Inferred:
        site.dtype_in(0, (np.float32,), "x")
        quant = self._quant(site, attributes)
        return ((quant.dtype, site.value(0).shape),)

    def _quant(self, site: Site, attributes: QuantizeAttributes) -> Quant:
        if attributes.block_size:
            site.refuse("attribute 'block_size'", "0 (no blocks)", attributes.block_size)
        if attributes.precision not in (0, 1):
            site.refuse("attribute 'precision'", "float32", attributes.precision)
        if attributes.output_dtype not in (0, *CODES):
            site.refuse("attribute 'output_dtype'", "an 8- or 16-bit integer type", attributes.output_dtype)
        quant = checked_quant(site, attributes.axis, CODES.get(attributes.output_dtype))
        if quant.dtype not in CODES.values():
            site.refuse("input 2 (zero point)", "int8, uint8, int16 or uint16", quant.dtype)
        return quant

    def step(self, site: Site, attributes: QuantizeAttributes) -> Step:
        y = Operand(site.node.outputs[0], self._quant(site, attributes))
        return self.make_step(site, attributes, (Operand(site.node.inputs[0]),), (y,))

    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0],)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        quant = step.outputs[0].quant
        assert quant is not None

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            assert arrays[0] is not None
            return (profile.convert.quantize(arrays[0], aligned(quant, arrays[0].ndim)),)

        return Bound(evaluate)


class MicrosoftQuantizeLinear(QuantizeLinear):
    """The contrib form, which ONNX Runtime's quantizer writes for 16-bit codes before opset 21."""

    domain = MICROSOFT
