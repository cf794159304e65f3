"""How products of codes are added up: exactly, or as on a CPU whose instructions saturate on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.choices import OVERRIDES, Override, Overrides, choice, given_of
from qdqnp.numerics.rounding import NEAREST, ROUNDINGS, Quotient
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.status import ESTABLISHED, INFERRED, STATUSES
from qdqnp.numerics.width import saturate, wrap
from qdqnp.quant import Array, Int64


def integer_product(left: Array, right: Array) -> Int64:
    """Multiply integers (..., M, K) by (..., K, N), exactly, as int64.

    Through float64 where K times the largest magnitudes is below 2^53, so that every sum is exact in any order.
    """
    bound = left.shape[-1] * _magnitude(left) * _magnitude(right)
    wide = np.float64 if bound < 2**53 else np.int64
    found: Int64 = np.matmul(left.astype(wide), right.astype(wide)).astype(np.int64)
    return found


def _magnitude(values: Array) -> int:
    return max(abs(int(values.min())), abs(int(values.max()))) if values.size else 0


@dataclass(frozen=True, eq=False)
class SumTerms:
    """The factors of a layer's products, by groups of output channels that read the same inputs."""

    #: Codes of x (groups, K, positions), int64; padding holds the zero point.
    columns: Int64
    #: Codes of x less their zero points, the same shape.
    factors: Int64
    #: Codes of the weights (groups, channels, K), int64.
    raw: Int64
    #: Weights less their zero points, the same shape.
    centered: Int64
    #: The positions of K in the order (kernel row, kernel column, channel).
    order: Int64

    def exact(self) -> Int64:
        """Return the exact sums of (x - z_x)(w - z_w), (groups, channels, positions)."""
        return integer_product(self.centered, self.factors)


class AccumulateRule(Protocol):
    """A rule of how a device adds up products."""

    @property
    def status(self) -> str: ...

    @property
    def needs_products(self) -> bool:
        """Whether sums depend on the order of the products, so that a sum alone does not tell them."""
        ...

    def saturates(self, x: np.dtype[Any], w: np.dtype[Any], depthwise: bool) -> bool:
        """Tell whether sums of products of these codes may be other than exact."""
        ...

    def total(self, terms: SumTerms) -> Int64:
        """Return the sums of (x - z_x)(w - z_w) as the device has them, (groups, channels, positions)."""
        ...


@dataclass(frozen=True)
class ExactSum(Rule, family="accumulate"):
    """Every sum is exact (or wraps at 32 bits, which the requantization rule does)."""

    status: str = choice(ESTABLISHED, of=STATUSES)
    needs_products: ClassVar[bool] = False

    def saturates(self, x: np.dtype[Any], w: np.dtype[Any], depthwise: bool) -> bool:
        return False

    def total(self, terms: SumTerms) -> Int64:
        return terms.exact()


@dataclass(frozen=True)
class SaturatedPairs(Rule, family="accumulate"):
    """x86-64 with AVX2 or AVX-512 but without VNNI: VPMADDUBSW adds uint8 x int8 products in pairs, saturated to int16.

    The sum is over i of sat16(x[2i] w[2i] + x[2i+1] w[2i+1]) on raw codes, k in the order (row, column, channel) of a
    convolution; the zero points are corrected afterwards. Depthwise convolutions and other code types are exact.
    Source: core/mlas/lib/x86_64/QgemmU8S8KernelAvx2.S, ConvSymKernelAvx2.S.
    """

    status: str = choice(ESTABLISHED, of=STATUSES)
    needs_products: ClassVar[bool] = False

    def saturates(self, x: np.dtype[Any], w: np.dtype[Any], depthwise: bool) -> bool:
        return x == np.uint8 and w == np.int8 and not depthwise

    def total(self, terms: SumTerms) -> Int64:
        total = terms.exact()
        for pair in terms.order[: terms.order.size // 2 * 2].reshape(-1, 2):
            exact = integer_product(terms.raw[:, :, pair], terms.columns[:, pair])
            total += saturate(exact, 16) - exact
        return total


@dataclass(frozen=True)
class BlockSum(Rule, family="accumulate"):
    """A multiply-accumulate unit with an accumulator of so many bits, which saturates or wraps after each block.

    The products (x - z_x)(w - z_w) of a block are added up exactly and added to the accumulator, k in the order (kernel
    row, kernel column, channel); padding counts as products of 0, and the last block may be smaller. The bias is added
    by the requantization rule.
    """

    #: Products of one block.
    block: int = choice(of=range(1, 4097))
    #: The accumulator's width.
    bits: int = choice(of=range(8, 63))
    overflow: str = choice("saturate", of=("saturate", "wrap"), kind="accumulator wrap", text="sums that {value}")
    status: str = choice(INFERRED, of=STATUSES)
    needs_products: ClassVar[bool] = True

    def saturates(self, x: np.dtype[Any], w: np.dtype[Any], depthwise: bool) -> bool:
        return True

    def total(self, terms: SumTerms) -> Int64:
        keep = saturate if self.overflow == "saturate" else wrap
        groups, channels, terms_each = terms.centered.shape
        total = np.zeros((groups, channels, terms.columns.shape[2]), np.int64)
        for start in range(0, terms_each, self.block):
            part = terms.order[start : start + self.block]
            total = keep(total + integer_product(terms.centered[:, :, part], terms.factors[:, part]), self.bits)
        return total


# The numbers of one layer that may be known: its first shift, and for each row and column of its kernel the part that
# it belongs to, row by row.
SPLIT: Mapping[str, Override] = {"S1": Override(range(0, 32)), "parts": Override(range(0, 2**12), per_channel=True)}


@dataclass(frozen=True)
class SplitSum(Rule, family="accumulate"):
    """ST Neural-ART: a kernel that is too large for one unit is split, and each part is narrowed by the layer's S1.

        x16 = sat16(... sat16(sat16(RSR(sum of part 0, S1)) + sat16(RSR(sum of part 1, S1))) ...)

    The sums are x16 * 2^S1, which the layer's own first narrowing turns into x16. Layers that the rule does not name
    are not split, and exact. Parts are added in their order, which matters where three or more of them saturate.
    """

    #: How the narrowing rounds ties.
    tie: str = choice(of=ROUNDINGS, kind="tie rule", text="narrowing of a part {value}", unknown=NEAREST)
    status: str = choice(INFERRED, of=STATUSES)
    #: (layer label, (('S1', value), ('parts', (0, 0, 1)))) for layers that are split.
    overrides: Overrides = field(default=(), metadata={OVERRIDES: SPLIT})

    @property
    def needs_products(self) -> bool:
        """Whether the layer that `of_layer` chose is split."""
        return bool(given_of(self))

    def saturates(self, x: np.dtype[Any], w: np.dtype[Any], depthwise: bool) -> bool:
        return self.needs_products

    def total(self, terms: SumTerms) -> Int64:
        given = given_of(self)
        if not given:
            return terms.exact()
        parts, shift = np.ravel(given.get("parts", 0)), int(given.get("S1", 0))
        if terms.order.size % parts.size:
            expected = f"one number for each element of the kernel, of which {terms.order.size} products are made"
            raise ProfileError(
                "a split that does not fit its layer", [Problem("override parts", expected, f"{parts.size} numbers")]
            )
        inside = terms.order.reshape(parts.size, -1)
        total: Int64 = np.zeros(1, np.int64)
        for part in np.unique(parts):
            k = inside[parts == part].reshape(-1)
            sums = integer_product(terms.centered[:, :, k], terms.factors[:, k])
            total = saturate(total + saturate(Quotient(sums, shift).rounded(self.tie), 16), 16)
        return total << shift
