"""Which position in the input each element of a resized axis stands for, and how long the axis becomes.

Float32 arithmetic on coordinates decides, as in ONNX Runtime 1.32, core/providers/cpu/tensor/upsamplebase.h.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from qdqnp.graph import Dim, Shape, concrete
from qdqnp.kernels.interpolation import Places
from qdqnp.ops.geometry.axes import axis_of
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Float32, Int64

F = np.float32
LARGEST = 2**31 - 1  # the largest output axis: ONNX Runtime's coordinates are int32


@dataclass(frozen=True)
class ResizeAttributes:
    """The attributes of Resize, and its constant inputs."""

    mode: str = "nearest"
    coordinate_transformation_mode: str = "half_pixel"
    nearest_mode: str = "round_prefer_floor"
    axes: tuple[int, ...] = ()
    keep_aspect_ratio_policy: str = "stretch"
    antialias: int = 0
    exclude_outside: int = 0
    cubic_coeff_a: float = -0.75
    #: What lies outside of the region of interest, in mode tf_crop_and_resize.
    extrapolation_value: float = 0.0
    #: The factor of each axis; () where sizes are given.
    _scales: tuple[float, ...] = ()
    #: The output size of each axis; () where scales are given.
    _sizes: tuple[int, ...] = ()
    #: The starts of the region of interest on each axis, then its ends; () stands for all.
    _roi: tuple[float, ...] = ()
    #: Whether a run alone knows scales or sizes.
    _late: bool = False


@dataclass(frozen=True)
class Resized:
    """One axis of the output."""

    axis: int
    size: Dim
    #: How much longer the axis becomes; None where that is not known yet.
    scale: np.float32 | None
    #: The region of interest.
    start: np.float32
    end: np.float32


Coordinates = Callable[[Float32, np.float32, int, int, np.float32, np.float32], Float32]


def _crop(x: Float32, scale: np.float32, before: int, after: int, start: np.float32, end: np.float32) -> Float32:
    if after > 1:
        return start * F(before - 1) + (x * (end - start) * F(before - 1)) / F(after - 1)
    return np.full(x.shape, 0.5 * float(start + end) * (before - 1)).astype(F)


def _symmetric(x: Float32, scale: np.float32, before: int, after: int, start: np.float32, end: np.float32) -> Float32:
    adjustment = F(after) / (scale * F(before))
    offset = F(before) / F(2) * (F(1) - adjustment)
    return (float(offset) + (x.astype(np.float64) + 0.5) / float(scale) - 0.5).astype(F)


# Each function maps output positions x, the scale, the sizes before and after, and the region of interest, to positions
# in the input.
COORDINATES: Mapping[str, Coordinates] = {
    "asymmetric": lambda x, scale, *_: x / scale,
    "half_pixel": lambda x, scale, *_: (x + F(0.5)) / scale - F(0.5),
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": lambda x, scale, before, after, *_: (x + F(0.5)) / scale - F(0.5) if after > 1 else x * F(0),
    "tf_half_pixel_for_nn": lambda x, scale, *_: (x + F(0.5)) / scale,
    "align_corners": lambda x, scale, before, after, *_: x * F(before - 1) / F(after - 1) if after > 1 else x * F(0),
    "tf_crop_and_resize": _crop,
}
#: The mode that has a region of interest, and a value for what lies outside of the input.
CROP = "tf_crop_and_resize"

# ONNX Runtime 1.32 takes fractions this close to a half for halves; the limit was measured to lie in 9.6e-7 to 1.01e-6.
TOLERANCE = F(1e-6)


def _rounded(x: Float32, halves_up: bool) -> Float32:
    """Round to the nearest whole number; halves, and what nearly is one, go in the stated direction."""
    low = np.floor(x)
    fraction = x - low  # exact
    tie = np.abs(fraction - F(0.5)) < TOLERANCE
    rounded: Float32 = low + np.where(tie, F(halves_up), (fraction > F(0.5)).astype(F))
    return rounded


NEAREST: Mapping[str, Callable[[Float32], Float32]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_ceil": partial(_rounded, halves_up=True),
    "round_prefer_floor": partial(_rounded, halves_up=False),
}


def resized_axes(attributes: ResizeAttributes, x: Shape) -> list[Resized]:
    """Return each axis that is named. Raises ShapeError where sizes do not fit."""
    rank = len(x)
    axes = [axis_of(axis, rank) for axis in attributes.axes] or list(range(rank))
    count = len(attributes._scales or attributes._sizes)
    if len(axes) != count or len(set(axes)) != count:
        raise ShapeError(f"{len(axes)} scales or sizes for different axes", f"{count} for axes {axes}")
    empty = next((axis for axis in axes if x[axis] == 0), None)
    if empty is not None:
        raise ShapeError(f"elements to repeat on axis {empty}", str(list(x)))
    roi = [F(value) for value in attributes._roi] or [F(0)] * count + [F(1)] * count
    if len(roi) != 2 * count:
        raise ShapeError(f"{2 * count} numbers for the region of interest", str(len(roi)))
    found = _by_scales(attributes, axes, x) if attributes._scales else _by_sizes(attributes, axes, x)
    return [
        Resized(axis, size, scale, roi[at], roi[at + count])
        for at, (axis, (size, scale)) in enumerate(zip(axes, found, strict=True))
    ]


def _by_scales(attributes: ResizeAttributes, axes: list[int], x: Shape) -> list[tuple[Dim, np.float32 | None]]:
    scales = [F(scale) for scale in attributes._scales]
    return [(_scaled(x[axis], scale), scale) for axis, scale in zip(axes, scales, strict=True)]


def _by_sizes(attributes: ResizeAttributes, axes: list[int], x: Shape) -> list[tuple[Dim, np.float32 | None]]:
    sizes, before = attributes._sizes, [x[axis] for axis in axes]
    scales = [F(n) / F(size) if isinstance(size, int) else None for n, size in zip(sizes, before, strict=True)]
    if attributes.keep_aspect_ratio_policy == "stretch":
        return list(zip(sizes, scales, strict=True))
    known = [scale for scale in scales if scale is not None]
    if len(known) < len(scales):
        return [(None, None)] * len(scales)
    scale = min(known) if attributes.keep_aspect_ratio_policy == "not_larger" else max(known)
    # rounded half away from zero, as in C
    return [(_within(math.floor(float(scale * F(size)) + 0.5), size, scale), scale) for size in concrete(tuple(before))]


def _scaled(size: Dim, scale: np.float32) -> Dim:
    if not isinstance(size, int):
        return size if scale == 1 else None
    with np.errstate(over="ignore"):
        product = float(F(size) * scale)
    return _within(product, size, scale)


def _within(product: float, size: int, scale: np.float32) -> int:
    if not 1 <= product <= LARGEST:
        raise ShapeError(f"an output axis of 1 to {LARGEST} elements", f"{size} elements times {scale}")
    return int(product)


def places_of(attributes: ResizeAttributes, resized: Resized, before: int) -> Places:
    """Return where the elements of an output axis lie in the input; with a scale of 1 where they lay."""
    after, scale = resized.size, resized.scale
    assert isinstance(after, int) and scale is not None  # concrete shapes
    x = np.arange(after).astype(F)
    if scale != 1:
        mode = COORDINATES[attributes.coordinate_transformation_mode]
        x = mode(x, scale, before, after, resized.start, resized.end)
    return Places(resized.axis, before, x, scale)


def nearest(attributes: ResizeAttributes, places: Places) -> Int64:
    """Return, for each output position, which input element it repeats."""
    x = places.original
    if attributes.nearest_mode == "simple":  # Resize before opset 11
        x = np.ceil(x) if places.scale < 1 else np.trunc(x)
    else:
        x = NEAREST[attributes.nearest_mode](x)
    return np.clip(x, 0, places.before - 1).astype(np.int64)
