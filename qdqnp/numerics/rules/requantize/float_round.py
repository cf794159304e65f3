"""Floating point of other runtimes than ONNX Runtime: the product of accumulator and multiplier is rounded once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.numerics.choices import choice
from qdqnp.numerics.multiplier import PRECISIONS, Real, real_multiplier
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.requantize.protocol import Requantizer, Slope, SumContext
from qdqnp.numerics.status import ESTABLISHED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, exact_float, real_ties, shifted
from qdqnp.numerics.width import wrap
from qdqnp.quant import Array, Int64, Quant, Signs


@dataclass(frozen=True)
class FloatRound(Rule, family="requantize"):
    """round(acc * M) in floating point."""

    #: How M is formed, see multiplier.real_multiplier.
    scale: str = choice(of=PRECISIONS, kind="scale order", text="scale product in {value}")
    #: The type in which the product acc * M is formed.
    precision: str = choice(
        of=("float32", "float64"), kind="scale order", text="product with the accumulator in {value}"
    )
    ties_to: str = choice(of=("half-even", "half-away"), kind="tie rule", text="{value}")
    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, context: SumContext) -> Requantizer:
        y = context.output
        real = real_multiplier(np.float32(context.alpha) * context.x.scale, context.w.scale, y.scale, self.scale)
        return Rounded(self, real, context.wide_bias, y)


@dataclass(frozen=True, eq=False)
class Rounded(BoundRule):
    """acc = wrap32(sum + bias); q = round(acc * M) in the rule's precision; y = clip(q + z)."""

    rule: FloatRound
    multiplier: Real
    bias: Int64 | None
    y: Quant
    expression: None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"multiplier": self.multiplier}

    def stages(self, sums: Int64) -> list[StageValue]:
        acc = wrap(sums if self.bias is None else sums + self.bias, 32)
        kind = np.float32 if self.rule.precision == "float32" else np.float64
        real = acc.astype(kind) * self.multiplier.astype(kind)
        rounded = np.rint(real) if self.rule.ties_to == "half-even" else _half_away(real)
        # a float beyond int32 saturates; it is far outside the codes either way
        limited = np.clip(rounded.astype(np.float64), -(2.0**31), 2.0**31 - 1).astype(np.int64)
        return [
            StageValue("acc", acc),
            StageValue("real", real),
            StageValue("rounded", limited, exact_float(real)),
            *shifted(limited, self.y),
        ]

    def ties(self, sums: Int64) -> Signs:
        return real_ties(self.stages(sums)[1].array)

    @property
    def slope(self) -> Slope:
        bias = np.zeros(1, np.int64) if self.bias is None else self.bias
        slack = int(np.abs(bias).max())
        return Slope(
            self.multiplier, bias * self.multiplier + int(self.y.zero_point), (), 0, slack - 2**31, 2**31 - 1 - slack
        )


def _half_away(real: Array) -> Array:
    """Round as C's round() does.

    Adding 0.5 would carry the largest float below 0.5 up to 1; the fraction itself is exact.
    """
    whole = np.trunc(real)
    return np.where(np.abs(real - whole) >= 0.5, whole + np.copysign(1, real), whole)
