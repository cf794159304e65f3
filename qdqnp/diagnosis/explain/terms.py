"""The products that one output element of a layer sums."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.graph import Sizes
from qdqnp.lazy import lazy
from qdqnp.ops.origin import Origin
from qdqnp.program import Step
from qdqnp.quant import Array, Int64

Index = tuple[int, ...]


@dataclass(frozen=True)
class Term:
    """One product (x - z_x) * (w - z_w) of codes, or x * w of real values, whose zeros are 0."""

    #: None where the tap lies in the padding, whose code is z_x.
    x_index: Index | None
    w_index: Index
    x_code: int | float
    w_code: int | float
    x_zero: int
    w_zero: int

    @property
    def product(self) -> int | float:
        return (self.x_code - self.x_zero) * (self.w_code - self.w_zero)


@dataclass(frozen=True, eq=False)
class Terms:
    """All products of one sum, in the order of the weights."""

    #: Which elements meet, (terms, 2), as `Origin.products` has them.
    pairs: Int64
    #: The operands' shapes.
    shapes: tuple[Sizes, Sizes]
    #: Codes as int64, or real values as float64, (terms,); in the padding the zero point.
    x_codes: Array
    w_codes: Array
    #: int64, () or (terms,).
    x_zero: Int64
    w_zeros: Int64
    #: The bias as it stands, without the factors of a Gemm; None where there is none.
    bias: int | float | None

    @property
    def padded(self) -> Array:
        """Whether x lies in the padding, (terms,)."""
        return np.equal(self.pairs[:, 0], 0)

    @lazy
    def products(self) -> Array:
        """int64, or float64, which holds a product of two float32 exactly, (terms,)."""
        with np.errstate(all="ignore"):
            return np.asarray((self.x_codes - self.x_zero) * (self.w_codes - self.w_zeros))

    @property
    def total(self) -> int | float | None:
        """The sum of the products; of real ones the exact sum, rounded once, None where it is infinite or NaN."""
        if self.products.dtype.kind == "i":
            return int(self.products.sum())
        return math.fsum(self.products) if np.isfinite(self.products).all() else None

    def term(self, number: int) -> Term:
        at, to = (int(n) for n in self.pairs[number])
        x, w = self.shapes
        return Term(
            None if at == 0 else _index(at - 1, x),
            _index(to - 1 - math.prod(x), w),
            self.x_codes[number].item(),
            self.w_codes[number].item(),
            int(self.x_zero),
            int(np.broadcast_to(self.w_zeros, self.padded.shape)[number]),
        )


def terms(step: Step, arrays: Sequence[Array | None], origin: Origin) -> Terms:
    """Return the products of one output element of a layer that sums products of its operands 0 and 1.

    arrays: the operands' arrays. origin: where the element comes from.
    """
    pairs, (x, w) = origin.products, arrays[:2]
    assert pairs is not None and x is not None and w is not None
    at, to = pairs[:, 0] - 1, pairs[:, 1] - 1 - x.size
    x_zero, w_zeros = _zeros(step, 0, at, x.shape), _zeros(step, 1, to, w.shape)
    wide = np.float64 if x.dtype.kind == "f" else np.int64
    x_codes = np.where(at < 0, x_zero, x.reshape(-1)[np.maximum(at, 0)]).astype(wide)
    added = origin.numbers[origin.numbers[:, 1] == 0, 0] - 1 - x.size - w.size
    bias = arrays[2].reshape(-1)[added[0]].item() if added.size and arrays[2] is not None else None
    return Terms(pairs, (x.shape, w.shape), x_codes, w.reshape(-1)[to].astype(wide), x_zero, w_zeros, bias)


def _zeros(step: Step, operand: int, flat: Int64, shape: Sizes) -> Int64:
    """Return the zero point of each of these elements of an operand, () where it is one for all."""
    used = step.inputs[operand]
    if used is None or used.quant is None:
        return np.int64(0).reshape(())
    zero, axis = used.quant.zero_point.astype(np.int64), used.quant.axis
    return zero if zero.ndim == 0 or axis is None else zero[np.unravel_index(flat, shape)[axis]]


def _index(flat: int, shape: Sizes) -> Index:
    return tuple(int(i) for i in np.unravel_index(flat, shape))


def largest(found: Terms, count: int) -> list[Term]:
    """Return the terms of largest magnitude, largest first."""
    order = np.argsort(-np.abs(found.products), kind="stable")
    return [found.term(int(i)) for i in order[:count]]
