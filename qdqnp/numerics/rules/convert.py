"""Real numbers become codes and back: QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from qdqnp.numerics import float32
from qdqnp.numerics.choices import choice
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.status import ESTABLISHED, STATUSES
from qdqnp.numerics.width import limited
from qdqnp.quant import Codes, Float32, Quant


class ConvertRule(Protocol):
    """A rule between real numbers and codes; scale and zero point of `quant` are broadcastable to the array here."""

    @property
    def status(self) -> str: ...

    def quantize(self, x: Float32, quant: Quant) -> Codes: ...

    def dequantize(self, codes: Codes, quant: Quant) -> Float32: ...


@dataclass(frozen=True)
class FloatConvert(Rule, family="convert"):
    """ONNX Runtime: `float32.quantize`, and f32(f32(code - zero point) * scale)."""

    status: str = choice(ESTABLISHED, of=STATUSES)

    def quantize(self, x: Float32, quant: Quant) -> Codes:
        return limited(float32.quantize(x, quant.scale, quant.zero_point, quant.dtype), quant)

    def dequantize(self, codes: Codes, quant: Quant) -> Float32:
        return float32.dequantize(codes, quant.scale, quant.zero_point)
