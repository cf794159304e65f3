"""Products that are cut small, against the product of whole integers."""

from __future__ import annotations

import numpy as np
import pytest

from qdqnp.schedule import products as room
from qdqnp.schedule.products import multiplied, products


@pytest.mark.parametrize("small", [1, 200, 5_000, 10**9])
def test_products_are_those_of_the_whole(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, small: int) -> None:
    """Batches, and operands whose rows and batches are apart in memory; `small` decides how they are cut."""
    monkeypatch.setattr(room, "SMALL_PRODUCT", small)
    for _ in range(60):
        batch = tuple(int(size) for size in rng.integers(1, 4, int(rng.integers(0, 3))))
        rows, terms, channels = (int(size) for size in (rng.integers(1, 60), rng.integers(1, 30), rng.integers(1, 100)))
        channels = channels * 16 if rng.random() < 0.3 else channels
        memory = rng.integers(-9, 10, (*batch, rows, terms + 3)).astype(np.float32)
        right = rng.integers(-9, 10, (*batch, terms, channels)).astype(np.float32)
        if batch and rng.random() < 0.5:
            right = right[:1]  # one for all
        out = np.full((*batch, rows, channels + 5), np.nan, np.float32)
        multiplied(products(memory[..., :terms], right, out[..., :channels]))
        np.testing.assert_array_equal(out[..., :channels], memory[..., :terms].astype(int) @ right.astype(int))
        assert np.isnan(out[..., channels:]).all()


def test_no_part_is_larger_than_a_small_product() -> None:
    """But for products of few rows, whose weights BLAS reads once in any case."""
    for rows, terms, channels in [(49, 640, 256), (196, 448, 128), (3136, 64, 32), (49, 2048, 512), (12544, 16, 96)]:
        left, right = np.zeros((rows, terms), np.float32), np.zeros((terms, channels), np.float32)
        parts = products(left, right, np.zeros((rows, channels), np.float32))
        assert all(np.prod(a.shape[-2:]) * b.shape[-1] <= room.SMALL_PRODUCT for a, b, _ in parts)
        assert parts[0][0].shape[-2] >= room.FEWEST_ROWS
    (part,) = products(
        np.zeros((1, 9000), np.float32), np.zeros((9000, 128), np.float32), np.zeros((1, 128), np.float32)
    )
    assert part[0].shape == (1, 9000)
