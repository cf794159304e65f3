"""Rows of an image as strips: where each row lies, and that its ends are zeros."""

from __future__ import annotations

import numpy as np

from qdqnp.schedule.image import Image
from qdqnp.schedule.strips import Strips


def test_rows_lie_where_kernels_read_them(rng: np.random.Generator) -> None:
    """Values go in by any first row and step, and come out row by row, as `line` says; nothing else changes."""
    for _ in range(60):
        blocks, down, inner, left, columns, behind = (int(size) for size in rng.integers(1, 4, 6))
        pitch, low, rows = left + columns + int(rng.integers(0, 3)), int(rng.integers(-3, 4)), int(rng.integers(4, 12))
        image = Image("x", 20, columns, blocks * inner, np.dtype(np.int8), 0)
        layout = Strips(blocks, down, down, pitch, left, columns, inner, behind)
        strips = layout.place(image, np.full(layout.floats(rows), np.nan, np.float32), rows, low)
        strips.clear_ends()
        step = int(rng.integers(1, 4))
        first = low + int(rng.integers(0, 3))
        values = rng.integers(-9, 10, (len(range(first, low + rows, step)), columns, blocks * inner)).astype(np.float32)
        for into, part in strips.parts(values, first, step):
            into[...] = part
        written = range(first, low + rows, step)
        for row in range(low, low + rows):
            begin, apart = strips.line(row)
            for block in range(blocks):
                strip = strips.flat[begin + block * apart :][: pitch * inner].reshape(pitch, inner)
                assert not strip[:left].any()
                assert not strip[left + columns :].any()
                inside = strip[left : left + columns]
                if row in written:
                    part = values[written.index(row)][:, block * inner : (block + 1) * inner]
                    np.testing.assert_array_equal(inside, part)
                else:
                    assert np.isnan(inside).all()


def test_rows_of_remainders_that_no_window_reads_have_no_place() -> None:
    image = Image("x", 8, 3, 2, np.dtype(np.int8), 0)
    layout = Strips(1, 2, 1, 4, 0, 3, 2, 0)
    assert layout.floats(8) == 4 * 4 * 2
    strips = layout.place(image, np.zeros(layout.floats(8), np.float32), 8, 0)
    assert [strips.line(row)[0] for row in (0, 2, 4)] == [0, 8, 16]
