"""Windowed averages of codes (AveragePool)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from qdqnp.numerics import float32
from qdqnp.numerics.choices import OVERRIDES, Overrides, choice, given_of, part
from qdqnp.numerics.rounding import NEAREST, ROUNDINGS, Quotient, divided
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.mean import RECIPROCAL, MeanRule, half_of
from qdqnp.numerics.status import ESTABLISHED, INFERRED, STATUSES
from qdqnp.numerics.values import BoundRule, Exact, Index, StageValue, clipped, exact_float, real_ties, signs
from qdqnp.quant import Array, Codes, Float32, Int64, Quant, Signs


class AverageFunction(Protocol):
    """A bound rule of windows. Calling it maps the taps of the windows to codes of shape (...).

    taps: the codes of each tap, shape (taps, ...); the first axis is the window's taps in row-major order.
    inside: bool, broadcastable to the shape of `taps`; False where a tap lies in the padding.
    count: the divisor, int64, broadcastable to the result.
    """

    def numbers(self, counts: Int64) -> dict[str, Array]:
        """Return the divisors, shape (n,), as 'count', and what the rule uses for each of them along the first axis."""
        ...

    def __call__(self, taps: Codes, inside: Array, count: Int64) -> Codes: ...

    def stages(self, taps: Codes, inside: Array, count: Int64) -> list[StageValue]:
        """Return every value between the window and its code, in order; 'unclipped' and 'y' last."""
        ...

    def ties(self, taps: Codes, inside: Array, count: Int64) -> Signs:
        """Return the sign of each value that met an exact half at a rounding (at the last such rounding), else 0."""
        ...


class AverageRule(Protocol):
    """A rule of windows."""

    @property
    def status(self) -> str: ...

    def bind(self, x: Quant, y: Quant) -> AverageFunction:
        """Bind the rule to two quantizations per tensor."""
        ...


class BoundAverage(BoundRule):
    """A bound rule that uses numbers of its own for each divisor."""

    def of_count(self, count: int) -> Mapping[str, Any]:
        """Return the numbers for one divisor; the names are the same for all."""
        return {}

    def numbers(self, counts: Int64) -> dict[str, Array]:
        """Return the divisors, shape (n,), as 'count', and the numbers for each of them along the first axis."""
        found = [self.of_count(int(count)) for count in counts]
        return {"count": counts, **{name: np.array([numbers[name] for numbers in found]) for name in found[0]}}


def raw_sum(taps: Codes, inside: Array) -> Int64:
    """Add up the raw codes inside the image, without a wide copy of every tap."""
    total: Int64 = np.sum(taps, axis=0, dtype=np.int64, where=inside)
    return total


def centered_sum(taps: Codes, inside: Array, zero_point: int) -> Int64:
    """Add up (code - zero point) inside the image; 0 for an empty window."""
    raw = raw_sum(taps, inside)
    present: Int64 = np.broadcast_to(inside.sum(axis=0), raw.shape)
    return raw - zero_point * present


def padded_sum(taps: Codes, inside: Array, count: Int64, zero_point: int) -> Int64:
    """Add up the raw codes of a window. Padding that the divisor counts is the zero point, as a Pad writes it."""
    centered = centered_sum(taps, inside, zero_point)
    return centered + zero_point * np.broadcast_to(count, centered.shape)


# -- ONNX Runtime ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FloatAverage(Rule, family="average"):
    """ONNX Runtime's QLinearAveragePool: dequantize each tap, sum in float32 in row-major order, divide, quantize.

    y = clip(rint(f32(f32(f32(sum / f32(count)) / s_y) + z_y))); the zero point is inside the rounding.
    Source: contrib_ops/cpu/quantization/qlinear_pool.cc.
    """

    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant) -> AverageFunction:
        return FloatAveraged(x, y)


@dataclass(frozen=True, eq=False)
class FloatAveraged(BoundAverage):
    """The bound FloatAverage."""

    x: Quant
    y: Quant

    def stages(self, taps: Codes, inside: Array, count: Int64) -> list[StageValue]:
        total: Float32 = np.zeros(taps.shape[1:], np.float32)
        with np.errstate(all="ignore"):
            for tap, valid in zip(taps, inside, strict=True):
                real = float32.dequantize(tap, self.x.scale, self.x.zero_point)
                total = np.where(valid, total + real, total).astype(np.float32)
            mean = total / count.astype(np.float32)
            shifted: Float32 = np.divide(mean, self.y.scale, dtype=np.float32) + self.y.zero_point.astype(np.float32)
        return [
            StageValue("sum", total),
            StageValue("mean", mean),
            StageValue("mean / s_y + z_y", shifted),
            *clipped(float32.to_int32_x86(shifted), self.y, exact_float(shifted)),
        ]

    def ties(self, taps: Codes, inside: Array, count: Int64) -> Signs:
        return real_ties(self.stages(taps, inside, count)[2].array)


# -- as the global average ---------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class MeanAverage(Rule, family="average"):
    """Treats every window as a global average over its count of elements."""

    mean: MeanRule = part("mean", "undefined")
    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant) -> AverageFunction:
        return MeansByCount(self.mean, x, y)


@dataclass(frozen=True, eq=False)
class MeansByCount(BoundAverage):
    """The bound MeanAverage: the mean rule bound to each divisor answers for the windows that have that divisor."""

    mean: MeanRule
    x: Quant
    y: Quant

    def of_count(self, count: int) -> Mapping[str, Any]:
        return self.mean.bind(self.x, self.y, count).parameters

    def _sums(self, taps: Codes, inside: Array, count: Int64) -> tuple[Int64, Int64]:
        """Return the sums of (code - zero point), 0 for an empty window, and the divisors in the same shape."""
        sums = centered_sum(taps, inside, int(self.x.zero_point))
        return sums, np.broadcast_to(np.maximum(count, 1), sums.shape)

    def stages(self, taps: Codes, inside: Array, count: Int64) -> list[StageValue]:
        sums, divisors = self._sums(taps, inside, count)
        by_count = {int(n): self.mean.bind(self.x, self.y, int(n)).stages(sums) for n in np.unique(divisors)}
        return [_merged(values, tuple(by_count), divisors) for values in zip(*by_count.values(), strict=True)]

    def ties(self, taps: Codes, inside: Array, count: Int64) -> Signs:
        sums, divisors = self._sums(taps, inside, count)
        found = np.zeros(sums.shape, np.int8)
        for n in np.unique(divisors):
            np.copyto(found, self.mean.bind(self.x, self.y, int(n)).ties(sums), where=divisors == n)
        return found


def _merged(values: tuple[StageValue, ...], counts: tuple[int, ...], divisors: Int64) -> StageValue:
    """Merge a value of several bound rules: at each window that of its divisor."""
    array = np.broadcast_to(values[0].array, divisors.shape)
    for value, n in zip(values[1:], counts[1:], strict=True):
        array = np.where(divisors == n, value.array, array)
    exact = {n: value.exact for n, value in zip(counts, values, strict=True)}

    def at(index: Index) -> Fraction | None:
        found: Exact | None = exact[int(divisors[index])]
        return None if found is None else found(index)

    first = values[0]
    return StageValue(first.name, array, None if first.exact is None else at, first.saturated)


# -- TFLite ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class DividedAverage(Rule, family="average"):
    """TFLite, CMSIS-NN: with equal scales the sum of raw codes divided by the count, halves away from zero by default.

    Neither has a kernel for unequal scales; they get the arithmetic of a global average, per count, which is inferred.
    """

    #: of unequal scales
    mean: MeanRule = part("mean", "undefined")
    status: str = choice(ESTABLISHED, of=STATUSES)
    #: How the quotient is rounded with equal scales.
    rounding: str = choice("half-away", of=ROUNDINGS, kind="tie rule", text="average {value}")

    def bind(self, x: Quant, y: Quant) -> AverageFunction:
        return Divided(y, self.rounding) if x.same_as(y) else MeansByCount(self.mean, x, y)

    def status_between(self, x: Quant, y: Quant) -> str:
        """The status for these two quantizations."""
        return self.status if x.same_as(y) else INFERRED


@dataclass(frozen=True, eq=False)
class Divided(BoundAverage):
    """The bound DividedAverage with equal scales."""

    y: Quant
    rounding: str

    def stages(self, taps: Codes, inside: Array, count: Int64) -> list[StageValue]:
        raw = padded_sum(taps, inside, count, int(self.y.zero_point))
        divisors = np.broadcast_to(count, raw.shape)

        def exact(index: Index) -> Fraction:
            return Fraction(int(raw[index]), int(divisors[index]))

        return [StageValue("sum", raw), *clipped(divided(raw, divisors, self.rounding), self.y, exact)]

    def ties(self, taps: Codes, inside: Array, count: Int64) -> Signs:
        raw = padded_sum(taps, inside, count, int(self.y.zero_point))
        return signs(raw, half_of(raw, count))


# -- ST Neural-ART -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ReciprocalAverage(Rule, family="average"):
    """ST Neural-ART: sum of raw codes * rint(2^(14+L) / N), shifted right by 14 + L with rounding, L = ceil(log2 N).

    This holds for equal scales (established for 2x2); with unequal scales the arithmetic is that of the global average
    (inferred).
    """

    mean: MeanRule = part("mean", "undefined")
    #: How ties round with equal scales; with unequal ones the tie rule is that of `mean`.
    tie: str = choice(of=ROUNDINGS, kind="tie rule", unknown=NEAREST)
    status: str = choice(INFERRED, of=STATUSES)
    #: (layer label, (('R', value), ...)) for layers whose R and shift are known, whatever the count of a window.
    overrides: Overrides = field(default=(), metadata={OVERRIDES: RECIPROCAL})

    def bind(self, x: Quant, y: Quant) -> AverageFunction:
        return ReciprocalProduct(self, y) if x.same_as(y) else MeansByCount(self.mean, x, y)


@dataclass(frozen=True, eq=False)
class ReciprocalProduct(BoundAverage):
    """The bound ReciprocalAverage with equal scales."""

    rule: ReciprocalAverage
    y: Quant

    def of_count(self, count: int) -> Mapping[str, Any]:
        length = max(0, (count - 1).bit_length())
        return {"R": round(Fraction(2 ** (14 + length), count)), "shift": 14 + length, **given_of(self.rule)}

    def _mean(self, raw: Int64, count: Int64) -> Quotient:
        counts, place = np.unique(np.broadcast_to(count, raw.shape), return_inverse=True)
        numbers, place = self.numbers(counts), place.reshape(raw.shape)
        return Quotient(raw * numbers["R"][place], numbers["shift"][place])

    def stages(self, taps: Codes, inside: Array, count: Int64) -> list[StageValue]:
        raw = padded_sum(taps, inside, count, int(self.y.zero_point))
        mean = self._mean(raw, count)
        return [StageValue("sum", raw), *clipped(mean.rounded(self.rule.tie), self.y, mean.exact)]

    def ties(self, taps: Codes, inside: Array, count: Int64) -> Signs:
        mean = self._mean(padded_sum(taps, inside, count, int(self.y.zero_point)), count)
        return signs(mean.value, mean.is_tie())
