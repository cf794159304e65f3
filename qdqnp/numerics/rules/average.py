"""Windowed averages of codes (AveragePool)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from qdqnp.numerics import float32
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.rules.binary import saturate
from qdqnp.numerics.rules.mean import MeanRule
from qdqnp.numerics.rules.requantize import Requantizer
from qdqnp.quant import Array, Codes, Float32, Int64, Quant


@dataclass(frozen=True, eq=False)
class AverageFunction:
    """A bound rule.

    function: (codes of each tap, first axis the window's taps in row-major order, shape (taps, ...); inside: bool,
    broadcastable to the same shape, False where a tap lies in the padding; count: int64, broadcastable to the result,
    the divisor) -> codes, shape (...). numbers: what it uses for one count, by name; the same names for all.
    """

    function: Callable[[Codes, Array, Int64], Codes]
    numbers: Callable[[int], Mapping[str, Any]] = lambda count: {}

    def __call__(self, taps: Codes, inside: Array, count: Int64) -> Codes:
        return self.function(taps, inside, count)

    def parameters(self, counts: Int64) -> dict[str, Array]:
        """The counts, shape (n,), and the numbers for each of them along the first axis."""
        found = [self.numbers(int(count)) for count in counts]
        return {"count": counts, **{name: np.array([numbers[name] for numbers in found]) for name in found[0]}}


class AverageRule(Protocol):
    @property
    def status(self) -> str: ...

    def bind(self, x: Quant, y: Quant) -> AverageFunction: ...


@dataclass(frozen=True)
class FloatAverage:
    """ONNX Runtime's QLinearAveragePool: dequantize each tap, sum in float32 in row-major order, divide, quantize.

    y = clip(rint(f32(f32(f32(sum / f32(count)) / s_y) + z_y))): the zero point is inside the rounding.
    Source: contrib_ops/cpu/quantization/qlinear_pool.cc.
    """

    status: str = "established"

    def bind(self, x: Quant, y: Quant) -> AverageFunction:
        def average(taps: Codes, inside: Array, count: Int64) -> Codes:
            total: Float32 = np.zeros(taps.shape[1:], np.float32)
            with np.errstate(all="ignore"):
                for tap, valid in zip(taps, inside, strict=True):
                    real = float32.dequantize(tap, x.scale, x.zero_point)
                    total = np.where(valid, total + real, total).astype(np.float32)
                mean = total / count.astype(np.float32)
                shifted: Float32 = np.divide(mean, y.scale, dtype=np.float32) + y.zero_point.astype(np.float32)
            return saturate(float32.to_int32_x86(shifted), y)

        return AverageFunction(average)


@dataclass(frozen=True)
class DividedAverage:
    """TFLite, CMSIS-NN: with equal scales the sum of raw codes divided by the count, halves away from zero; with
    unequal ones the arithmetic of the global average, per count."""

    mean: MeanRule
    status: str = "established"

    def bind(self, x: Quant, y: Quant) -> AverageFunction:
        def average(taps: Codes, inside: Array, count: Int64) -> Codes:
            raw = np.where(inside, taps.astype(np.int64), 0).sum(axis=0)
            if x.same_as(y):
                return saturate(np.sign(raw) * ((np.abs(raw) + count // 2) // count), y)
            return by_count(lambda n: self.mean.bind(x, y, n), raw, inside, count, x)

        if x.same_as(y):
            return AverageFunction(average)
        return AverageFunction(average, lambda n: self.mean.bind(x, y, n).parameters)


@dataclass(frozen=True)
class MeanAverage:
    """Every window as a global average over its count of elements."""

    mean: MeanRule
    status: str = "established"

    def bind(self, x: Quant, y: Quant) -> AverageFunction:
        def average(taps: Codes, inside: Array, count: Int64) -> Codes:
            raw = np.where(inside, taps.astype(np.int64), 0).sum(axis=0)
            return by_count(lambda n: self.mean.bind(x, y, n), raw, inside, count, x)

        return AverageFunction(average, lambda n: self.mean.bind(x, y, n).parameters)


@dataclass(frozen=True)
class ReciprocalAverage:
    """ST Neural-ART: sum of raw codes * rint(2^(14+L) / N), rounding right shift by 14 + L, L = ceil(log2 N), with
    equal scales (established for 2x2); with unequal ones as the global average (inferred)."""

    mean: MeanRule
    tie: str = "half-up"
    status: str = "inferred"

    def bind(self, x: Quant, y: Quant) -> AverageFunction:
        def average(taps: Codes, inside: Array, count: Int64) -> Codes:
            raw = np.where(inside, taps.astype(np.int64), 0).sum(axis=0)
            if not x.same_as(y):
                return by_count(lambda n: self.mean.bind(x, y, n), raw, inside, count, x)
            out = np.zeros(raw.shape, y.dtype)
            for n in np.unique(count):
                numbers = self._reciprocal(int(n))
                mean = ROUNDINGS[self.tie](raw * numbers["R"], numbers["shift"])
                np.copyto(out, saturate(mean, y), where=np.broadcast_to(count == n, raw.shape))
            return out

        if not x.same_as(y):
            return AverageFunction(average, lambda n: self.mean.bind(x, y, n).parameters)
        return AverageFunction(average, self._reciprocal)

    @staticmethod
    def _reciprocal(count: int) -> dict[str, int]:
        length = max(0, (count - 1).bit_length())
        return {"R": round(Fraction(2 ** (14 + length), count)), "shift": 14 + length}


def by_count(bind: Callable[[int], Requantizer], raw: Int64, inside: Array, count: Int64, x: Quant) -> Codes:
    """Apply the mean of each distinct count to the windows that have it. raw: sums of raw codes over the image."""
    present = np.broadcast_to(inside.sum(axis=0), raw.shape)
    sums = raw - int(x.zero_point) * present
    out: Codes | None = None
    for n in np.unique(count):
        codes = bind(int(n))(sums)
        out = codes if out is None else np.where(np.broadcast_to(count == n, raw.shape), codes, out)
    assert out is not None
    return out
