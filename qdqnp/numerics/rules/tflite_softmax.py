"""Softmax as TFLite has it, in fixed point and by a float table; both kernels make codes of one scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.lazy import lazy
from qdqnp.numerics import gemmlowp
from qdqnp.numerics.choices import choice, part
from qdqnp.numerics.rounding import Quotient
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.lookup import IdentityFunction, LookupRule
from qdqnp.numerics.rules.requantized import Requantized, own_output
from qdqnp.numerics.rules.softmax import SoftmaxFunction
from qdqnp.numerics.status import ESTABLISHED, INFERRED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, exact_float, real_ties, shifted, signs
from qdqnp.quant import Codes, Float32, Int64, Quant, Signs, code_range

#: Integer bits of differences to the row's maximum, and of the sum of exponentials.
DIFFERENCE_BITS, SUM_BITS = 5, 12


@dataclass(frozen=True)
class FixedSoftmax(Rule, family="softmax"):
    """TFLite's reference kernel and TFLite Micro's in gemmlowp's fixed point:

        d = (x - max) * s_x with 5 integer bits; what is too far below the maximum counts as 0 and has the lowest code
        e = exp(d), sum = the e with 12 integer bits
        y = sat8(round(e / sum * 2^8) + lowest code), of scale 1/256

    Codes of another scale or zero point are rescaled from these, as by the QUANTIZE of a converter: inferred.
    Source: google-ai-edge/LiteRT, tflite/kernels/internal/reference/softmax.h.
    """

    #: What rescales the kernel's codes.
    rescale: LookupRule = part("rescaling", "lookup")
    status: str = choice(ESTABLISHED, of=STATUSES)

    def status_between(self, x: Quant, y: Quant) -> str:
        """Return how sure the rule is of codes of x that become codes of y."""
        return self.status if is_own(y) else INFERRED

    def bind(self, x: Quant, y: Quant, width: int) -> SoftmaxFunction:
        return rescaled(self.rescale, y, lambda own: fixed_rows(x, own))


def is_own(y: Quant) -> bool:
    """Tell whether TFLite's kernels make these codes themselves."""
    return float(y.scale) == 1 / 256 and int(y.zero_point) == code_range(y.dtype)[0]


def rescaled(rescale: LookupRule, y: Quant, kernel: Callable[[Quant], SoftmaxFunction]) -> SoftmaxFunction:
    """Return a kernel of codes of scale 1/256, or that and a rescale to other codes."""
    if is_own(y):
        return kernel(y)
    own = own_output(1 / 256, y)
    return Requantized(kernel(own), rescale.bind(own, y, IdentityFunction()))


def fixed_rows(x: Quant, y: Quant) -> FixedRows:
    """Bind TFLite's fixed-point kernel. Raises ProfileError for scales that it does not take."""
    real = min(float(x.scale) * 2.0 ** (31 - DIFFERENCE_BITS), 2.0**31 - 1)
    fraction, shift = math.frexp(real)
    value = math.floor(fraction * 2.0**31 + 0.5)
    if value == 2**31:
        value, shift = value >> 1, shift + 1
    if shift < 0:
        problem = Problem("input scale", "at least 2^-27", str(x.scale))
        raise ProfileError("a scale outside the kernel's domain", [problem])
    radius = (2**DIFFERENCE_BITS - 1) * 2 ** (31 - DIFFERENCE_BITS) >> shift
    return FixedRows(x, y, value, shift, radius)


@dataclass(frozen=True, eq=False)
class FixedRows(BoundRule):
    """The bound FixedSoftmax."""

    x: Quant
    y: Quant
    multiplier: int
    shift: int
    #: Codes farther below the maximum count as 0.
    radius: int

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"multiplier": np.int64(self.multiplier), "shift": np.int64(self.shift), "radius": np.int64(self.radius)}

    def _products(self, codes: Codes) -> tuple[Int64, Int64, Quotient]:
        """Return exponentials, sums of rows, and e / sum."""
        below = codes.astype(np.int64) - codes.max(axis=1, keepdims=True).astype(np.int64)
        inside = below >= -self.radius
        scaled = gemmlowp.high(np.where(inside, below, 0) << self.shift, self.multiplier)
        exponential = np.where(inside, gemmlowp.exp_negative(scaled, DIFFERENCE_BITS), 0)
        total = gemmlowp.over_power(exponential, SUM_BITS).sum(axis=1, keepdims=True)
        room = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
        part = ((total << room) & (2**32 - 1)) - 2**31
        quotient = gemmlowp.high(gemmlowp.reciprocal(part), exponential)
        return exponential, total, Quotient(quotient, np.broadcast_to(SUM_BITS - room + 31 - 8, quotient.shape))

    def stages(self, codes: Codes) -> list[StageValue]:
        exponential, total, quotient = self._products(codes)
        rounded = quotient.rounded("half-away")
        return [
            StageValue("exponential", exponential),
            StageValue("sum", total),
            StageValue("product", quotient.value),
            StageValue("rounded", rounded, quotient.exact),
            *shifted(rounded, self.y),
        ]

    def ties(self, codes: Codes) -> Signs:
        _, _, quotient = self._products(codes)
        return signs(quotient.value, quotient.is_tie())


# -- LiteRT's optimized kernel -----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FloatSoftmax(Rule, family="softmax"):
    """LiteRT's optimized kernel on x86-64, every operation rounded to float32:

        e = exp(-s_x * (max - x)) from a table, sum = the row's entries added in order
        y = sat8(round(e * (1 / (sum / 256))) + lowest code), halves away from zero, of scale 1/256

    Other codes are rescaled from these, as in `FixedSoftmax`. On 64-bit ARM LiteRT has another
    kernel, of 16-bit tables.
    Source: google-ai-edge/LiteRT, tflite/kernels/internal/optimized/optimized_ops.h (Softmax).
    """

    #: What rescales the kernel's codes.
    rescale: LookupRule = part("rescaling", "lookup")
    status: str = choice(ESTABLISHED, of=STATUSES)

    def status_between(self, x: Quant, y: Quant) -> str:
        """Return how sure the rule is of codes of x that become codes of y."""
        return self.status if is_own(y) else INFERRED

    def bind(self, x: Quant, y: Quant, width: int) -> SoftmaxFunction:
        return rescaled(self.rescale, y, lambda own: FloatRows(x, own))


@dataclass(frozen=True, eq=False)
class FloatRows(BoundRule):
    """The bound FloatSoftmax."""

    x: Quant
    y: Quant

    @lazy
    def table(self) -> Float32:
        """exp(-s_x * d) for d from 0 to 255."""
        arguments = -np.float32(self.x.scale) * np.arange(256, dtype=np.float32)
        return np.exp(arguments.astype(np.float64)).astype(np.float32)

    def _scaled(self, codes: Codes) -> tuple[Float32, Float32, Float32]:
        """Return the table's entries, the sum of each row's entries, and the quotients in units of s_y."""
        wide = codes.astype(np.int64)
        entries = self.table[wide.max(axis=1, keepdims=True) - wide]
        total = np.add.accumulate(entries, axis=1)[:, -1]  # one after the other, unlike np.sum
        inverse = np.float32(1) / (total * self.y.scale)
        return entries, total, entries * inverse[:, None]

    def stages(self, codes: Codes) -> list[StageValue]:
        entries, total, real = self._scaled(codes)
        rounded = np.floor(real.astype(np.float64) + 0.5).astype(np.int64)
        return [
            StageValue("exponential", entries),
            StageValue("sum", total[:, None]),
            StageValue("real", real),
            StageValue("rounded", rounded, exact_float(real)),
            *shifted(rounded, self.y),
        ]

    def ties(self, codes: Codes) -> Signs:
        return real_ties(self._scaled(codes)[2])
