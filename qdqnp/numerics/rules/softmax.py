"""Rows of 8-bit codes become the codes of their softmax."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from qdqnp.lazy import lazy
from qdqnp.numerics.choices import choice
from qdqnp.numerics.rational import fraction
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.status import ESTABLISHED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, exact_float, real_ties, shifted
from qdqnp.quant import Array, Codes, Float32, Int64, Quant, Signs, code_range


class SoftmaxFunction(Protocol):
    """A bound rule of rows. Calling it maps codes, shape (rows, width), to codes of the same shape."""

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    def __call__(self, codes: Codes) -> Codes: ...

    def stages(self, codes: Codes) -> list[StageValue]:
        """Return every value between the row and its codes, in order; 'unclipped' and 'y' last."""
        ...

    def ties(self, codes: Codes) -> Signs:
        """Return the sign of each value that met an exact half at the rounding, else 0."""
        ...


class SoftmaxRule(Protocol):
    """A rule of rows of codes."""

    @property
    def status(self) -> str: ...

    def bind(self, x: Quant, y: Quant, width: int) -> SoftmaxFunction:
        """Bind the rule to two quantizations per tensor and a row length."""
        ...


@dataclass(frozen=True)
class TableSoftmax(Rule, family="softmax"):
    """ONNX Runtime's QLinearSoftmax since 1.32: exponentials from a table, their float32 sum, one float64 division.

        shift = max(0, f32 log(f32(FLT_MAX / width)) - 5) / s_x, so that a sum of `width` entries stays finite
        table[i] = f32(exp((i - 255 + shift) * s_x))
        sum = the row's entries added in order, in float32
        y = clip(rint(table * floor(f32(1 / s_y)) / sum) + z_y), in float64

    A row is shifted so that its maximum is entry 255.
    Source: contrib_ops/cpu/quantization/qlinear_softmax.cc; the exponential is the C library's.
    """

    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, width: int) -> SoftmaxFunction:
        return TabledSoftmax(self.table(x, width), x, y)

    @staticmethod
    def table(x: Quant, width: int) -> Float32:
        scale = float(x.scale)
        room = np.log(np.finfo(np.float32).max / np.float32(width), dtype=np.float32)
        shift = max(0.0, float(room) - 5.0) / scale
        return np.array([math.exp((index - 255 + shift) * scale) for index in range(256)], np.float64).astype(
            np.float32
        )


@dataclass(frozen=True, eq=False)
class TabledSoftmax(BoundRule):
    """The bound TableSoftmax."""

    #: float32, shape (256,).
    table: Float32
    x: Quant
    y: Quant

    def _scaled(self, codes: Codes) -> tuple[Float32, Float32, Array]:
        """Return the table's entries, the sum of each row's entries, and the quotients in units of s_y, float64."""
        index = codes.astype(np.int64) - code_range(self.x.dtype)[0]
        entries = self.table[index + (255 - index.max(axis=1, keepdims=True))]
        total = np.add.accumulate(entries, axis=1)[:, -1]  # one after the other, unlike np.sum
        one = float(np.floor(np.float32(1) / self.y.scale))
        with np.errstate(all="ignore"):
            return entries, total, entries.astype(np.float64) * one / total.astype(np.float64)[:, None]

    def stages(self, codes: Codes) -> list[StageValue]:
        entries, total, real = self._scaled(codes)
        with np.errstate(all="ignore"):  # scales may have any size, and a quotient be no number
            rounded = np.rint(real).astype(np.int64)
        return [
            StageValue("exponential", entries),
            StageValue("sum", total[:, None]),
            StageValue("real", real),
            StageValue("rounded", rounded, exact_float(real)),
            *shifted(rounded, self.y),
        ]

    def ties(self, codes: Codes) -> Signs:
        return real_ties(self._scaled(codes)[2])


# -- the ideal ---------------------------------------------------------------------------------------------------------
#: Bits of the exponentials' fractions: far more than decide between two codes.
EXPONENTIAL_BITS = 200


@dataclass(frozen=True)
class RationalSoftmax(Rule, family="softmax"):
    """The real softmax in units of s_y, rounded half to even; its exponentials are within 2^-200."""

    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, width: int) -> SoftmaxFunction:
        return RationalRows(x, y)


@dataclass(frozen=True, eq=False)
class RationalRows(BoundRule):
    """The bound RationalSoftmax."""

    x: Quant
    y: Quant

    @lazy
    def powers(self) -> tuple[int, ...]:
        """exp(-d * s_x) * 2^200 for d from 0 to 255."""
        scale = fraction(self.x.scale)
        with localcontext() as context:
            context.prec = 80
            step = Decimal(scale.numerator) / Decimal(scale.denominator)
            return tuple(int((-step * below).exp() * 2**EXPONENTIAL_BITS) for below in range(256))

    @lazy
    def powers_in_float64(self) -> Array:
        """exp(-d * s_x) for d from 0 to 255, each the nearest float64 to `powers`."""
        return np.array([power / 2**EXPONENTIAL_BITS for power in self.powers])

    def _halves(self, codes: Codes) -> tuple[Int64, Signs, Array]:
        """Return the rounded quotients, whether each was an exact half, and the quotients in float64.

        A quotient of float64 sums over n codes is within a relative error of (n + 3) * 2^-53: what is farther from a
        half than that is rounded by it, the rest in integers.
        """
        unit, limit = float(self.y.scale), 2**20  # far outside every code
        below = codes.max(axis=-1, keepdims=True).astype(np.int64) - codes
        entries = self.powers_in_float64[below]
        real = np.minimum(entries / (entries.sum(axis=-1, keepdims=True) * unit), limit)
        error = real * ((codes.shape[-1] + 8) * 2.0**-53)
        rounded, ties = np.rint(real).astype(np.int64), np.zeros(codes.shape, np.int8)
        unsure = np.abs(real - np.floor(real) - 0.5) <= error
        for at in np.flatnonzero(unsure.any(axis=-1)).tolist():
            for place in np.flatnonzero(unsure[at]).tolist():
                rounded[at, place], ties[at, place], real[at, place] = self._exactly(below[at], place, limit)
        return rounded, ties, real

    def _exactly(self, below: Int64, place: int, limit: int) -> tuple[int, bool, float]:
        """Return one rounded quotient, whether it was an exact half, and the quotient."""
        unit = fraction(self.y.scale)
        bottom = sum(self.powers[code] for code in below.tolist()) * unit.numerator
        value = min(Fraction(self.powers[int(below[place])] * unit.denominator, bottom), Fraction(limit))
        return round(value), value.denominator == 2, float(value)

    def stages(self, codes: Codes) -> list[StageValue]:
        rounded, _, real = self._halves(codes)
        return [StageValue("real", real), StageValue("rounded", rounded, exact_float(real)), *shifted(rounded, self.y)]

    def ties(self, codes: Codes) -> Signs:
        return self._halves(codes)[1]
