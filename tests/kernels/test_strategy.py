"""The proofs: their bound is reached by codes that exist, nothing goes beyond it, and 2^24 is where float32 ends."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.errors import ProofError
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.strategy import AUTO, FLOAT32, FLOAT64, INT64, LIMIT32, LIMIT64, SPLIT, Proof, prove, reach
from qdqnp.kernels.sums import Weights, multiply
from tests.memory import peak_memory

RANGES = [(-128, 127), (0, 255)]


def extreme_codes(weights: np.ndarray, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """For one channel: the codes of the largest and of the smallest sum, where a code out of reach of 0 stays out."""
    return np.where(weights > 0, high, low), np.where(weights > 0, low, high)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 60), st.sampled_from(RANGES))
def test_bound_is_reached_and_never_exceeded(seed: int, channels: int, terms: int, codes: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-255, 255, (1, channels, terms), endpoint=True)
    proof = prove(weights, *codes)
    sums = [abs(int(w @ x)) for w in weights[0] for x in extreme_codes(w, *codes)]
    largest = [
        sum(abs(int(v)) for v in w * x if sign * v > 0)
        for w in weights[0]
        for x, sign in zip(extreme_codes(w, *codes), (1, -1), strict=True)
    ]
    assert proof.terms == terms
    assert proof.bound == max(largest) >= max(sums)  # the positive, or negative, products alone are a partial sum
    for x in rng.integers(codes[0], codes[1], (50, terms), endpoint=True):
        order = rng.permutation(terms)
        assert np.abs(np.cumsum((weights[0] * x)[:, order], axis=1)).max() <= proof.bound


def test_signed_codes_reach_the_bound_with_the_whole_sum() -> None:
    weights = np.array([[[3, -7, 0, 100, -128]]])
    proof = prove(weights, -128, 127)
    most, least = extreme_codes(weights[0, 0], -128, 127)
    assert proof.bound == max(int(weights[0, 0] @ most), -int(weights[0, 0] @ least))


@pytest.mark.parametrize(("code", "sign"), [((0, 1), 1), ((-1, 0), -1), ((-1, 1), 1), ((0, 1), -1)])
def test_the_boundary_is_2_to_the_24(code: tuple[int, int], sign: int) -> None:
    """Sums up to 2^24 exactly are float32; one more is not."""
    at = sign * np.array([[[2**23, 2**23]]])
    beyond = sign * np.array([[[2**23, 2**23 + 1]]])
    assert prove(at, *code).kind == FLOAT32
    assert prove(at, *code).bound == LIMIT32
    assert prove(beyond, *code).kind == SPLIT
    assert prove(beyond, *code).bound == LIMIT32 + 1
    assert prove(at, *code, FLOAT32).kind == FLOAT32
    with pytest.raises(ProofError):
        prove(beyond, *code, FLOAT32)
    assert int(np.float32(LIMIT32) + np.float32(1)) != LIMIT32 + 1  # which is why


def test_the_boundary_is_2_to_the_53() -> None:
    at, beyond = np.array([[[2**52, 2**52]]]), np.array([[[2**52, 2**52 + 1]]])
    assert prove(at, 0, 1).kind == FLOAT64
    assert prove(at, 0, 1).bound == LIMIT64
    assert prove(beyond, 0, 1).kind == INT64
    with pytest.raises(ProofError):
        prove(beyond, 0, 1, FLOAT64)
    assert prove(beyond, 0, 1, INT64).kind == INT64


def test_one_product_beyond_float32_cannot_be_split() -> None:
    weights = np.array([[[2**24 + 1, 1]]])
    assert prove(weights, 0, 1).kind == FLOAT64
    with pytest.raises(ProofError):
        prove(weights, 0, 1, SPLIT)


def test_an_int64_sum_that_could_wrap_is_refused() -> None:
    with pytest.raises(ProofError):
        prove(np.array([[[2**62, 2**60]]]), 0, 255, FLOAT64)


@pytest.mark.parametrize("terms", [1, 2, 513, 514, 515, 1029, 2000])
def test_parts_cover_k_once_and_each_is_exact(terms: int) -> None:
    weights = np.random.default_rng(terms).integers(-255, 255, (2, 3, terms), endpoint=True)
    weights[1, 2] = -255
    proof = prove(weights, 0, 255, SPLIT)
    assert proof.parts[0] == 0
    assert proof.parts[-1] == terms
    assert all(start < stop for start, stop in pairwise(proof.parts))
    reached = max(prove(weights[..., a:b], 0, 255, INT64).bound for a, b in pairwise(proof.parts))
    assert proof.part_bound == reached <= LIMIT32
    assert len(proof.parts) >= (3 if terms > 1 else 2), "forced where it is not needed, it still splits"


def test_greedy_parts_are_as_long_as_they_can_be() -> None:
    """255 * 255 * 258 = 16,776,450 <= 2^24 < 255 * 255 * 259."""
    proof = prove(np.full((1, 1, 600), 255), 0, 255)
    assert proof.parts == (0, 258, 516, 600)
    assert prove(np.full((1, 1, 775), 255), 0, 255).kind == FLOAT64, "four parts cost more than float64"


def test_every_channel_counts() -> None:
    weights = np.zeros((2, 2, 600), np.int64)
    assert prove(weights, 0, 255).bound == 0
    weights[1, 1] = 255
    assert prove(weights, 0, 255).kind == SPLIT
    mixed = np.zeros((1, 2, 516), np.int64)
    mixed[0, 0, :258], mixed[0, 1, 258:] = 255, -255
    assert prove(mixed, 0, 255).kind == FLOAT32


@pytest.mark.parametrize(
    ("weights", "low", "high", "wanted"),
    [
        ([[3, -2]], 5, 9, 27),  # the first product alone
        ([[3, -2]], -9, -5, 27),
        ([[2**60, 1], [0, -1]], 0, 255, 255 * 2**60 + 255),  # no int64
        ([[2**55, 1]], -128, 0, 2**62 + 128),
        ([[0, 0]], -128, 127, 0),
    ],
)
def test_the_reach_of_sums(weights: list[list[int]], low: int, high: int, wanted: int) -> None:
    assert reach(np.array(weights, np.int64), low, high) == wanted


@pytest.mark.parametrize("piece", [1, 9, 10**6])
def test_the_reach_of_sums_is_that_of_every_row(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are looked at in pieces: the largest is the first, in the middle, the last."""
    monkeypatch.setattr("qdqnp.kernels.strategy.PIECE", piece)
    for at in range(7):
        weights = np.ones((7, 4), np.int64)
        weights[at, 1] = -50
        assert reach(weights, -3, 2) == 50 * 3 + 3 * 2


@pytest.mark.parametrize(("weight", "kind"), [(1, FLOAT32), (127, SPLIT)])
def test_a_proof_takes_less_memory_than_the_weights(weight: int, kind: str) -> None:
    """Of int64 weights; all at once would take one to seven times as much as they."""
    weights = np.full((1, 512, 2048), weight, np.int64)
    with peak_memory() as peak:
        proof = prove(weights, -128, 127)
    assert proof.kind == kind
    assert proof.bound == 2048 * 128 * weight
    assert peak() < 0.9 * weights.nbytes


def test_parts_that_are_too_many_are_not_counted() -> None:
    """Sums of 16-bit codes would have one part for every four terms."""
    proof = prove(np.full((1, 2, 4000), 127), -(2**15), 2**15 - 1)
    assert (proof.kind, proof.parts, proof.part_bound) == (FLOAT64, (0, 4000), proof.bound)
    assert len(prove(np.full((1, 1, 40), 127), -(2**15), 2**15 - 1, SPLIT).parts) == 11


def test_parts_fit_every_channel_of_every_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdqnp.kernels.strategy.PIECE", 1)
    for at in range(3):
        weights = np.zeros((1, 3, 600), np.int64)
        weights[0, at] = 255
        assert prove(weights, 0, 255).parts == (0, 258, 516, 600)


@pytest.mark.parametrize("shape", [(1, 3, 0), (1, 0, 4), (0, 2, 4), (1, 0, 0)])
def test_nothing_to_sum(shape: tuple[int, ...]) -> None:
    for strategy in (AUTO, SPLIT, FLOAT64, INT64):
        proof = prove(np.zeros(shape, np.int64), -128, 127, strategy)
        assert proof.bound == 0


def test_unknown_strategy() -> None:
    with pytest.raises(ProofError, match="float16"):
        prove(np.ones((1, 1, 1), np.int64), 0, 1, "float16")


@pytest.mark.parametrize("kind", [AUTO, SPLIT, FLOAT64, INT64])
@pytest.mark.parametrize("terms", [3, 514, 515, 1029, 1543, 4000])
def test_products_are_exact_where_sums_are_as_large_as_they_get(kind: str, terms: int) -> None:
    rng = np.random.default_rng(terms)
    weights = rng.choice([-128, 127, -127, 1], (1, 4, terms)).astype(np.int64)
    weights[0, 0] = -128
    codes = rng.integers(0, 255, (terms, 9), endpoint=True)
    codes[:, 0], codes[:, 1] = 255, np.where(weights[0, 1] > 0, 255, 0)
    proof = prove(weights, 0, 255, kind)
    ready = Weights.of(weights, proof)
    out = np.empty((1, 4, 9), ready.tile_dtype)
    multiply(ready.array, codes.astype(ready.product_dtype)[None], proof, out, Scratch())
    assert out.astype(np.int64).tolist() == (weights @ codes).tolist()
    assert np.abs(out).max() == proof.bound == 128 * 255 * terms


def test_a_wrong_proof_would_show() -> None:
    """float32 does round these sums: the proofs are not there for nothing."""
    weights = np.full((1, 1, 1029), 127, np.int64)
    weights[0, 0, ::2] = 125
    codes = np.full((1029, 1), 255, np.int64)
    codes[::3] = 253
    wrong = Weights.of(weights, Proof(FLOAT32, 0, 1029, (0, 1029), 0))
    out = np.empty((1, 1, 1), np.float32)
    multiply(wrong.array, codes.astype(np.float32)[None], wrong.proof, out, Scratch())
    assert int(out[0, 0, 0]) != int((weights @ codes)[0, 0, 0])
