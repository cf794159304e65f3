"""Sliding windows by ONNX's own formulas: how much is padded, how many windows there are, what lies under each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class Axis:
    """One spatial axis: sizes of image, kernel and output, and how the windows lie."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    windows: int

    def positions(self) -> Array:
        """(windows, kernel): where each tap lies, in coordinates of the image; outside it means padding."""
        starts = np.arange(self.windows) * self.stride - self.before
        return starts[:, None] + np.arange(self.kernel) * self.dilation


def axes_of(
    attributes: Mapping[str, Any], spatial: Sequence[int], kernel: Sequence[int], pool: bool = False
) -> list[Axis]:
    """pool: auto_pad SAME may cut elements off, as ONNX Runtime's pools do, and its Conv does not."""
    rank = len(spatial)
    strides = attributes.get("strides") or [1] * rank
    dilations = attributes.get("dilations") or [1] * rank
    pads = attributes.get("pads") or [0] * (2 * rank)
    auto, ceil_mode = attributes.get("auto_pad", "NOTSET"), bool(attributes.get("ceil_mode", 0))
    return [
        _axis(auto, pool, ceil_mode, size, kernel[i], strides[i], dilations[i], pads[i], pads[i + rank])
        for i, size in enumerate(spatial)
    ]


def _axis(
    auto: str, pool: bool, ceil_mode: bool, size: int, kernel: int, stride: int, dilation: int, before: int, after: int
) -> Axis:
    reach = dilation * (kernel - 1) + 1
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        windows = -(-size // stride)
        total = (windows - 1) * stride + reach - size
        total = total if pool else max(total, 0)
        # C's division, which drops the fraction of negative numbers too
        before = math.trunc((total + (auto == "SAME_LOWER")) / 2)
        after = total - before
        return Axis(size, kernel, stride, dilation, before, after, windows)
    if auto == "VALID":
        before = after = 0
    room = size + before + after - reach
    windows = room // stride + 1
    if ceil_mode:
        windows = -(-room // stride) + 1
        if (windows - 1) * stride >= size + before:
            windows -= 1  # the last window would start in the trailing padding
    return Axis(size, kernel, stride, dilation, before, after, windows)


def gathered(x: Array, axes: Sequence[Axis], fill: Any) -> Array:
    """x (N, C, spatial...) to (N, C, windows..., kernel...), `fill` outside the image. One spatial axis or more."""
    result = x
    for number, axis in enumerate(axes):
        places = axis.positions()
        inside = (places >= 0) & (places < axis.size)
        taken = np.take(result, np.where(inside, places, 0), axis=2 + 2 * number)  # ..., windows, kernel, ...
        shape = [1] * taken.ndim
        shape[2 + 2 * number : 4 + 2 * number] = places.shape
        result = np.where(inside.reshape(shape), taken, np.asarray(fill, x.dtype))
    rank = len(axes)
    return result.transpose(0, 1, *range(2, 2 + 2 * rank, 2), *range(3, 2 + 2 * rank, 2))
