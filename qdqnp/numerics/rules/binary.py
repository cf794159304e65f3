"""Two tensors of 8-bit codes to one: Add and Mul."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qdqnp.numerics import float32
from qdqnp.quant import Codes, Float32, Int64, Quant

BinaryFunction = Callable[[Codes, Codes], Codes]  # broadcasting; pure; the result has y's dtype


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

        return add


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

        return mul


def as_f32(value: Codes | Float32) -> Float32:
    return np.asarray(value, np.float32)
