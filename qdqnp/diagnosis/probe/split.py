"""Convolutions that are split: into parts that are narrowed to 16 bits and added with saturation, or into units of a
chain that hand their sums on.

ST Neural-ART does both. Which layers are split, and along which axis, its compiler decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from qdqnp.diagnosis.probe.probes import on_sums
from qdqnp.numerics.profiles.neural_art import TIE
from qdqnp.numerics.rules.requantize.narrow import Narrowed, NarrowThenAffine
from qdqnp.numerics.values import named
from qdqnp.numerics.width import saturate
from qdqnp.quant import Array, Codes, Int64

AXES = {"input channels": 0, "kernel rows": 1, "kernel columns": 2}
PARTS = (2, 3, 4)


def split_answers(weights: Codes, x: Codes) -> Iterator[tuple[str, Callable[[Any], Codes]]]:
    """Yield (text, answer) for each axis and number of parts.

    weights: codes, (1, C, k, k).
    x: codes with zero point 0, (1, C, H, W).
    """
    for what, axis in AXES.items():
        for count in PARTS:
            sums = part_sums(weights, x, axis, count)
            yield f"split in {count} by {what}", lambda found, sums=sums: split_codes(found, sums)  # type: ignore[misc]


def part_sums(weights: Codes, x: Codes, axis: int, count: int) -> Int64:
    """Compute the sums of each part, (parts, positions, 1): the axis of the kernel is cut into `count` runs, as equal
    as possible."""
    rows, columns = weights.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(x[0].astype(np.int64), (1, rows, columns))[:, :, :, 0]
    products = np.moveaxis(windows, 0, 2) * weights[0].astype(np.int64)  # (rows, columns, C, k, k)
    parts = np.array_split(products, count, axis=2 + axis)
    return np.stack([part.sum(axis=(2, 3, 4)).reshape(-1, 1) for part in parts])


def chained_answers(weights: Int64, x: Codes) -> Iterator[tuple[str, Callable[[Any], Codes]]]:
    """Yield (text, answer) for a 1x1 convolution whose input channels are cut, one unit for each run of them.

    weights: codes, (C,).
    x: codes with zero point 0, (C, positions).
    """
    products = weights[:, None] * x.astype(np.int64)

    def held(parts: Iterable[Int64]) -> Int64:
        total = np.zeros(x.shape[1], np.int64)
        for part in parts:
            total = saturate(total + part, 24)
        return total[:, None]

    for count in PARTS:
        parts = np.stack([part.sum(axis=0) for part in np.array_split(products, count)])
        saturated = held(parts)
        yield f"{count} units, sums saturate at 24 bits between them", _on(saturated)
        narrow = parts[:, :, None]
        yield (
            f"{count} parts, each narrowed to 16 bits",
            lambda found, sums=narrow: split_codes(found, sums),  # type: ignore[misc]
        )
    yield "the sum saturates at 24 bits at every product", _on(held(products))


def _on(sums: Int64) -> Callable[[Any], Codes]:
    return on_sums(lambda _: sums, NarrowThenAffine(TIE))


def split_codes(found: Any, sums: Array, tie: str = TIE) -> Codes:
    """Compute the codes of a split layer.

    found: the layer's question.
    sums: the sums of each part, (parts, positions, 1).
    tie: the tie rule of the second rounding.
    """
    bound = NarrowThenAffine(tie).bind(found.context)
    assert isinstance(bound, Narrowed)
    total = np.zeros_like(sums[0])
    for part in sums:
        total = saturate(total + named(bound.first(part), "x16"), 16)
    return bound.second(total)[-1].array
