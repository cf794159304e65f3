"""How products of codes are added up: exactly, or as on a CPU whose instructions saturate on the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from qdqnp.numerics.choices import choice
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.status import ESTABLISHED, STATUSES
from qdqnp.numerics.width import saturate
from qdqnp.quant import Int64


class AccumulateRule(Protocol):
    """A rule of how a device adds up products."""

    @property
    def status(self) -> str: ...

    def saturates(self, x: np.dtype[Any], w: np.dtype[Any], depthwise: bool) -> bool:
        """Tell whether pairs of products of these codes are added up in 16 bits, with saturation."""
        ...

    def lost(self, columns: Int64, weights: Int64, pairing: Int64) -> Int64:
        """Return what saturation adds to the exact sums, (groups, channels, positions): 0 where nothing saturates.

        columns: raw codes (groups, K, positions).
        weights: raw codes (groups, channels, K).
        pairing: the positions of K as they are paired; an odd last one never saturates.
        """
        ...


@dataclass(frozen=True)
class ExactSum(Rule, family="accumulate"):
    """Every sum is exact (or wraps at 32 bits, which the requantization rule does)."""

    status: str = choice(ESTABLISHED, of=STATUSES)

    def saturates(self, x: np.dtype[Any], w: np.dtype[Any], depthwise: bool) -> bool:
        return False

    def lost(self, columns: Int64, weights: Int64, pairing: Int64) -> Int64:
        return np.zeros((*weights.shape[:2], columns.shape[2]), np.int64)


@dataclass(frozen=True)
class SaturatedPairs(Rule, family="accumulate"):
    """x86-64 with AVX2 or AVX-512 but without VNNI: VPMADDUBSW adds uint8 x int8 products in pairs, saturated to int16.

    The sum is over i of sat16(x[2i] w[2i] + x[2i+1] w[2i+1]) on raw codes, k in the order (row, column, channel) of a
    convolution; the zero points are corrected afterwards. Depthwise convolutions and other code types are exact.
    Source: core/mlas/lib/x86_64/QgemmU8S8KernelAvx2.S, ConvSymKernelAvx2.S.
    """

    status: str = choice(ESTABLISHED, of=STATUSES)

    def saturates(self, x: np.dtype[Any], w: np.dtype[Any], depthwise: bool) -> bool:
        return x == np.uint8 and w == np.int8 and not depthwise

    def lost(self, columns: Int64, weights: Int64, pairing: Int64) -> Int64:
        total = np.zeros((*weights.shape[:2], columns.shape[2]), np.int64)
        for pair in pairing[: pairing.size // 2 * 2].reshape(-1, 2):
            exact = weights[:, :, pair] @ columns[:, pair]
            total += saturate(exact, 16) - exact
        return total
