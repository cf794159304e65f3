"""Resize to the nearest element; interpolation is refused.

Float32 arithmetic on coordinates decides which element is nearest, as in ONNX Runtime 1.32,
core/providers/cpu/tensor/upsamplebase.h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from qdqnp.graph import Dim, Shape, concrete
from qdqnp.ops.geometry.axes import axis_of, int_list
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array, Float32, Int64

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
    #: This and the next belong to modes that are refused, so they have no effect.
    cubic_coeff_a: float = -0.75
    extrapolation_value: float = 0.0
    #: The factor of each axis; () where sizes are given.
    _scales: tuple[float, ...] = ()
    #: The output size of each axis; () where scales are given.
    _sizes: tuple[int, ...] = ()


Coordinates = Callable[[Float32, np.float32, int, int], Float32]

# Each function maps output positions x, the scale, and the sizes before and after, to positions in the input.
COORDINATES: Mapping[str, Coordinates] = {
    "asymmetric": lambda x, scale, before, after: x / scale,
    "half_pixel": lambda x, scale, before, after: (x + F(0.5)) / scale - F(0.5),
    "pytorch_half_pixel": lambda x, scale, before, after: (x + F(0.5)) / scale - F(0.5) if after > 1 else x * F(0),
    "tf_half_pixel_for_nn": lambda x, scale, before, after: (x + F(0.5)) / scale,
    "align_corners": lambda x, scale, before, after: x * F(before - 1) / F(after - 1) if after > 1 else x * F(0),
}


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


class Resize(Movement):
    op = "Resize"
    only = "mode nearest, without antialias, aspect ratio stretch"
    arity = (1, 4)
    Attributes = ResizeAttributes

    def attributes(self, check: NodeCheck) -> Any:
        given: ResizeAttributes = super().attributes(check)
        for name, allowed in (
            ("mode", ("nearest",)),
            ("coordinate_transformation_mode", tuple(COORDINATES)),
            ("nearest_mode", tuple(NEAREST)),
            ("keep_aspect_ratio_policy", ("stretch",)),
            ("antialias", (0,)),
            ("exclude_outside", (0,)),
        ):
            if getattr(given, name) not in allowed:
                check.refuse(f"attribute '{name}'", " or ".join(map(str, allowed)), repr(getattr(given, name)))
        if check.opset < 11:
            given = replace(given, coordinate_transformation_mode="asymmetric", nearest_mode="simple")
        scales = _scales(check, 1 if check.opset < 11 else 2)
        sizes = int_list(check, 3, "sizes") if check.given(3) else ()
        if bool(scales) == bool(sizes):
            check.refuse("inputs scales and sizes", "one of them", "both" if scales else "neither")
        if any(not 0 < size <= LARGEST for size in sizes):
            check.refuse("input 3 (sizes)", f"sizes in [1, {LARGEST}]", list(sizes))
        return replace(given, _scales=scales, _sizes=sizes)

    def shape(self, attributes: ResizeAttributes, x: Shape) -> Shape:
        result = list(x)
        for axis, scale, size in _changes(attributes, len(x)):
            if x[axis] == 0:
                raise ShapeError(f"elements to repeat on axis {axis}", str(list(x)))
            result[axis] = size or _scaled(x[axis], scale)
        return tuple(result)

    def move(self, attributes: ResizeAttributes, x: Array) -> Array:
        sizes = concrete(self.shape(attributes, x.shape))
        if sizes == x.shape:  # ONNX Runtime then copies, whatever its mode would compute for scales near 1
            return x
        for axis, scale, size in _changes(attributes, x.ndim):
            before = x.shape[axis]
            by = F(size) / F(before) if size else scale
            if by != 1:  # ONNX Runtime leaves an axis of scale 1 alone
                x = np.take(x, nearest(attributes, before, sizes[axis], by), axis)
        return x


def nearest(attributes: ResizeAttributes, before: int, after: int, scale: np.float32) -> Int64:
    """Return, for each of `after` output positions, which of `before` elements it repeats."""
    x = COORDINATES[attributes.coordinate_transformation_mode](np.arange(after).astype(F), scale, before, after)
    if attributes.nearest_mode == "simple":  # Resize before opset 11
        x = np.ceil(x) if scale < 1 else np.trunc(x)
    else:
        x = NEAREST[attributes.nearest_mode](x)
    return np.clip(x, 0, before - 1).astype(np.int64)


def _scales(check: NodeCheck, index: int) -> tuple[float, ...]:
    """Return the factors, float32 > 0; () where none are given."""
    if not check.given(index):
        return ()
    values = check.const(index, "scales")
    if values.dtype != F or values.ndim != 1 or values.size > 64 or not (np.isfinite(values) & (values > 0)).all():
        shown = values.reshape(-1)[:64].tolist()
        check.refuse(f"input {index} (scales)", "finite float32 > 0, one for each axis", shown)
    return tuple(values.tolist())


def _changes(attributes: ResizeAttributes, rank: int) -> list[tuple[int, np.float32, int]]:
    """Return (axis, scale, size) of each axis that is named; size is 0 where a scale is given."""
    axes = [axis_of(axis, rank) for axis in attributes.axes] or list(range(rank))
    count = len(attributes._scales or attributes._sizes)
    if len(axes) != count or len(set(axes)) != count:
        raise ShapeError(f"{len(axes)} scales or sizes for different axes", f"{count} for axes {axes}")
    scales = [F(scale) for scale in attributes._scales] or [F(0)] * count
    return list(zip(axes, scales, attributes._sizes or (0,) * count, strict=True))


def _scaled(size: Dim, scale: np.float32) -> Dim:
    if not isinstance(size, int):
        return size if scale == 1 else None
    with np.errstate(over="ignore"):
        product = float(F(size) * scale)
    if not 1 <= product <= LARGEST:
        raise ShapeError(f"an output axis of 1 to {LARGEST} elements", f"{size} elements times {scale}")
    return int(product)
