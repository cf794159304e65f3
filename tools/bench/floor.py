"""The floor of a network: what its products alone take, each layer's at the best rate that this BLAS has for its shape.

Operands lie in cache, and of several ways to cut a product the fastest counts: pixels times channels or channels times
pixels, in blocks of several sizes. Groups are products of 16 channels with zeros between them. No program that leaves
its products to this BLAS, and makes as many, is faster.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np

from qdqnp.executor.plan import Plan
from qdqnp.graph import Sizes
from qdqnp.ops.integer.asking import SumOperator

#: Seconds that each shape is measured, at least.
SECONDS = 0.02
#: Channels of a block of groups.
BLOCK = 16
#: Products of a call that OpenBLAS computes without copying its operands.
SMALL = 1_000_000


def floor_ms(plan: Plan, shapes: Mapping[str, Sizes]) -> float:
    """Return the milliseconds that the integer sums of a plan take at the best rates, in processor time.

    shapes: of every tensor.
    """
    rates: dict[tuple[int, int, int], float] = {}
    seconds = 0.0
    for bound in plan.steps:
        if not isinstance(bound.operator, SumOperator):
            continue
        weights = shapes[bound.step.input_names[1]]
        out = shapes[bound.step.output_names[0]]
        if len(weights) != 4:  # a matrix product: its rows stand for pixels
            terms, channels, pixels, blocks = weights[0], out[-1], math.prod(out[:-1]), 1
        else:
            group = bound.step.attributes.group
            channels, terms, pixels, blocks = weights[0], math.prod(weights[1:]), math.prod(out) // out[1], 1
            if group > 1:
                each = max(1, BLOCK // max(channels // group, weights[1]))
                together = max(count for count in range(1, min(group, each) + 1) if group % count == 0)
                blocks = group // together
                channels, terms = channels // blocks, terms * together
        key = (terms, channels, pixels)
        if key not in rates:
            rates[key] = best_seconds(*key)
        seconds += blocks * rates[key]
    return 1000 * seconds


def best_seconds(terms: int, channels: int, pixels: int) -> float:
    """Return the least processor time for the product of one layer, (pixels, terms) times (terms, channels)."""
    ones = np.ones
    found = []
    for rows in sorted(
        {max(16, min(pixels, SMALL // (terms * channels) // 16 * 16)), min(pixels, 112), min(pixels, 224)}
    ):
        wide, tall = ones((terms, rows), np.float32), ones((rows, terms), np.float32)
        left, right = ones((channels, terms), np.float32), ones((terms, channels), np.float32)
        over, made = np.empty((channels, rows), np.float32), np.empty((rows, channels), np.float32)

        def channels_first(left: np.ndarray = left, wide: np.ndarray = wide, over: np.ndarray = over) -> None:
            np.matmul(left, wide, out=over)

        def pixels_first(tall: np.ndarray = tall, right: np.ndarray = right, made: np.ndarray = made) -> None:
            np.matmul(tall, right, out=made)

        found += [seconds_of(call) * pixels / rows for call in (channels_first, pixels_first)]
    return min(found)


def seconds_of(call: Callable[[], None]) -> float:
    """Return the processor time of a call, the median of five series."""
    call()
    start = time.thread_time()
    call()
    count = max(1, int(SECONDS / 5 / max(time.thread_time() - start, 1e-6)))
    series = []
    for _ in range(5):
        start = time.thread_time()
        for _ in range(count):
            call()
        series.append((time.thread_time() - start) / count)
    return statistics.median(series)
