"""Chooses the arithmetic that computes a layer's integer sums, and proves that it is exact.

Every product weight * code is an integer. Let P be the sum over k of the largest product at k (at least 0) and N that
of the smallest (at most 0), over the whole range of the input's codes. Whatever the order of additions, every partial
sum lies in [N, P]. If max(P, -N) <= 2^24, every partial sum is a float32, so float32 arithmetic, fused or not, does not
round at all; 2^53 does the same for float64. `@` on 8-bit integers wraps silently and is never used.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from qdqnp.errors import Problem, ProofError
from qdqnp.quant import Array, Int64

AUTO = "auto"
FLOAT32 = "float32"  # one float32 BLAS product
SPLIT = "float32-split"  # several float32 BLAS products over parts of K, added in float64
FLOAT64 = "float64"  # one float64 BLAS product
INT64 = "int64"  # NumPy's integer product: no BLAS, exact modulo 2^64
STRATEGIES = (AUTO, FLOAT32, SPLIT, FLOAT64, INT64)

LIMIT32 = 2**24
LIMIT64 = 2**53
# Beyond this many parts one float64 product, which costs about two float32 ones, is cheaper.
MOST_PARTS = 3
#: Weights that a proof looks at at a time. It decides memory only.
PIECE = 64 * 1024


@dataclass(frozen=True)
class Proof:
    """How a layer's sums are computed and why that is exact."""

    #: One of the strategies.
    kind: str
    #: The magnitude that no partial sum exceeds.
    bound: int
    #: K, the products per sum.
    terms: int
    #: Boundaries 0 = k_0 < k_1 < ... = K of the split; (0, K) where there is none.
    parts: tuple[int, ...]
    #: The largest bound of a part.
    part_bound: int

    def __str__(self) -> str:
        if self.kind == INT64:
            return "int64: integer arithmetic"
        if self.kind == SPLIT:
            return f"float32 in {len(self.parts) - 1} parts of K: each |sum| <= {self.part_bound} <= 2^24"
        limit = "2^24" if self.kind == FLOAT32 else "2^53"
        return f"{self.kind}: every partial |sum| <= {self.bound} <= {limit}"


def prove(weights: Array, low: int, high: int, strategy: str = AUTO) -> Proof:
    """Prove the strategy for sums over the last axis of `weights`, shape (..., K), times codes in [low, high].

        strategy: AUTO takes the cheapest that is provably exact; any other is forced.

    Raises ProofError when the forced strategy is not exact for these weights, or its name is unknown.
    """
    terms = weights.shape[-1]
    bound = reach(weights, low, high)
    most = MOST_PARTS if strategy == AUTO else terms
    parts = _split(weights, low, high, most) if strategy in (AUTO, SPLIT) and bound > LIMIT32 else (0, terms)
    if strategy == SPLIT and len(parts) == 2 and terms > 1:
        parts = (0, terms // 2, terms)  # the split is forced where it is not needed: split all the same
    part_bound = max(reach(weights[..., a:b], low, high) for a, b in pairwise(parts))
    kind = _cheapest(bound, parts, part_bound) if strategy == AUTO else strategy
    proof = Proof(kind, bound, terms, parts, part_bound)
    _check(proof)
    return proof


def reach(weights: Array, low: int, high: int) -> int:
    """Return the largest magnitude of any partial sum of integers (..., K) times values in [low, high]."""
    if weights.size == 0:
        return 0
    low, high = min(low, 0), max(high, 0)  # a partial sum may be without any product
    rows, found = weights.reshape(-1, weights.shape[-1]), 0
    for part in pieces(len(rows), rows.shape[1]):
        wide = rows[part].astype(np.int64, copy=False)
        total, size = wide.sum(axis=1), np.abs(wide).sum(axis=1)
        if int(size.max()) * max(high, -low) >= 2**62:  # int64 may not hold the products
            total, size = total.astype(object), size.astype(object)
        up, down = (size + total) // 2, (size - total) // 2  # of the positive weights; of the others, without sign
        found = max(found, int((up * high - down * low).max()), int((down * high - up * low).max()))
    return found


def pieces(count: int, size: int) -> list[slice]:
    """Cut so many rows of a size into pieces of PIECE elements."""
    step = max(1, PIECE // max(1, size))
    return [slice(first, first + step) for first in range(0, count, step)]


def _cheapest(bound: int, parts: tuple[int, ...], part_bound: int) -> str:
    if bound <= LIMIT32:
        return FLOAT32
    if len(parts) - 1 <= MOST_PARTS and part_bound <= LIMIT32:
        return SPLIT
    return FLOAT64 if bound <= LIMIT64 else INT64


def _split(weights: Array, low: int, high: int, most: int) -> tuple[int, ...]:
    """Return greedy boundaries over K such that each part of every channel stays within float32, but that a part has at
    least one term; those of one part where that takes more than `most`."""
    terms, parts = weights.shape[-1], [0]
    rows = weights.reshape(-1, terms)
    while parts[-1] < terms:
        if len(parts) > most:
            return (0, terms)
        start = parts[-1]
        parts.append(
            start + min(_fitting(rows[part, start:].astype(np.int64), low, high) for part in pieces(len(rows), terms))
        )
    return tuple(parts)


def _fitting(weights: Int64, low: int, high: int) -> int:
    """Return how many first terms of all rows (rows, K) stay within float32 together; at least 1."""
    ends = weights * low, weights * high
    up = np.cumsum(np.maximum(np.maximum(*ends), 0), axis=1)
    down = np.cumsum(np.minimum(np.minimum(*ends), 0), axis=1)
    inside = (np.maximum(up, -down) <= LIMIT32).all(axis=0)
    return weights.shape[1] if inside.all() else max(1, int(np.argmin(inside)))


def _check(proof: Proof) -> None:
    limit = {FLOAT32: LIMIT32, SPLIT: LIMIT32, FLOAT64: LIMIT64, INT64: 2**63 - 1}.get(proof.kind)
    if limit is None:
        raise ProofError("unknown strategy", [Problem("strategy", f"one of {STRATEGIES}", repr(proof.kind))])
    reached = proof.part_bound if proof.kind == SPLIT else proof.bound
    if reached > limit:
        problem = Problem(
            f"strategy {proof.kind}",
            f"partial sums within {limit}",
            f"up to {reached}",
            "Use another strategy, or 'auto'.",
        )
        raise ProofError("the forced strategy is not exact for this layer", [problem])
