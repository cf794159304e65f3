"""The products that one output element of a layer sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.numerics.questions import Products
from qdqnp.quant import Array, Quant

Index = tuple[int, ...]


@dataclass(frozen=True)
class Term:
    """One product (x - z_x) * (w - z_w)."""

    #: None where the tap lies in the padding, whose code is z_x.
    x_index: Index | None
    w_index: Index
    x_code: int
    w_code: int
    x_zero: int
    w_zero: int

    @property
    def product(self) -> int:
        return (self.x_code - self.x_zero) * (self.w_code - self.w_zero)


def terms(products: Products, x: Array, w: Array, position: int, channel: int) -> list[Term]:
    """The terms of one output element, in the order of the weights; their products add up to its sum.

    x, w: the layer's operands. position, channel: of the element among the sums.
    """
    zero = int(products.x.zero_point)
    return [
        Term(at, to, zero if at is None else int(x[at]), int(w[to]), zero, _zero_of(products.w, to))
        for at, to in products.terms(position, channel)
    ]


def _zero_of(quant: Quant, index: Index) -> int:
    zero = quant.zero_point
    return int(zero) if zero.ndim == 0 else int(zero[index[quant.axis or 0]])


def largest(found: Sequence[Term], count: int) -> list[Term]:
    """The terms of largest magnitude, largest first."""
    order = np.argsort([-abs(term.product) for term in found], kind="stable")
    return [found[int(i)] for i in order[:count]]
