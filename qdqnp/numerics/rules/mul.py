"""Multiplication of two tensors of 8-bit codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.numerics import float32
from qdqnp.numerics.choices import choice, part
from qdqnp.numerics.float32 import as_f32
from qdqnp.numerics.rational import RationalSum, fraction
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.binary import BinaryFunction
from qdqnp.numerics.rules.requantize.protocol import Requantizer, RequantizeRule, SumContext
from qdqnp.numerics.status import ESTABLISHED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, clipped, exact_float, real_ties, shifted
from qdqnp.quant import Codes, Float32, Int64, Quant, Signs

PRODUCT = "(a - z_a) * (b - z_b)"


# -- ONNX Runtime ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FloatMul(Rule, family="mul"):
    """ONNX Runtime's QLinearMul, where product = (a - z_a)(b - z_b) is exact and the two roundings are not contracted:

        r = f32(f32(s_a*s_b)/s_y)
        y = clip(cvtps2dq(f32(f32(product * r) + z_y)))

    Source: core/mlas/lib/qlmul.cpp.
    """

    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        with np.errstate(all="ignore"):
            return FloatMultiplied(a, b, y, as_f32(as_f32(a.scale * b.scale) / y.scale))


@dataclass(frozen=True, eq=False)
class FloatMultiplied(BoundRule):
    """The bound FloatMul."""

    a: Quant
    b: Quant
    y: Quant
    ratio: Float32

    @property
    def parameters(self) -> Mapping[str, Any]:
        return {"ratio": self.ratio}

    def stages(self, a: Codes, b: Codes) -> list[StageValue]:
        product = self.a.centered(a) * self.b.centered(b)
        with np.errstate(all="ignore"):
            real = as_f32(product) * self.ratio
            total = real + np.float32(int(self.y.zero_point))
        return [
            StageValue(PRODUCT, product),
            StageValue("product * ratio", real),
            StageValue("+ z_y", total),
            *clipped(float32.to_int32_x86(total), self.y, exact_float(total)),
        ]

    def ties(self, a: Codes, b: Codes) -> Signs:
        return real_ties(self.stages(a, b)[2].array)


# -- TFLite ------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class RescaledMul(Rule, family="mul"):
    """TFLite, CMSIS-NN, XNNPACK, TOSA: y = clip(rescale((a - z_a)(b - z_b), s_a * s_b / s_y) + z_y).

    The multiplier is formed as `rescale` forms that of a convolution: in float32 in LiteRT, in float64 in TFLite Micro.
    Source: kernels/mul.cc of google-ai-edge/LiteRT, micro/kernels/mul_common.cc of tensorflow/tflite-micro.
    """

    rescale: RequantizeRule = part("requantize")
    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        return RescaledProduct(a, b, self.rescale.bind(SumContext(a, b, y)))


@dataclass(frozen=True, eq=False)
class RescaledProduct(BoundRule):
    """The bound RescaledMul: the product takes the place of a convolution's sum."""

    a: Quant
    b: Quant
    rescaled: Requantizer

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.rescaled.parameters

    def _product(self, a: Codes, b: Codes) -> Int64:
        return self.a.centered(a) * self.b.centered(b)

    def stages(self, a: Codes, b: Codes) -> list[StageValue]:
        product = self._product(a, b)
        return [StageValue(PRODUCT, product), *self.rescaled.stages(product)[1:]]

    def ties(self, a: Codes, b: Codes) -> Signs:
        return self.rescaled.ties(self._product(a, b))


# -- the ideal ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class RationalMul(Rule, family="mul"):
    """The exact product of the real values in units of s_y, rounded half to even."""

    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, a: Quant, b: Quant, y: Quant) -> BinaryFunction:
        return RationalMultiplied(a, b, y)


@dataclass(frozen=True, eq=False)
class RationalMultiplied(BoundRule):
    """The bound RationalMul."""

    a: Quant
    b: Quant
    y: Quant

    def _product(self, a: Codes, b: Codes) -> RationalSum:
        factor = fraction(self.a.scale) * fraction(self.b.scale) / fraction(self.y.scale)
        return RationalSum([self.a.centered(a) * self.b.centered(b)], [[factor]])

    def stages(self, a: Codes, b: Codes) -> list[StageValue]:
        product = self._product(a, b)
        rounded = product.rounded()
        return [
            StageValue(PRODUCT, np.asarray(product.values[0])),
            StageValue("real", product.real()),
            StageValue("rounded", rounded, product.at),
            *shifted(rounded, self.y),
        ]

    def ties(self, a: Codes, b: Codes) -> Signs:
        return self._product(a, b).ties()
