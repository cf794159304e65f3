"""Two tensors of 8-bit codes to one: Add and Mul."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics import float32
from qdqnp.numerics.rational import RationalSum, fraction
from qdqnp.numerics.rounding import ROUNDINGS, half_away
from qdqnp.numerics.rules.requantize import Rescale, largest_shift
from qdqnp.quant import Codes, Float32, Int64, Quant


@dataclass(frozen=True, eq=False)
class BinaryFunction:
    """A bound rule: codes of a and b, broadcast, to codes of y. parameters: the numbers it uses."""

    function: Callable[[Codes, Codes], Codes]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, a: Codes, b: Codes) -> Codes:
        return self.function(a, b)


class BinaryRule(Protocol):
    """Quants are per tensor. The bound function maps codes of a and b to codes of y, element by element."""

    @property
    def status(self) -> str: ...

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction: ...


def saturate(value: Int64, y: Quant) -> Codes:
    low, high = y.range
    return np.clip(value, low, high).astype(y.dtype)


@dataclass(frozen=True)
class FloatAdd:
    """ONNX Runtime's QLinearAdd on x86-64 with FMA3, on raw codes:

    r_a = f32(s_a/s_y), r_b = f32(s_b/s_y), offset = f32(z_y - fma(r_a, z_a, f32(r_b * z_b))),
    y = clip(cvtps2dq(fma(a, r_a, fma(b, r_b, offset)))).

    The zero point takes part in the rounding, so where ties fall depends on it. a is the operand that is not
    broadcast along the innermost axis; the operator swaps the two otherwise.
    Source: core/mlas/lib/intrinsics/avx2/qladd_avx2.cpp.
    """

    status: str = "established"

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        with np.errstate(all="ignore"):
            ratio_a, ratio_b = as_f32(a.scale / y.scale), as_f32(b.scale / y.scale)
            zeros = float32.fma32(ratio_a, as_f32(a.zero_point), as_f32(ratio_b * as_f32(b.zero_point)))
            offset = as_f32(as_f32(y.zero_point) - zeros)

        def add(codes_a: Codes, codes_b: Codes) -> Codes:
            inner = float32.fma32(as_f32(codes_b), ratio_b, offset)
            return saturate(float32.to_int32_x86(float32.fma32(as_f32(codes_a), ratio_a, inner)), y)

        return BinaryFunction(add, {"ratio_a": ratio_a, "ratio_b": ratio_b, "offset": offset})


@dataclass(frozen=True)
class FixedAdd:
    """ONNX Runtime's QLinearAdd on ARM64, from its source. r_a = f32(s_a/s_y), r_b = f32(s_b/s_y); with e the exponent
    of the larger one, sh = 21 - e; M = rint(r * 2^sh);

    acc = (a - z_a) M_a + (b - z_b) M_b; r = acc / 2^sh, halves away from zero; y = sat8(sat16(sat16(r) + z_y)).

    Defined where the smaller ratio is at least 2^-14, the larger below 256 and 13 <= sh <= 31; elsewhere ARM64 takes a
    float path that the source leaves to the compiler. Source: core/mlas/lib/qladd.cpp.
    """

    status: str = "inferred"

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        with np.errstate(all="ignore"):
            ratios = [float(as_f32(q.scale / y.scale)) for q in (a, b)]
        shift = 22 - math.frexp(max(ratios))[1]  # frexp's exponent is one more than that of 1.f * 2^e
        if not (min(ratios) >= 2.0**-14 and max(ratios) < 256 and 13 <= shift <= 31):
            problem = Problem(
                "scale ratios", "each in [2^-14, 256), for the fixed-point path", f"{ratios[0]} and {ratios[1]}"
            )
            raise ProfileError("an addition whose arithmetic on ARM64 is not known", [problem])
        multipliers = [int(np.rint(as_f32(np.ldexp(np.float32(ratio), shift)))) for ratio in ratios]

        def add(codes_a: Codes, codes_b: Codes) -> Codes:
            left = (codes_a.astype(np.int64) - int(a.zero_point)) * multipliers[0]
            right = (codes_b.astype(np.int64) - int(b.zero_point)) * multipliers[1]
            # saturates to 16 bits on the way too, which never shows behind the clip to 8
            return saturate(half_away(left + right, shift) + int(y.zero_point), y)

        return BinaryFunction(add, {"multipliers": np.array(multipliers), "shift": np.int64(shift)})


@dataclass(frozen=True)
class FloatMul:
    """ONNX Runtime's QLinearMul: r = f32(f32(s_a*s_b)/s_y); y = clip(cvtps2dq(f32(f32(product * r) + z_y))).

    product = (a - z_a)(b - z_b) is exact; the two roundings are not contracted. Source: core/mlas/lib/qlmul.cpp.
    """

    status: str = "established"

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        with np.errstate(all="ignore"):
            ratio = as_f32(as_f32(a.scale * b.scale) / y.scale)
        zero_a, zero_b, zero_y = int(a.zero_point), int(b.zero_point), np.float32(int(y.zero_point))

        def mul(codes_a: Codes, codes_b: Codes) -> Codes:
            product = (codes_a.astype(np.int64) - zero_a) * (codes_b.astype(np.int64) - zero_b)
            with np.errstate(all="ignore"):
                return saturate(float32.to_int32_x86(as_f32(product) * ratio + zero_y), y)

        return BinaryFunction(mul, {"ratio": ratio})


@dataclass(frozen=True)
class ThreeRescaleAdd:
    """TFLite, CMSIS-NN: t = 2 * max(s_a, s_b); u_i = rescale((code - z) * 2^20, s_i / t);
    y = clip(rescale(u_a + u_b, t / (2^20 * s_y)) + z_y). Source: tensorflow/tflite-micro, kernels/add."""

    rescale: Rescale
    left_shift: int = 20
    status: str = "established"

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        twice = 2.0 * max(float(a.scale), float(b.scale))
        fixed_a, fixed_b = (self.rescale.fix(np.asarray(float(q.scale) / twice)) for q in (a, b))
        fixed_y = self.rescale.fix(np.asarray(twice / ((1 << self.left_shift) * float(y.scale))))
        fixed = (fixed_a, fixed_b, fixed_y)

        def add(codes_a: Codes, codes_b: Codes) -> Codes:
            wide_a = (codes_a.astype(np.int64) - int(a.zero_point)) << self.left_shift
            wide_b = (codes_b.astype(np.int64) - int(b.zero_point)) << self.left_shift
            total = self.rescale.apply(wide_a, fixed_a) + self.rescale.apply(wide_b, fixed_b)
            return saturate(self.rescale.apply(total, fixed_y) + int(y.zero_point), y)

        return BinaryFunction(
            add,
            {
                "left_shift": self.left_shift,
                "multipliers": np.array([f.value for f in fixed]),
                "shifts": np.array([f.shift for f in fixed]),
            },
        )


@dataclass(frozen=True)
class RescaledMul:
    """TFLite, CMSIS-NN: y = clip(rescale((a - z_a)(b - z_b), s_a * s_b / s_y) + z_y)."""

    rescale: Rescale
    status: str = "established"

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        fixed = self.rescale.fix(np.asarray(float(a.scale) * float(b.scale) / float(y.scale)))

        def mul(codes_a: Codes, codes_b: Codes) -> Codes:
            product = (codes_a.astype(np.int64) - int(a.zero_point)) * (codes_b.astype(np.int64) - int(b.zero_point))
            return saturate(self.rescale.apply(product, fixed) + int(y.zero_point), y)

        return BinaryFunction(mul, fixed.as_parameters())


@dataclass(frozen=True)
class RationalAdd:
    """The exact sum of the real values in units of s_y, half to even."""

    status: str = "established"

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        factors = [[fraction(q.scale) / fraction(y.scale)] for q in (a, b)]

        def add(codes_a: Codes, codes_b: Codes) -> Codes:
            values = [codes_a.astype(np.int64) - int(a.zero_point), codes_b.astype(np.int64) - int(b.zero_point)]
            return saturate(RationalSum(values, factors).rounded() + int(y.zero_point), y)

        return BinaryFunction(add)


@dataclass(frozen=True)
class RationalMul:
    """The exact product of the real values in units of s_y, half to even."""

    status: str = "established"

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        factor = fraction(a.scale) * fraction(b.scale) / fraction(y.scale)

        def mul(codes_a: Codes, codes_b: Codes) -> Codes:
            product = (codes_a.astype(np.int64) - int(a.zero_point)) * (codes_b.astype(np.int64) - int(b.zero_point))
            return saturate(RationalSum([product], [[factor]]).rounded() + int(y.zero_point), y)

        return BinaryFunction(mul)


@dataclass(frozen=True)
class AlignedAdd:
    """ST Neural-ART: y = sat8(RSR(((A * a) >> Aa) + ((B * b) >> Bb) + (C << Cs), S)) on raw codes.

    S puts the larger of s_a/s_y, s_b/s_y in [2^14, 2^15) with inner shift 0; the smaller gets the inner shift that
    puts it there too; C << Cs stands for z_y - z_a * s_a/s_y - z_b * s_b/s_y with C in int16 and Cs as small as that
    allows.
    The form is established, these choices and the inner rounding are inferred.
    """

    tie: str = "half-up"
    inner: str = "floor"
    status: str = "inferred"

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        p = self.parameters(a, b, y)
        inner, outer = ROUNDINGS[self.inner], ROUNDINGS[self.tie]

        def add(codes_a: Codes, codes_b: Codes) -> Codes:
            left = inner(codes_a.astype(np.int64) * p["A"], p["A_shift"])
            right = inner(codes_b.astype(np.int64) * p["B"], p["B_shift"])
            return saturate(outer(left + right + (p["C"] << p["C_shift"]), p["S"]), y)

        return BinaryFunction(add, p)

    def parameters(self, a: Quant, b: Quant, y: Quant) -> dict[str, int]:
        """A, B, C, their shifts and S."""
        ratio_a, ratio_b = float(a.scale) / float(y.scale), float(b.scale) / float(y.scale)
        shift = largest_shift(max(ratio_a, ratio_b))
        shift_a, shift_b = (largest_shift(ratio) - shift for ratio in (ratio_a, ratio_b))
        constant = int(y.zero_point) - ratio_a * int(a.zero_point) - ratio_b * int(b.zero_point)
        c_shift = 0
        while abs(round(math.ldexp(constant, shift - c_shift))) > 2**15 - 1:
            c_shift += 1
        return {
            "A": round(math.ldexp(ratio_a, shift + shift_a)),
            "B": round(math.ldexp(ratio_b, shift + shift_b)),
            "C": round(math.ldexp(constant, shift - c_shift)),
            "A_shift": shift_a,
            "B_shift": shift_b,
            "C_shift": c_shift,
            "S": shift,
        }


def as_f32(value: Codes | Float32) -> Float32:
    return np.asarray(value, np.float32)
