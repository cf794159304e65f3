"""Additions and means by the requantization of a convolution, for devices of which little else is published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.choices import choice, part
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.binary import BinaryFunction
from qdqnp.numerics.rules.lookup import ONE
from qdqnp.numerics.rules.requantize.protocol import Requantizer, RequantizeRule, SumContext
from qdqnp.numerics.status import INFERRED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, named, shifted
from qdqnp.quant import Codes, Int64, Quant, Signs


@dataclass(frozen=True)
class OperandAdd(Rule, family="add"):
    """y = clip(r(a - z_a, s_a / s_y) + r(b - z_b, s_b / s_y) + z_y): each operand requantized to y's scale, then added.

    PULP's kernel (pulp_nn_add) requantizes both operands by numbers of a compiler; that these are the ratios of the
    scales is inferred. Of Rockchip's devices it is a guess from their output stage.
    """

    #: r: the requantization of a convolution whose weight is 1.
    rescale: RequantizeRule = part("requantize")
    status: str = choice(INFERRED, of=STATUSES)

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        unit = Quant(y.dtype, y.scale, np.zeros_like(y.zero_point))
        left, right = (self.rescale.bind(SumContext(each, ONE, unit)) for each in (a, b))
        return OperandsAdded(a, b, y, left, right)

    def bind_difference(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        """Bind the rule to a - b."""
        bound = self.bind(a, b, y)
        assert isinstance(bound, OperandsAdded)
        return replace(bound, sign=-1)


@dataclass(frozen=True, eq=False)
class OperandsAdded(BoundRule):
    """The bound OperandAdd."""

    a: Quant
    b: Quant
    y: Quant
    left: Requantizer
    right: Requantizer
    #: Of b.
    sign: int = 1

    @property
    def parameters(self) -> Mapping[str, Any]:
        sides = (("a", self.left), ("b", self.right))
        return {f"{side} {name}": value for side, bound in sides for name, value in bound.parameters.items()}

    def stages(self, a: Codes, b: Codes) -> list[StageValue]:
        left = _rescaled("a", self.left.stages(self.a.centered(a)))
        right = _rescaled("b", self.right.stages(self.sign * self.b.centered(b)))
        return [left, right, *shifted(left.array + right.array, self.y)]

    def ties(self, a: Codes, b: Codes) -> Signs:
        first = self.left.ties(self.a.centered(a))
        return np.where(first != 0, first, self.right.ties(self.sign * self.b.centered(b))).astype(np.int8)


def _rescaled(side: str, stages: list[StageValue]) -> StageValue:
    """Return what a requantization to the zero point 0 rounds one operand to."""
    exact = [value.exact for value in stages if value.exact is not None]
    return StageValue(f"{side}, rescaled", named(stages, "unclipped"), exact[-1] if exact else None)


@dataclass(frozen=True)
class CodeAdd(Rule, family="add"):
    """TI TINPU: y = requantized(a + b, s / s_y), for codes of one scale s, to which TI's tool brings both operands.

    Source: TexasInstruments/tinyml-tensorlab, quantization/tinpu: AddReLUBlock. That the multiplier has the bits of a
    convolution's is inferred.
    """

    rescale: RequantizeRule = part("requantize")
    status: str = choice(INFERRED, of=STATUSES)

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        if a.scale != b.scale:
            problem = Problem("scales of the operands", "one scale", f"{a.scale} and {b.scale}")
            raise ProfileError("an addition that the profile does not define", [problem])
        return CodesAdded(a, b, self.rescale.bind(SumContext(a, ONE, y)))

    def bind_difference(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        """Bind the rule to a - b."""
        bound = self.bind(a, b, y)
        assert isinstance(bound, CodesAdded)
        return replace(bound, sign=-1)


@dataclass(frozen=True, eq=False)
class CodesAdded(BoundRule):
    """The bound CodeAdd."""

    a: Quant
    b: Quant
    rescaled: Requantizer
    #: Of b.
    sign: int = 1

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.rescaled.parameters

    def _sum(self, a: Codes, b: Codes) -> Int64:
        return self.a.centered(a) + self.sign * self.b.centered(b)

    def stages(self, a: Codes, b: Codes) -> list[StageValue]:
        total = self._sum(a, b)
        return [StageValue("sum", total), *self.rescaled.stages(total)[1:]]

    def ties(self, a: Codes, b: Codes) -> Signs:
        return self.rescaled.ties(self._sum(a, b))


@dataclass(frozen=True)
class RequantizedMean(Rule, family="mean"):
    """y = requantized(sum of (x - z_x), s_x / (N * s_y)), the factor 1 / N rounded to float32.

    So does TI's AdaptiveAvgPool2d, with a multiplier of fewer bits; PULP and Rockchip: inferred.
    """

    rescale: RequantizeRule = part("requantize")
    status: str = choice(INFERRED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, count: int) -> Requantizer:
        return self.rescale.bind(SumContext(x, ONE, y, alpha=float(np.float32(float(Fraction(1, count))))))
