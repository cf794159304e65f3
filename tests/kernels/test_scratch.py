"""Work memory: buffers that grow, and that no two runs at a time share."""

from __future__ import annotations

import threading

import numpy as np

from qdqnp.kernels.scratch import Scratch, ScratchPool


def test_a_tag_keeps_its_buffer_and_grows_it() -> None:
    scratch = Scratch()
    small = scratch.take("a", (2, 3), np.float32)
    assert (small.shape, small.dtype) == ((2, 3), np.float32)
    assert np.shares_memory(small, scratch.take("a", (6,), np.int32))
    assert np.shares_memory(small, scratch.take("a", (24,), np.uint8))
    large = scratch.take("a", (100,), np.float64)
    assert large.nbytes == 800
    assert not np.shares_memory(small, large)
    assert np.shares_memory(large, scratch.take("a", (1,), np.int8))


def test_tags_and_scratches_are_apart() -> None:
    scratch, other = Scratch(), Scratch()
    a, b = scratch.take("a", (10,), np.int8), scratch.take("b", (10,), np.int8)
    assert not np.shares_memory(a, b)
    assert not np.shares_memory(a, other.take("a", (10,), np.int8))
    assert scratch.take("c", (0, 4), np.float32).shape == (0, 4)


def test_the_pool_lends_distinct_ones_and_takes_them_back() -> None:
    pool = ScratchPool()
    with pool.lend() as first:
        with pool.lend() as second:
            assert first is not second
        with pool.lend() as third:
            assert third is second
    with pool.lend() as again, pool.lend() as other:
        assert {again, other} == {first, second}


def test_a_run_that_fails_gives_its_scratch_back() -> None:
    pool = ScratchPool()
    lent = []
    try:
        with pool.lend() as scratch:
            lent.append(scratch)
            raise ValueError
    except ValueError:
        pass
    with pool.lend() as scratch:
        assert scratch is lent[0]


def test_threads_never_share_one() -> None:
    pool, barrier, lent = ScratchPool(), threading.Barrier(8), []

    def borrow() -> None:
        with pool.lend() as scratch:
            barrier.wait(timeout=60)  # all eight hold theirs now
            lent.append(scratch)

    threads = [threading.Thread(target=borrow) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(scratch) for scratch in lent}) == 8
