"""Copies by pixels: where loops are short, and that what is copied is what was there."""

from __future__ import annotations

import numpy as np

from qdqnp.schedule.runs import LONG, copied, copy_of, is_long, read, run, written


def test_a_run_is_what_lies_next_to_each_other() -> None:
    whole = np.zeros((4, 6, 8), np.float32)
    assert run(whole) == run(whole.transpose(2, 0, 1)) == whole.size
    assert run(whole[:, :, :5]) == 5
    assert run(whole[:, :3]) == 24
    assert run(whole[::2]) == 48
    assert run(whole[:, :1, :5]) == run(whole[0, 0, :5]) == 5
    assert run(whole[:, :, ::2]) == 1


def test_only_pixels_that_lie_apart_are_elements() -> None:
    """Long runs, all of a small image, and channels that do not lie next to each other stay what they are."""
    wide = np.zeros((2, 3, LONG + 8), np.float32)
    assert is_long(wide[:, :, :LONG])
    assert not is_long(wide[:, :, : LONG - 1])
    assert is_long(np.zeros((2, 3, 4), np.float32))
    assert is_long(wide[:, :, ::2])
    assert copy_of(wide[:, :, :4], np.zeros((2, 3, 4), np.float32))[0].dtype.itemsize == 16


def test_what_is_read_and_written_by_way_of_work_memory(rng: np.random.Generator) -> None:
    for _ in range(40):
        rows, width, channels = (int(size) for size in rng.integers(1, 9, 3))
        places = [
            rng.normal(size=(rows, width, channels + int(rng.integers(0, 3)))).astype(np.float32) for _ in range(2)
        ]
        source, target = (place[:, :, :channels] for place in places)
        beyond, work = places[1][:, :, channels:].copy(), np.empty((rows, width, channels), np.float32)
        wanted = 2 * source
        near, before = read(source, work)
        out, after = written(target, work)
        copied(before)
        np.multiply(near, 2, out=out)
        copied(after)
        np.testing.assert_array_equal(target, wanted)
        np.testing.assert_array_equal(places[1][:, :, channels:], beyond)
