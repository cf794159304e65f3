"""Sums by BLAS against the definition, and the probe against products that add in other ways."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.numerics import chain, products

Array = np.ndarray[Any, np.dtype[Any]]
F = np.float32


def stacks(rng: np.random.Generator, sizes: tuple[int, int, int, int]) -> tuple[Array, Array]:
    groups, rows, terms, columns = sizes
    left = np.asarray(rng.standard_normal((groups, rows, terms)), F)
    return left, np.asarray(rng.standard_normal((groups, terms, columns)), F)


@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 70), st.integers(1, 140), st.integers(1, 150)),
    cut=st.sampled_from(chain.TILINGS),
)
@settings(max_examples=60, deadline=None)
def test_pieces_are_the_definition(seed: int, sizes: tuple[int, int, int, int], cut: chain.Tiling) -> None:
    """Every cut of a product, with whatever margin, gives the definition's bits where the probe admits it."""
    left, right = stacks(np.random.default_rng(seed), sizes)
    found = chain._cut_sums(left, right, cut)
    if found is not None:
        np.testing.assert_array_equal(found.view(np.int32), products.by_definition(left, right).view(np.int32))


@pytest.mark.parametrize("cut", chain.TILINGS)
@pytest.mark.parametrize("sizes", [(1, 5, 7, 3), (2, 13, 9, 49), (1, 50, 33, 100), (3, 4, 1, 16), (1, 1, 200, 61)])
def test_cutting_alone(cut: chain.Tiling, sizes: tuple[int, int, int, int]) -> None:
    """What is cut, padded and put together is the whole product: integers have one sum in every order."""
    rng = np.random.default_rng(1)
    left, right = (np.rint(8 * part) for part in stacks(rng, sizes))
    for given_right in (right, np.ascontiguousarray(right.swapaxes(1, 2)).swapaxes(1, 2), right[:, :, ::-1]):
        with mock.patch.object(chain, "is_chain", return_value=True):
            found = chain._cut_sums(left, given_right, cut)
        np.testing.assert_array_equal(found, left.astype(int) @ given_right.astype(int))


def test_this_blas_is_used_where_it_fuses() -> None:
    """A product is not left to the definition on a machine whose OpenBLAS is known to be a chain."""
    simd: Any = np.show_config(mode="dicts")["SIMD Extensions"]
    vectors = {*simd.get("baseline", []), *simd.get("found", [])} & {"FMA3", "AVX2", "X86_V3"}
    if not (chain.is_openblas() and vectors) or "OPENBLAS_CORETYPE" in os.environ:
        pytest.skip("no OpenBLAS, no fused multiply-add, or a kernel that was chosen by hand")
    left, right = stacks(np.random.default_rng(2), (1, 16, 100, 300))
    assert chain.chained_sums(left, right) is not None


def test_other_libraries_are_not_asked() -> None:
    left, right = stacks(np.random.default_rng(2), (1, 16, 100, 300))
    with mock.patch.object(chain, "is_openblas", return_value=False):
        assert chain.chained_sums(left, right) is None


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_infinities_are_the_definitions(value: float) -> None:
    left, right = stacks(np.random.default_rng(2), (1, 16, 100, 300))
    left[0, 3, 50] = value
    assert chain.chained_sums(left, right) is None
    np.testing.assert_array_equal(products.fused_sums(left, right), products.by_definition(left, right))


def fused(left: Array, right: Array) -> Array:
    return products.by_definition(left[None], right[None])[0]


def rounded(left: Array, right: Array) -> Array:
    """Round each product before it is added."""
    total = np.zeros((left.shape[0], right.shape[1]), F)
    for k in range(left.shape[1]):
        total = total + left[:, k, None] * right[k]
    return total


def backward(left: Array, right: Array) -> Array:
    return fused(left[:, ::-1], right[::-1])


def two_sums(left: Array, right: Array) -> Array:
    return np.asarray(fused(left[:, ::2], right[::2]) + fused(left[:, 1::2], right[1::2]))


def last_two_exchanged(left: Array, right: Array) -> Array:
    order = [*range(left.shape[1] - 2), left.shape[1] - 1, left.shape[1] - 2]
    return fused(left[:, order], right[order])


def last_one_rounded(left: Array, right: Array) -> Array:
    return np.asarray(fused(left[:, :-1], right[:-1]) + left[:, -1:] * right[-1:])


def two_parts(left: Array, right: Array) -> Array:
    """Tiling K, as a library does that packs its operands."""
    half = left.shape[1] // 2
    return np.asarray(fused(left[:, :half], right[:half]) + fused(left[:, half:], right[half:]))


def from_minus_zero(left: Array, right: Array) -> Array:
    """Begin with the first product itself."""
    total = fused(left, right)
    return np.where((total == 0) & np.signbit(left[:, :1] * right[:1]), F(-0.0), total)


def flushing(left: Array, right: Array) -> Array:
    total = fused(left, right)
    return np.where(np.abs(total) < np.finfo(F).tiny, np.abs(total) * 0, total)


def ends_in_two_sums(left: Array, right: Array) -> Array:
    """Add up the first and the last column in two parts, as kernels do that have no room for them."""
    total = fused(left, right)
    total[:, [0, -1]] = two_sums(left, right)[:, [0, -1]]
    return total


def last_row_in_two_sums(left: Array, right: Array) -> Array:
    total = fused(left, right)
    total[-1] = two_sums(left, right)[-1]
    return total


Way = Callable[[Array, Array], Array]
OTHERS = (
    rounded,
    backward,
    two_sums,
    last_two_exchanged,
    last_one_rounded,
    two_parts,
    from_minus_zero,
    flushing,
    ends_in_two_sums,
    last_row_in_two_sums,
)


def admits(way: Way, terms: int, margin: int) -> bool:
    def product(left: Array, right: Array, out: Array | None = None) -> Array:
        result = way(left, right)
        if out is not None:
            out[...] = result
        return result

    return chain.is_chain.__wrapped__(4, terms, 16, margin, 40, 24, product)


@pytest.mark.parametrize("terms", [1, 2, 5, 12])
@pytest.mark.parametrize("margin", [0, 2])
def test_a_chain_is_admitted(terms: int, margin: int) -> None:
    assert admits(fused, terms, margin)


@pytest.mark.parametrize("terms", [4, 5, 12])
@pytest.mark.parametrize("way", OTHERS)
def test_other_orders_are_refused(way: Way, terms: int) -> None:
    assert not admits(way, terms, 0)


def test_a_margin_leaves_out_what_is_added_otherwise() -> None:
    assert admits(ends_in_two_sums, 6, 1)


@pytest.mark.parametrize(
    ("name", "is_it"), [("scipy-openblas", True), ("openblas64", True), ("mkl", False), ("", False)]
)
def test_what_blas_it_is_is_what_numpy_was_built_with(name: str, is_it: bool) -> None:
    built = {"Build Dependencies": {"blas": {"name": name}}} if name else {}
    with mock.patch.object(chain, "numpy_built", return_value=built):
        assert chain.is_openblas.__wrapped__() is is_it
