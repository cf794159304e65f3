"""The ideal: the real value of the accumulator, rounded once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from qdqnp.numerics.choices import choice
from qdqnp.numerics.multiplier import Real
from qdqnp.numerics.rational import RationalSum, fraction
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.requantize.protocol import Requantizer, Slope, SumContext
from qdqnp.numerics.status import ESTABLISHED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, shifted
from qdqnp.quant import Int64, Quant, Signs


@dataclass(frozen=True)
class RationalScale(Rule, family="requantize"):
    """The real value acc * s_x * s_w / s_y as a rational of the float32 scales, rounded half to even."""

    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, context: SumContext) -> Requantizer:
        y = context.output
        left = fraction(np.float32(context.alpha)) * fraction(context.x.scale) / fraction(y.scale)
        exact = tuple(left * fraction(scale) for scale in context.w.scale.reshape(-1))
        return RationalScaled(exact, context.wide_bias, y)


@dataclass(frozen=True, eq=False)
class RationalScaled(BoundRule):
    """y = clip(rint((sum + bias) * M) + z) with M an exact rational; the accumulator does not wrap."""

    #: M, one for all channels or one per channel.
    exact: tuple[Fraction, ...]
    bias: Int64 | None
    y: Quant
    expression: None = None

    @property
    def multiplier(self) -> Real:
        return np.array([float(value) for value in self.exact])

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"multiplier": self.multiplier}

    def _sum(self, sums: Int64) -> RationalSum:
        return RationalSum([sums if self.bias is None else sums + self.bias], [self.exact])

    def stages(self, sums: Int64) -> list[StageValue]:
        total = self._sum(sums)
        rounded = total.rounded()
        return [
            StageValue("acc", np.asarray(total.values[0])),
            StageValue("real", total.real()),
            StageValue("rounded", rounded, total.at),
            *shifted(rounded, self.y),
        ]

    def ties(self, sums: Int64) -> Signs:
        return self._sum(sums).ties()

    @property
    def slope(self) -> Slope:
        bias = np.zeros(1, np.int64) if self.bias is None else self.bias
        return Slope(self.multiplier, bias * self.multiplier + int(self.y.zero_point), (), 0, -(2**40), 2**40)
