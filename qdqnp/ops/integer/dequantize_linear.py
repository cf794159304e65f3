"""DequantizeLinear: codes to float32, per tensor or per axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, FLOAT32, Bound, Inferred, Operator, Site
from qdqnp.ops.integer.quantize_linear import CODES, aligned, checked_quant
from qdqnp.program import Operand, Step
from qdqnp.quant import Array, Quant


@dataclass(frozen=True)
class DequantizeAttributes:
    axis: int = 1
    block_size: int = 0
    output_dtype: int = 0


class DequantizeLinear(Operator):
    op = "DequantizeLinear"
    arity = (2, 3)
    Attributes = DequantizeAttributes

    def infer(self, site: Site, attributes: DequantizeAttributes) -> Inferred:
        site.dtype_in(0, (*CODES.values(), np.int32), "x")
        self._quant(site, attributes)
        return ((FLOAT32, site.value(0).shape),)

    def _quant(self, site: Site, attributes: DequantizeAttributes) -> Quant:
        if attributes.block_size:
            site.refuse("attribute 'block_size'", "0 (no blocks)", attributes.block_size)
        if attributes.output_dtype not in (0, 1):
            site.refuse("attribute 'output_dtype'", "float32", attributes.output_dtype)
        return checked_quant(site, attributes.axis, site.value(0).dtype)

    def step(self, site: Site, attributes: DequantizeAttributes) -> Step:
        x = Operand(site.node.inputs[0], self._quant(site, attributes))
        return self.make_step(site, attributes, (x,), (Operand(site.node.outputs[0]),))

    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0],)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        operand = step.inputs[0]
        assert operand is not None and operand.quant is not None
        quant = operand.quant

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            assert arrays[0] is not None
            return (profile.convert.dequantize(arrays[0], aligned(quant, arrays[0].ndim)),)

        return Bound(evaluate)


class MicrosoftDequantizeLinear(DequantizeLinear):
    """The contrib form, which ONNX Runtime's quantizer writes for 16-bit codes before opset 21."""

    domain = MICROSOFT
