"""Tables: every entry, every pair, across the blocks in which they are looked up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qdqnp.kernels import tables
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.tables import BinaryTable, PairLine, UnaryTable, all_codes, look_up

Array = np.ndarray[Any, np.dtype[Any]]
DTYPES = [np.dtype(np.int8), np.dtype(np.uint8)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_codes_are_in_the_order_of_their_bytes(dtype: np.dtype[Any]) -> None:
    assert all_codes(dtype).dtype == dtype
    assert all_codes(dtype).view(np.uint8).tolist() == list(range(256))


@pytest.mark.parametrize("result", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_unary_of_every_code_and_shape(dtype: np.dtype[Any], result: np.dtype[Any]) -> None:
    def function(codes: Array) -> Array:
        return ((codes.astype(np.int64) * 37 + 11) % 256 + np.iinfo(result).min).astype(result)

    table = UnaryTable.of(function, dtype)
    everything = all_codes(dtype)
    for codes in (
        everything,
        everything.reshape(4, 8, 8)[:, ::2, 1::3],
        everything[::-1],
        everything[:0],
        everything[7],
    ):
        found = table(np.asarray(codes))
        assert found.dtype == result
        assert found.shape == np.shape(codes)
        assert found.tolist() == function(np.asarray(codes)).tolist()


def test_unary_results_are_the_callers_own() -> None:
    table = UnaryTable.of(lambda codes: codes, np.dtype(np.int8))
    found = table(np.zeros(3, np.int8))
    found[0] = 5  # writable, and nobody else's
    assert table(np.zeros(3, np.int8)).tolist() == [0, 0, 0]


def weave(a: Array, b: Array) -> Array:
    return ((a.astype(np.int64) * 3 - b.astype(np.int64) * 7) % 256 - 128).astype(np.int8)


@pytest.mark.parametrize("b", DTYPES)
@pytest.mark.parametrize("a", DTYPES)
def test_binary_of_every_pair(a: np.dtype[Any], b: np.dtype[Any]) -> None:
    table = BinaryTable.of(weave, a, b, None)
    left, right = all_codes(a)[:, None], all_codes(b)[None]
    found = table(left, right, Scratch())
    assert found.dtype == np.int8
    assert found.shape == (256, 256)
    assert found.tolist() == weave(left, right).tolist()


@pytest.mark.parametrize("block", [1, 7, 64, 1000])
def test_binary_across_blocks_and_broadcasting(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BLOCK", block)
    rng = np.random.default_rng(block)
    table, scratch = BinaryTable.of(weave, *DTYPES, None), Scratch()
    for a, b in [
        ((3, 5), (5,)),
        ((2, 1, 4), (3, 1)),
        ((), (6,)),
        ((), ()),
        ((0, 3), (3,)),
        ((8, 8), (8, 8)),
        ((1,), (9, 1)),
    ]:
        left = rng.integers(-128, 128, a, np.int8)
        right = rng.integers(0, 256, b, np.uint8)
        found = table(np.asarray(left), np.asarray(right), scratch)
        assert found.shape == np.broadcast_shapes(a, b)
        assert found.tolist() == weave(np.asarray(left), np.asarray(right)).tolist()


def average(a: Array, b: Array) -> Array:
    """Halves to even; saturated."""
    return np.clip(np.rint(a.astype(np.float64) / 2 + b.astype(np.float64) + 3), -128, 127).astype(np.int8)


def expression(left: float, right: float, offset: float) -> PairLine:
    return PairLine(np.float32(left), np.float32(right), np.float32(offset), np.dtype(np.int8))


@pytest.mark.parametrize("b", DTYPES)
@pytest.mark.parametrize("a", DTYPES)
def test_an_expression_that_gives_the_whole_table_replaces_it(
    a: np.dtype[Any], b: np.dtype[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = BinaryTable.of(average, a, b, expression(0.5, 1, 3))
    assert table.fast is not None
    monkeypatch.setattr(tables, "BLOCK", 1000)
    left, right = all_codes(a)[:, None], all_codes(b)[None]
    found = table(left, right, Scratch())
    assert found.dtype == np.int8
    assert found.tolist() == average(left, right).tolist()


@pytest.mark.parametrize(
    "wrong", [(0.5, 1, 3.25), (0.5, 1.001, 3), (0.51, 1, 3), (np.inf, 1, 3), (0.5, np.nan, 3), (0.5, 1, -np.inf)]
)
def test_an_expression_that_differs_anywhere_is_dropped(wrong: tuple[float, float, float]) -> None:
    dtype = np.dtype(np.int8)
    table = BinaryTable.of(average, dtype, dtype, expression(*wrong))
    assert table.fast is None
    left, right = all_codes(dtype)[:, None], all_codes(dtype)[None]
    assert table(left, right, Scratch()).tolist() == average(left, right).tolist()


def test_one_pair_that_differs_is_enough() -> None:
    def almost(a: Array, b: Array) -> Array:
        return np.where((a == 17) & (b == -3), np.int8(99), average(a, b))

    dtype = np.dtype(np.int8)
    assert BinaryTable.of(almost, dtype, dtype, expression(0.5, 1, 3)).fast is None


@pytest.mark.parametrize("shape", [(1, 1), (3, 7, 5), (70, 1000), (0, 4)])
def test_places_in_a_table_are_overwritten(shape: tuple[int, ...]) -> None:
    """In memory that is contiguous, and in rows with gaps, across blocks."""
    rng = np.random.default_rng(5)
    table = rng.normal(size=300).astype(np.float32)
    places = rng.integers(0, 300, shape)
    for gap in (0, 3):
        memory = np.zeros((*shape[:-1], shape[-1] + gap) if len(shape) == 2 else (shape[0], shape[1] + gap, *shape[2:]))
        memory = memory.astype(np.float32)
        inside = memory[:, : shape[1]]
        inside[...] = places
        look_up(table, inside)
        np.testing.assert_array_equal(inside, table[places])
        assert not memory[:, shape[1] :].any()
