"""Global averages in float32, and of raw codes whose zero points come back as a constant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics import float32
from qdqnp.numerics.choices import choice
from qdqnp.numerics.float32 import as_f32
from qdqnp.numerics.multiplier import Fixed
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.status import ESTABLISHED, INFERRED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, clipped, exact_float, real_ties
from qdqnp.numerics.width import limited
from qdqnp.quant import Float32, Int64, Quant, Signs

#: The zero point of what has it in its sum.
NO_ZERO = np.zeros((), np.int8)


@dataclass(frozen=True, eq=False)
class RawMean(BoundRule):
    """A bound rule of the sum of raw codes, not of codes less their zero point."""

    x: Quant
    y: Quant
    count: int
    bias: None = None
    expression: None = None
    slope: None = None

    def raw(self, sums: Int64) -> Int64:
        """Return the sums of raw codes."""
        return sums + int(self.x.zero_point) * self.count


# -- LiteRT's optimized kernels ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class RoundedOffsetMean(Rule, family="mean"):
    """LiteRT's optimized MEAN over height and width:

        M = f32(s_x / f32(f32(N) * s_y))
        offset = z_y - (z_x * s_x / s_y, every step in float32, halves away from zero)
        y = clip(rescale(sum of raw codes, M) + offset)

    Inferred, because the kernel's last channels, those beyond a multiple of 16, round a half away from zero by another
    path, and a rule of means does not see the channel. Source: google-ai-edge/LiteRT,
    tflite/kernels/internal/optimized/integer_ops/mean.h.
    """

    rescale: Rescale
    status: str = choice(INFERRED, of=STATUSES)
    #: Averages of other planes take LiteRT's reference kernel, and are refused.
    dims: ClassVar[int] = 2

    def bind(self, x: Quant, y: Quant, count: int) -> Requantizer:
        with np.errstate(all="ignore"):
            real = as_f32(x.scale / as_f32(as_f32(np.asarray(count)) * y.scale))
            zero = as_f32(as_f32(as_f32(x.zero_point) * x.scale) / y.scale)
            rounded = np.trunc(as_f32(zero + np.copysign(np.float32(0.5), zero)))
        fixed = self.rescale.fix(np.asarray(real, np.float64))
        if not -(2.0**31) <= rounded < 2.0**31:  # a conversion that C++ does not define
            problem = Problem("scale ratio", "an offset of 32 bits", f"{float(rounded):.6g}")
            raise ProfileError("the offset of the mean is outside 32 bits", [problem])
        return RoundedOffset(x, y, count, rule=self, fixed=fixed, offset=int(y.zero_point) - int(rounded))


@dataclass(frozen=True, eq=False, kw_only=True)
class RoundedOffset(RawMean):
    """The bound RoundedOffsetMean."""

    rule: RoundedOffsetMean
    fixed: Fixed
    offset: int

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {**self.fixed.as_parameters(), "offset": np.int64(self.offset)}

    def stages(self, sums: Int64) -> list[StageValue]:
        raw = self.raw(sums)
        values = self.rule.rescale.values(raw, self.fixed)
        return [StageValue("acc", raw), *values, *clipped(values[-1].array + self.offset, self.y)]

    def ties(self, sums: Int64) -> Signs:
        return self.rule.rescale.ties(self.raw(sums), self.fixed)


# -- XNNPACK -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FloatOffsetMean(Rule, family="mean"):
    """XNNPACK's mean of int8, every step rounded to float32:

        M = f32(f32(s_x / s_y) * f32(1 / N))
        offset = f32(z_y - f32(f32(z_x * N) * M))
        y = clip(rint(f32(f32(f32(sum of raw codes) * M) + offset)))

    The zero points are inside the rounding, so where ties fall depends on them. Found by comparison with LiteRT 2.3.0.
    """

    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, count: int) -> Requantizer:
        with np.errstate(all="ignore"):
            multiplier = as_f32(as_f32(x.scale / y.scale) * (np.float32(1) / np.float32(count)))
            zeros = as_f32(as_f32(x.zero_point.astype(np.int64) * count) * multiplier)
            offset = as_f32(as_f32(y.zero_point) - zeros)
        return FloatOffset(x, y, count, multiplier=multiplier, offset=offset)


@dataclass(frozen=True, eq=False, kw_only=True)
class FloatOffset(RawMean):
    """The bound FloatOffsetMean."""

    multiplier: Float32
    offset: Float32

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"multiplier": self.multiplier, "offset": self.offset}

    def stages(self, sums: Int64) -> list[StageValue]:
        raw = self.raw(sums)
        with np.errstate(all="ignore"):
            product = as_f32(raw) * self.multiplier
            total = product + self.offset
        return [
            StageValue("acc", raw),
            StageValue("acc * M", product),
            StageValue("+ offset", total),
            StageValue("unclipped", np.rint(total), exact_float(total)),
            StageValue("y", limited(float32.round_clamped(total, NO_ZERO, self.y.dtype), self.y)),
        ]

    def ties(self, sums: Int64) -> Signs:
        return real_ties(self.stages(sums)[2].array)


# -- ESP-DL ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FloatReciprocalMean(Rule, family="mean"):
    """ESP-DL's average pools:

        M = f32(f32(s_x * f32(1 / N)) / s_y)
        y = clip(round(f32(f32(sum of (x - z_x)) * M)) + z_y)

    half-up is floor(f32(v + 0.5)). That is ESP-DL's C; its assembly for some shapes on ESP32-S3 was not compared.
    Source: espressif/esp-dl, dl/base/dl_base_avg_pool2d.cpp, dl/tool/src/dl_tool.cpp.
    """

    rounding: str = choice(of=("half-up", "half-even", "floor"), kind="tie rule", text="mean {value}")
    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, x: Quant, y: Quant, count: int) -> Requantizer:
        with np.errstate(all="ignore"):
            multiplier = as_f32(as_f32(x.scale * (np.float32(1) / np.float32(count))) / y.scale)
        return FloatReciprocal(self, multiplier, y)


@dataclass(frozen=True, eq=False)
class FloatReciprocal(BoundRule):
    """The bound FloatReciprocalMean."""

    rule: FloatReciprocalMean
    multiplier: Float32
    y: Quant
    bias: None = None
    expression: None = None
    slope: None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"multiplier": self.multiplier}

    def stages(self, sums: Int64) -> list[StageValue]:
        with np.errstate(all="ignore"):
            real = as_f32(sums) * self.multiplier
            half_up = np.floor(as_f32(real.astype(np.float64) + 0.5))
            rounded = {"half-up": half_up, "half-even": np.rint(real), "floor": np.floor(real)}[self.rule.rounding]
        zero = self.y.zero_point
        return [
            StageValue("acc", sums),
            StageValue("real", real),
            StageValue("rounded", rounded, exact_float(real)),
            StageValue("unclipped", rounded + int(zero)),
            StageValue("y", limited(float32.round_clamped(rounded, zero, self.y.dtype), self.y)),
        ]

    def ties(self, sums: Int64) -> Signs:
        return real_ties(self.stages(sums)[1].array)
