"""Windowed averages by a product with a 31- or 32-bit reciprocal of the count: TOSA and Ethos-U."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.numerics.choices import choice, part
from qdqnp.numerics.multiplier import Fixed
from qdqnp.numerics.rounding import Quotient
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.average import AverageFunction, BoundAverage, centered_sum, padded_sum
from qdqnp.numerics.rules.lookup import IdentityFunction, LookupRule
from qdqnp.numerics.stages import Stage
from qdqnp.numerics.status import ESTABLISHED, INFERRED, STATUSES
from qdqnp.numerics.values import StageValue, clipped, signs
from qdqnp.quant import Array, Codes, Int64, Quant, Signs


@dataclass(frozen=True)
class FixedReciprocalAverage(Rule, family="average"):
    """TOSA's AVG_POOL2D, and Ethos-U's average pool, over N elements, with k = ceil(log2 N):

        m = floor((2^bits + 1) * 2^k / N)
        y = clip(stage(sum, m, bits + k) + z_y)

    The sum is of codes less their zero point, or of raw codes, and then nothing is added. With unequal scales the
    result is in x's codes, and `rescale` makes y's codes of them; that combination is inferred.
    Source: TOSA specification, reciprocal_scale; ethos-u-vela, scaling.py: quantise_pooling_scale.
    """

    #: How the product is shifted and rounded.
    stage: Stage = part("stage")
    #: The rescale of codes between unequal scales.
    rescale: LookupRule = part("lookup", "rescaling", "undefined")
    #: The precision of the reciprocal: 30 in TOSA, 31 in Ethos-U.
    bits: int = choice(30, of=range(8, 32))
    #: Whether zero points are subtracted and added again, as TOSA does; else the codes are averaged as they are.
    centered: bool = True
    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant) -> AverageFunction:
        if x.scale == y.scale and (self.centered or x.same_as(y)):
            return ReciprocalScaled(self, x, y)
        return RescaledAverage(ReciprocalScaled(self, x, x), self.rescale.bind(x, y, IdentityFunction()))

    def status_between(self, x: Quant, y: Quant) -> str:
        """Return the status for these two quantizations."""
        return self.status if x.scale == y.scale else INFERRED


@dataclass(frozen=True, eq=False)
class ReciprocalScaled(BoundAverage):
    """The bound FixedReciprocalAverage with equal scales."""

    rule: FixedReciprocalAverage
    x: Quant
    y: Quant

    def of_count(self, count: int) -> Mapping[str, Any]:
        length = max(0, (count - 1).bit_length())
        return {"multiplier": (((1 << self.rule.bits) + 1) << length) // count, "shift": self.rule.bits + length}

    def _operands(self, taps: Codes, inside: Array, count: Int64) -> tuple[Int64, Fixed]:
        """Return the sums and the reciprocals of their counts."""
        zero = int(self.x.zero_point)
        total = centered_sum(taps, inside, zero) if self.rule.centered else padded_sum(taps, inside, count, zero)
        counts, place = np.unique(np.broadcast_to(np.maximum(count, 1), total.shape), return_inverse=True)
        numbers, place = self.numbers(counts), place.reshape(total.shape)
        return total, Fixed(numbers["multiplier"][place], numbers["shift"][place])

    def stages(self, taps: Codes, inside: Array, count: Int64) -> list[StageValue]:
        total, fixed = self._operands(taps, inside, count)
        scaled = self.rule.stage(total, fixed)
        zero = int(self.y.zero_point) if self.rule.centered else 0
        return [StageValue("sum", total), scaled, *clipped(scaled.array + zero, self.y)]

    def ties(self, taps: Codes, inside: Array, count: Int64) -> Signs:
        total, fixed = self._operands(taps, inside, count)
        quotient = self.rule.stage.quotient(total, fixed) or Quotient(total, 0)
        return signs(total, quotient.is_tie())


@dataclass(frozen=True, eq=False)
class RescaledAverage(BoundAverage):
    """The bound FixedReciprocalAverage with unequal scales: the average in x's codes, rescaled."""

    average: ReciprocalScaled
    rescaled: Any

    def of_count(self, count: int) -> Mapping[str, Any]:
        return self.average.of_count(count)

    def stages(self, taps: Codes, inside: Array, count: Int64) -> list[StageValue]:
        *inner, unclipped, codes = self.average.stages(taps, inside, count)
        average = [replace(unclipped, name="average"), replace(codes, name="average in x's codes")]
        return [*inner, *average, *self.rescaled.stages(codes.array)]

    def ties(self, taps: Codes, inside: Array, count: Int64) -> Signs:
        codes = self.average(taps, inside, count)
        last: Signs = self.rescaled.ties(codes)
        return np.where(last != 0, last, self.average.ties(taps, inside, count)).astype(np.int8)
