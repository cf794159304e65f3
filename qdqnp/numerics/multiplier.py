"""A real multiplier becomes an integer and a shift here, as each family of devices makes them.

`real_multiplier` forms M = s_in * s_w / s_out; a scheme turns M (float64 or float32, one per channel) into integers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.choices import choice
from qdqnp.numerics.rule import Rule
from qdqnp.quant import Float32, Int64

Real = NDArray[np.float64]
# The ways in which real_multiplier forms the scale product.
PRECISIONS = ("float64", "float32-product", "float32-products", "float32")


def real_multiplier(x: Float32, w: Float32, y: Float32, precision: str = "float64") -> Real:
    """Compute s_x * s_w / s_y as float64.

    `precision` says where the steps are rounded:

        'float64': the product is in float64, as in TFLite for int8 convolutions
        'float32-product': s_x * s_w is rounded to float32 first where w has one scale, as in LiteRT's optimized
            FullyConnected; with one per channel it is in float64
        'float32-products': s_x * s_w is rounded to float32 first for each channel, as Vela does for FullyConnected
        'float32': every step is rounded to float32, as in ONNX Runtime and LiteRT's Mul
    """
    with np.errstate(all="ignore"):
        if precision == "float32":
            return np.asarray(np.asarray(x * w, np.float32) / y, np.float32).astype(np.float64)
        narrow = precision == "float32-products" or (precision == "float32-product" and w.size == 1)
        product = (x * w).astype(np.float64) if narrow else x.astype(np.float64) * w
        return np.asarray(product / y.astype(np.float64), np.float64)


@dataclass(frozen=True, eq=False)
class Fixed:
    """An integer multiplier and a shift: value * 2^-shift stands for the real multiplier."""

    #: The multiplier, int64 >= 0, one per channel.
    value: Int64
    #: How far the product is shifted right, int64, one per channel; a negative shift multiplies.
    shift: Int64

    @property
    def real(self) -> Real:
        return np.ldexp(self.value.astype(np.float64), -self.shift.astype(np.int32))

    def as_parameters(self) -> Mapping[str, Int64]:
        return {"multiplier": self.value, "shift": self.shift}


class Scheme(Protocol):
    def __call__(self, real: Real) -> Fixed:
        """Return the integers for real multipliers. Raises ProfileError for multipliers it can't express."""
        ...


@dataclass(frozen=True)
class QuantizeMultiplier(Rule, family="scheme"):
    """TFLite: frexp(M) = q * 2^s, value = round-half-away(q * 2^31) in [2^30, 2^31), shift = 31 - s.

    The multiplier flushes to 0 where s < -31. Source: tensorflow/tflite-micro, kernels/internal/quantization_util.cc.
    """

    #: Whether s > 30 clamps to the largest multiplier, as it does under single rounding.
    single: bool = False
    #: Whether a multiplier of 2^31 is halved; Vela leaves it, and the shift.
    carries: bool = True

    def __call__(self, real: Real) -> Fixed:
        fraction, exponent = np.frexp(real)
        value, exponent = np.floor(fraction * 2.0**31 + 0.5).astype(np.int64), exponent.astype(np.int64)
        carry = (value == 2**31) & self.carries
        value, exponent = np.where(carry, value >> 1, value), exponent + carry
        tiny = (exponent < -31) | (real == 0)
        value, exponent = np.where(tiny, 0, value), np.where(tiny, 0, exponent)
        if self.single:
            large = exponent > 30
            value, exponent = np.where(large, 2**31 - 1, value), np.where(large, 30, exponent)
        return Fixed(value, 31 - exponent)


@dataclass(frozen=True)
class Reduced16(Rule, family="scheme"):
    """The 16-bit multiplier of TFLite's 16x8 kernels: (m + 2^15) >> 16, 0x7FFF from 0x7FFF0000 on; shift = 15 - s."""

    def __call__(self, real: Real) -> Fixed:
        full = QuantizeMultiplier()(real)
        value = np.where(full.value >= 0x7FFF0000, 0x7FFF, (full.value + (1 << 15)) >> 16)
        return Fixed(value, full.shift - 16)


@dataclass(frozen=True)
class Mantissa24(Rule, family="scheme"):
    """XNNPACK rndnu: the 24 bits of the float32 mantissa. Valid for M in [2^-32, 1)."""

    def __call__(self, real: Real) -> Fixed:
        narrow = real.astype(np.float32)
        if not ((narrow >= 2.0**-32) & (narrow < 1)).all():
            _refuse("multipliers in [2^-32, 1)", real)
        fraction, exponent = np.frexp(narrow.astype(np.float64))
        return Fixed((fraction * 2.0**24).astype(np.int64), 24 - exponent.astype(np.int64))


@dataclass(frozen=True)
class Truncated16(Rule, family="scheme"):
    """NVDLA: shift = 15 - (integer bits of M), value = trunc(M * 2^shift), int16. Source: nvdla/sw, LowPrecision.h."""

    def __call__(self, real: Real) -> Fixed:
        shift = 15 - np.frexp(real)[1].astype(np.int64)
        return Fixed(np.floor(np.ldexp(real, shift.astype(np.int32))).astype(np.int64), shift)


@dataclass(frozen=True)
class PowerOfTwo(Rule, family="scheme"):
    """M itself must be a power of two; value is then 1."""

    def __call__(self, real: Real) -> Fixed:
        fraction, exponent = np.frexp(real)
        if not (fraction == 0.5).all():
            _refuse("multipliers that are powers of two", real[fraction != 0.5] if real.ndim else real)
        return Fixed(np.ones(real.shape, np.int64), 1 - exponent.astype(np.int64))


@dataclass(frozen=True)
class TopMantissa(Rule, family="scheme"):
    """Rockchip's RK3588, as measured: the top 15 bits of M's float32 mantissa, the implicit one included, plus 1.

    With M = f * 2^e, f in [0.5, 1): value = floor(f * 2^15) + 1, shift = 15 - e. One multiplier for the layer: how a
    compiler splits those of channels is not known.
    """

    def __call__(self, real: Real) -> Fixed:
        if real.size != 1:
            problem = Problem("multipliers", "one for the layer (weights with one scale)", f"{real.size}")
            raise ProfileError("multipliers by channel, which are not known of this device", [problem])
        if not 2.0**-48 < float(real.reshape(-1)[0]) < 2.0**15:
            _refuse("multipliers in (2^-48, 2^15)", real)
        fraction, exponent = np.frexp(real.astype(np.float32).astype(np.float64))
        return Fixed(np.floor(fraction * 2.0**15).astype(np.int64) + 1, 15 - exponent.astype(np.int64))


@dataclass(frozen=True)
class FixedShift(Rule, family="scheme"):
    """XNNPACK's conversion between codes: value = rint(M * 2^bits), shift = bits, M in [2^-bits, 2^(15-bits)]."""

    bits: int = choice(8, of=range(1, 15))

    def __call__(self, real: Real) -> Fixed:
        if not ((real >= 2.0**-self.bits) & (real <= 2.0 ** (15 - self.bits))).all():
            _refuse(f"multipliers in [2^-{self.bits}, 2^{15 - self.bits}]", real)
        value = np.rint(np.ldexp(real, self.bits)).astype(np.int64)
        return Fixed(value, np.full(real.shape, self.bits, np.int64))


@dataclass(frozen=True)
class VelaPooling(Rule, family="scheme"):
    """Ethos-U's 1x1 pool that rescales codes, in a Concat: value = half-away((2^shift + 1) * M), shift = 31 - bits.

    bits makes room for M: one more than the bits of ceil(M) where M > 1; less the bits of ceil(1/M), plus one, where
    M < 1. Source: ethos-u-vela 5.2.0, register_command_stream_generator.py: generate_ofm_scaling_for_pooling.
    """

    def __call__(self, real: Real) -> Fixed:
        if not ((real > 2.0**-30) & (real < 2.0**28)).all():
            _refuse("multipliers in (2^-30, 2^28)", real)
        bits = np.array([_room(float(each)) for each in np.ravel(real)], np.int64).reshape(real.shape)
        shift = 31 - bits
        scale = (np.ldexp(1.0, shift.astype(np.int32)) + 1) * real
        return Fixed(np.floor(scale + 0.5).astype(np.int64), shift)


def _room(real: float) -> int:
    """Return how many bits Vela leaves for a factor above 1, or takes for one below."""
    if real > 1:
        return math.ceil(real).bit_length() + 1
    # 1/M in float32, as M is
    return 1 - math.ceil(np.float32(1) / np.float32(real)).bit_length() if real < 1 else 0


def largest_shift(real: float) -> int:
    """Return the shift that puts rint(real * 2^shift) in [2^14, 2^15); 14 where no shift does."""
    if not real > 0 or not math.isfinite(real):
        return 14
    shift = 15 - math.frexp(real)[1]
    return shift if round(math.ldexp(real, shift)) < 2**15 else shift - 1


def ceil_log2(real: float) -> int:
    """Return the exponent of the smallest power of two that is not below a number > 0.

    >>> ceil_log2(0.25), ceil_log2(0.3)
    (-2, -1)
    """
    fraction, exponent = math.frexp(real)
    return exponent - (fraction == 0.5)


def _refuse(expected: str, real: Real) -> None:
    found = float(np.asarray(real).reshape(-1)[0])
    raise ProfileError("a multiplier outside the profile's domain", [Problem("multiplier", expected, f"{found!r}")])
