"""Global averages: the sum of (code - zero point) over all positions becomes the code of its mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.choices import OVERRIDES, Override, Overrides, choice, given_of
from qdqnp.numerics.multiplier import Fixed, largest_shift
from qdqnp.numerics.rational import fraction
from qdqnp.numerics.rounding import NEAREST, ROUNDINGS, Quotient, divided
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.requantize.float_scale import FloatScaled
from qdqnp.numerics.rules.requantize.narrow import Narrowed, NarrowThenAffine, checked_shift
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.numerics.rules.requantize.rational import RationalScaled
from qdqnp.numerics.rules.requantize.rescale import Rescale, Rescaled
from qdqnp.numerics.status import ESTABLISHED, INFERRED, STATUSES
from qdqnp.numerics.values import BoundRule, Index, StageValue, clipped, signs
from qdqnp.quant import Array, Int64, Quant, Signs


class MeanRule(Protocol):
    """A rule of global averages: the sum of (code - zero point) over `count` elements becomes the code of the mean."""

    @property
    def status(self) -> str: ...

    def bind(self, x: Quant, y: Quant, count: int) -> Requantizer: ...


@dataclass(frozen=True)
class FloatMean(Rule, family="mean"):
    """ONNX Runtime's QLinearGlobalAveragePool: `float32.requantize` by multiplier = f32(s_x / f32(s_y * f32(count))).

    Source: core/mlas/lib/qlgavgpool.cpp, which refuses a multiplier outside [2^-32, 256).
    """

    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, count: int) -> Requantizer:
        with np.errstate(all="ignore"):
            multiplier = np.asarray(x.scale / (y.scale * np.float32(count)), np.float32)
        if not np.float32(2.0**-32) <= multiplier < np.float32(256):
            raise ProfileError(
                "the global average's multiplier is outside the kernel's range",
                [Problem("scale ratio", "a multiplier in [2^-32, 256)", str(multiplier))],
            )
        return FloatScaled(multiplier, None, y)


@dataclass(frozen=True)
class RescaleMean(Rule, family="mean"):
    """TFLite's MEAN folds the division by N into the multiplier m and exponent s of s_x/s_y:

    k = min(floor(log2 N), 31 + s)
    m' = floor(m * 2^k / N)
    s' = s - k
    """

    rescale: Rescale
    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, count: int) -> Requantizer:
        fixed = self.rescale.fix(np.asarray(float(x.scale) / float(y.scale)))
        s = 31 - int(fixed.shift)
        k = min(count.bit_length() - 1, 31 + s)
        value = np.asarray((int(fixed.value) << k) // count, np.int64)
        return Rescaled(self.rescale, Fixed(value, np.asarray(31 - (s - k), np.int64)), None, y)


@dataclass(frozen=True)
class SummedMean(Rule, family="mean"):
    """TOSA: y = clip(rescale(sum of (x - z_x), 1 / N * s_x / s_y) + z_y), a REDUCE_SUM and one RESCALE.

    That is how TensorFlow's converter makes a MEAN (tensorflow/compiler/mlir/tosa/transforms/legalize_common.cc).
    """

    rescale: Rescale
    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, count: int) -> Requantizer:
        real = 1 / count * float(x.scale) / float(y.scale)
        return Rescaled(self.rescale, self.rescale.fix(np.asarray(real)), None, y)


@dataclass(frozen=True)
class DividedMean(Rule, family="mean"):
    """CMSIS-NN: with equal scales the sum of raw codes divided by their count, halves away from zero by default.

    That is arm_avgpool_s8 over the whole plane. CMSIS-NN does not have a kernel for unequal scales; TFLite Micro then
    runs its own MEAN, as `RescaleMean`.
    """

    #: The requantization between unequal scales.
    rescale: Rescale
    status: str = choice(ESTABLISHED, of=STATUSES)
    #: How the quotient is rounded with equal scales.
    rounding: str = choice("half-away", of=ROUNDINGS, kind="tie rule", text="mean {value}")

    def bind(self, x: Quant, y: Quant, count: int) -> Requantizer:
        return PlaneMean(x, y, count, self.rounding) if x.same_as(y) else RescaleMean(self.rescale).bind(x, y, count)

    def status_between(self, x: Quant, y: Quant) -> str:
        """Return the status for these two quantizations."""
        return self.status if x.same_as(y) else INFERRED


@dataclass(frozen=True, eq=False)
class PlaneMean(BoundRule):
    """The bound DividedMean with equal scales."""

    x: Quant
    y: Quant
    count: int
    rounding: str
    bias: None = None
    expression: None = None
    slope: None = None

    def _raw(self, sums: Int64) -> Int64:
        """Return the sums of raw codes."""
        return sums + int(self.x.zero_point) * self.count

    def stages(self, sums: Int64) -> list[StageValue]:
        raw, count = self._raw(sums), np.asarray(self.count, np.int64)

        def exact(index: Index) -> Fraction:
            return Fraction(int(raw[index]), self.count)

        return [StageValue("acc", raw), *clipped(divided(raw, count, self.rounding), self.y, exact)]

    def ties(self, sums: Int64) -> Signs:
        raw = self._raw(sums)
        return signs(raw, half_of(raw, np.asarray(self.count, np.int64)))


def half_of(total: Int64, count: Int64) -> Array:
    """Tell where total / count is an exact half."""
    return np.asarray(2 * np.abs(total) % (2 * count) == count)


@dataclass(frozen=True)
class RationalMean(Rule, family="mean"):
    """The exact mean sum * s_x / (s_y * count), rounded half to even."""

    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, count: int) -> Requantizer:
        return RationalScaled((fraction(x.scale) / fraction(y.scale) / count,), None, y)


# The numbers of one layer that may be known: the multiplier of the sum, and the shift behind it.
RECIPROCAL: Mapping[str, Override] = {"R": Override(range(-(2**15), 2**15)), "shift": Override(range(0, 47))}


@dataclass(frozen=True)
class NarrowMean(Rule, family="mean"):
    """ST Neural-ART: the mean of the raw codes with 8 fractional bits, then the affine step of its convolution.

        L = ceil(log2 N)
        R = rint(2^(14+L) / N)
        x16 = RSR(sum of raw codes * R, 14 + L - 8)

    The arithmetic is established for N a power of two, else inferred.
    """

    #: How both roundings round ties.
    tie: str = choice(of=ROUNDINGS, kind="tie rule", unknown=NEAREST)
    status: str = choice(INFERRED, of=STATUSES)
    #: (layer label, (('R', value), ...)) for layers whose R and shift are known.
    overrides: Overrides = field(default=(), metadata={OVERRIDES: RECIPROCAL})

    def bind(self, x: Quant, y: Quant, count: int) -> Requantizer:
        length, given = max(0, (count - 1).bit_length()), given_of(self)
        reciprocal = given.get("R", round(Fraction(2 ** (14 + length), count)))
        return ReciprocalMean(self, x, y, count, reciprocal, given.get("shift", 14 + length - 8))


@dataclass(frozen=True, eq=False)
class ReciprocalMean(BoundRule):
    """The bound NarrowMean."""

    rule: NarrowMean
    x: Quant
    y: Quant
    count: int
    reciprocal: int
    shift: int
    bias: None = None
    expression: None = None
    slope: None = None

    def _affine(self) -> Narrowed:
        """Bind the step from codes with 8 fractional bits to y's codes."""
        ratio = float(self.x.scale) / float(self.y.scale)
        s2 = checked_shift("S2", largest_shift(ratio / 256))
        a = np.asarray(np.rint(np.ldexp(ratio / 256, s2)), np.int64)
        constant = math.floor(math.ldexp(int(self.y.zero_point) - int(self.x.zero_point) * ratio, s2))
        conv = NarrowThenAffine(tie=self.rule.tie)
        return Narrowed(conv, 0, s2, a, np.asarray(constant, np.int64), self.y, None)

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"R": np.int64(self.reciprocal), "shift": np.int64(self.shift), **self._affine().parameters}

    def _raw(self, sums: Int64) -> Int64:
        """Return the sums of raw codes."""
        return sums + int(self.x.zero_point) * self.count

    def _mean(self, sums: Int64) -> Quotient:
        """Return the mean of the raw codes, with 8 fractional bits."""
        return Quotient(self._raw(sums) * self.reciprocal, self.shift)

    def stages(self, sums: Int64) -> list[StageValue]:
        mean = self._mean(sums)
        rounded = mean.rounded(self.rule.tie)
        return [
            StageValue("acc", self._raw(sums)),
            StageValue("mean", rounded, mean.exact),
            *self._affine().stages(rounded)[1:],
        ]

    def ties(self, sums: Int64) -> Signs:
        mean = self._mean(sums)
        last = self._affine().ties(mean.rounded(self.rule.tie))
        return np.where(last != 0, last, signs(mean.value, mean.is_tie()))
