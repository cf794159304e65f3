"""LRN in float32: each element times (bias + alpha / size * the squares around it along the channels)^-beta.

The sum slides along the channels: that of the channel before, plus the square that comes in, less the one that goes.
Source: ONNX Runtime 1.32, core/providers/cpu/nn/lrn.cc.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from qdqnp.graph import Shape, Sizes
from qdqnp.numerics.eigen_power import power
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.windows import LARGEST
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array

F = np.float32


@dataclass(frozen=True)
class LRNAttributes:
    size: int = 0
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0


class LRN(Operator):
    op = "LRN"
    only = "rank 4, an odd size"
    reads = ("float_sum",)
    Attributes = LRNAttributes
    example: ClassVar[Mapping[str, Any]] = {"size": 3}
    bytes_per_element = 96

    def infer(self, check: NodeCheck, attributes: LRNAttributes) -> Inferred:
        check.dtype_in(0, (F,), "x")
        check.rank_in(0, (4,), "x")
        if not 1 <= attributes.size <= LARGEST or attributes.size % 2 == 0:
            check.refuse("attribute 'size'", f"an odd number in [1, {LARGEST}]", attributes.size)
        for name, value in (("alpha", attributes.alpha), ("beta", attributes.beta)):
            if not (value > 0 and math.isfinite(value)):
                check.refuse(f"attribute '{name}'", "a positive number", value)
        return ((FLOAT32, check.value(0).shape),)

    def shapes(self, attributes: LRNAttributes, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def work(self, attributes: LRNAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        return (output[1] + attributes.size) * max(40, math.prod(output[2:])) * (1 + output[0])

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        if x.size == 0:
            return (x.copy(),)
        attributes: LRNAttributes = binding.step.attributes
        with np.errstate(all="ignore"):
            return (x * power(_sums(attributes, x), -attributes.beta),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        """What went out of the sum has left its roundings there: all channels up to the last one that came in."""
        reach = step.attributes.size - 1 - (step.attributes.size - 1) // 2
        return x[index[0], : index[1] + reach + 1, index[2], index[3]]

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(False)


def _sums(attributes: LRNAttributes, x: Array) -> Array:
    """Return bias + alpha / size * the sum of squares for each element."""
    size, channels = attributes.size, x.shape[1]
    factor = F(F(attributes.alpha) / F(size))
    squares = np.zeros((x.shape[0], channels + size - 1, *x.shape[2:]), F)
    squares[:, (size - 1) // 2 : (size - 1) // 2 + channels] = x * x
    sums = np.full_like(x, F(attributes.bias))
    for place in range(size):
        sums[:, 0] += factor * squares[:, place]
    for channel in range(1, channels):
        sums[:, channel] = sums[:, channel - 1] + factor * squares[:, channel + size - 1]
        sums[:, channel] += -factor * squares[:, channel - 1]
    return sums
