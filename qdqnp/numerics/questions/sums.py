"""Sums of products become codes: Conv, Gemm, MatMul."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.lazy import lazy
from qdqnp.numerics.choices import of_layer
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.questions.question import Summed, rows_of
from qdqnp.numerics.rules.accumulate import AccumulateRule, ExactSum, SumTerms
from qdqnp.numerics.rules.requantize.protocol import Requantizer, RequantizeRule, SumContext
from qdqnp.quant import EIGHT_BIT, Array, Codes, Int64, Quant

Index = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class SumWeights:
    """The weights of a layer that sums, by groups of output channels that read the same inputs."""

    #: Shape (groups, channels per group, K).
    codes: Codes
    #: Their zero points, broadcastable to the codes.
    zero_point: Codes
    #: The positions of K in the order in which a CPU that saturates pairs of products takes them.
    pairing: Int64
    #: Whether each channel reads one input channel of its own.
    depthwise: bool = False

    @lazy
    def raw(self) -> Int64:
        """The codes as int64, which sums that saturate are made of."""
        return self.codes.astype(np.int64)

    @lazy
    def centered(self) -> Int64:
        """The codes less their zero points as int64."""
        return self._less_zero_points(np.dtype(np.int64))

    def narrow(self) -> Array:
        """Return the codes less their zero points: those of 8 bits as int16, in little memory, others as int64."""
        return self._less_zero_points(np.dtype(np.int16 if self.codes.dtype in EIGHT_BIT else np.int64))

    def _less_zero_points(self, dtype: np.dtype[Any]) -> Array:
        centered: Array = self.codes.astype(dtype, order="C")
        centered -= self.zero_point.astype(dtype)  # in place: weights are large
        return centered

    @lazy
    def rows(self) -> Int64:
        """Weights less their zero points, shape (channels, K)."""
        groups, channels, terms = self.centered.shape
        return self.centered.reshape(groups * channels, terms)


class Products(Protocol):
    """Which products each output element adds up: (x - z_x) * (w - z_w) over K, for (positions, channels)."""

    @property
    def x(self) -> Quant: ...

    @property
    def w(self) -> Quant: ...

    @property
    def weights(self) -> SumWeights: ...

    @property
    def shape(self) -> tuple[int, ...]:
        """How many positions and channels there are."""
        ...

    def columns(self) -> Codes:
        """Return the codes of x that meet the weights, (groups, K, positions); padding holds x's zero point."""
        ...

    def terms(self, position: int, channel: int) -> Iterator[tuple[Index | None, Index]]:
        """Yield for each k the index of x's element (None in the padding) and that of the weight."""
        ...


def add_up(products: Products, accumulate: AccumulateRule) -> Int64:
    """Add up the products without bias, int64 (positions, channels): the definition, in integers.

    Where the order of sums matters, it is that of the rule.
    """
    columns, weights = products.columns().astype(np.int64), products.weights
    factors = columns - int(products.x.zero_point)
    terms = SumTerms(columns, factors, weights.raw, weights.centered, weights.pairing)
    differs = accumulate.saturates(products.x.dtype, products.w.dtype, weights.depthwise)
    sums = accumulate.total(terms) if differs else terms.exact()
    groups, channels, positions = sums.shape
    return sums.reshape(groups * channels, positions).T


@dataclass(frozen=True, eq=False)
class Sums(Summed):
    """Asks for the codes of sums (positions, channels) without bias; adding the bias is part of the rule."""

    rule: str
    context: SumContext
    #: What is added up; None where only the sums are known.
    products: Products | None = None
    #: How a device adds: exactly, or with products that saturate in pairs.
    accumulate: AccumulateRule = ExactSum()  # noqa: RUF009 - a frozen value
    #: The sums, where somebody has computed them already.
    known: Int64 | None = None

    @property
    def label(self) -> str:  # type: ignore[override]
        return self.context.label

    @lazy
    def sums(self) -> Int64:
        """The sums without bias, int64, shape (positions, channels)."""
        if self.known is not None:
            return self.known
        assert self.products is not None
        return add_up(self.products, self.accumulate)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.sums.shape if self.products is None else self.products.shape

    @property
    def total(self) -> Int64:
        """The accumulators: sums plus bias, not wrapped, shape (positions, channels)."""
        bias = self.context.wide_bias
        return self.sums if bias is None else self.sums + bias

    @property
    def by_row(self) -> bool:
        """Whether the bias differs by row, as QGemm's may: a channel's sum alone does not say the code."""
        bias = self.context.bias
        return bias is not None and bias.ndim > 1 and bias.shape[0] > 1

    def with_sums(self, sums: Int64) -> Self:
        return replace(self, products=None, known=sums)

    def bind(self, rule: RequantizeRule) -> Requantizer:
        return rule.bind(self.context)

    @property
    def arguments(self) -> tuple[Array, ...]:
        return (self.sums,)

    @property
    def y(self) -> Quant | None:  # type: ignore[override]
        return self.context.y

    def with_y(self, y: Quant) -> Self:
        return replace(self, context=replace(self.context, y=y))

    def made_of(self, at: Index, inputs: Sequence[Array | None]) -> Any:
        x, w = inputs[:2]
        assert self.products is not None and x is not None and w is not None
        bias, terms = self.context.bias, self.products.terms(*at)
        added = [] if bias is None else [(np.broadcast_to(bias, self.shape)[at], 0)]
        return np.reshape([(0 if tap is None else x[tap], w[to]) for tap, to in terms] + added, (-1, 2))

    def part(self, elements: slice) -> Self:
        rows = rows_of(elements, self.sums.shape[-1])
        bias = self.context.bias
        if bias is not None and self.by_row:
            bias = bias[rows]
        return replace(self, context=replace(self.context, bias=bias), products=None, known=self.sums[rows])

    def under(self, profile: Profile) -> Self:
        own = of_layer(profile.accumulate, self.label)
        if own == self.accumulate:
            return self
        if self.products is None:
            if any(rule.needs_products for rule in (own, self.accumulate)):
                problem = Problem("sums", "the products that they add up", "sums alone")
                raise ProfileError("sums whose order matters cannot be told from exact ones", [problem])
            return self
        weights = self.products.weights
        x, w = self.products.x.dtype, self.products.w.dtype
        if not any(rule.saturates(x, w, weights.depthwise) for rule in (own, self.accumulate)):
            return self
        return replace(self, accumulate=own, known=None)
