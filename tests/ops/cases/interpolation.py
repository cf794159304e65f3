"""GridSample, and Resize in every mode but the nearest element of codes, which tests/ops/cases/choice.py draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.ops import draw
from tests.ops.case import Case, one_node

F = np.float32
MODES = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
    "tf_crop_and_resize",
)
FACTORS = (2.0, 0.5, 1.5, 3.0, 1 / 3, 0.4, 2.7, 1.0, 4 / 3)


def _sized(rng: draw.Rng, x: draw.Array, axes: list[int], opset: int, **attributes: Any) -> Case:
    """Scales or sizes of some axes, named where opsets allow it; a region of interest where the mode has one."""
    dims, rank = x.shape, x.ndim
    named = opset >= 18 and draw.chance(rng, 0.4)
    listed = axes if named else list(range(rank))
    if named:
        attributes["axes"] = axes
    roi = None
    if attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        starts = [round(rng.uniform(-0.2, 0.5), 2) if axis in axes else 0 for axis in listed]
        ends = [round(rng.uniform(0.5, 1.2), 2) if axis in axes else 1 for axis in listed]
        roi = ("roi", np.array(starts + ends, F))
    elif opset < 13:
        roi = ("roi", np.zeros(0, F))
    if draw.chance(rng, 0.5):
        sizes = [draw.size(rng, 12) if axis in axes else dims[axis] for axis in listed]
        if opset >= 18 and draw.chance(rng, 0.3) and "axes" in attributes:
            attributes["keep_aspect_ratio_policy"] = draw.pick(rng, ("not_larger", "not_smaller"))
            sizes = [size + dims[axis] for size, axis in zip(sizes, listed, strict=True)]
        scales = ("scales", np.zeros(0, F)) if opset < 13 else None
        return one_node("Resize", [("x", x), roi, scales, ("sizes", np.array(sizes))], opset=opset, **attributes)
    factors = [max(float(draw.pick(rng, FACTORS)), 1 / dims[axis]) if axis in axes else 1.0 for axis in listed]
    scales = ("scales", np.array(factors, F))
    return one_node("Resize", [("x", x), roi, scales], opset=opset, **attributes)


def _planes(rng: draw.Rng, last: bool = True) -> tuple[tuple[int, ...], list[int]]:
    """Dims, and the axes that are resized."""
    rank = draw.pick(rng, (2, 3, 4, 4, 4, 5))
    dims = tuple(draw.size(rng, 3 if axis < rank - 2 else 7) for axis in range(rank))
    axes = {2: [0, 1], 3: [0, 1, 2], 4: [2, 3], 5: [2, 3, 4]}[rank]
    if rank == 4 and last and draw.chance(rng, 0.3):
        axes = [1, 2]
    return dims, axes


def linear(rng: draw.Rng) -> Case:
    dims, axes = _planes(rng)
    kind = draw.pick(rng, (F, F, np.int8, np.uint8))
    x = rng.normal(0, 1, dims).astype(F) if kind == F else draw.codes(rng, kind, dims)
    mode = draw.pick(rng, MODES)
    opset = 19 if mode == "half_pixel_symmetric" else draw.pick(rng, (11, 13, 18, 19))
    value = 1.5 if mode == "tf_crop_and_resize" and draw.chance(rng, 0.5) else None
    return _sized(rng, x, axes, opset, mode="linear", coordinate_transformation_mode=mode, extrapolation_value=value)


def cubic(rng: draw.Rng) -> Case:
    rank = draw.pick(rng, (2, 4))
    dims = tuple(draw.size(rng, 3 if axis < rank - 2 else 8) for axis in range(rank))
    mode = draw.pick(rng, MODES)
    opset = 19 if mode == "half_pixel_symmetric" else draw.pick(rng, (11, 13, 18, 19))
    given = {
        "mode": "cubic",
        "coordinate_transformation_mode": mode,
        "cubic_coeff_a": draw.pick(rng, (None, -0.5)),
        "exclude_outside": draw.pick(rng, (None, 0, 1)),
        "extrapolation_value": 1.5 if mode == "tf_crop_and_resize" and draw.chance(rng, 0.5) else None,
    }
    x = rng.normal(0, 1, dims).astype(F)
    if rank == 4 and mode != "tf_crop_and_resize" and draw.chance(rng, 0.3):  # channels last, upwards
        scales = ("scales", np.array([1, *(draw.pick(rng, (1.0, 1.5, 2.0, 2.7)) for _ in range(2)), 1], F))
        return one_node("Resize", [("x", x), ("roi", np.zeros(0, F)), scales], opset=opset, **given)
    return _sized(rng, x, [rank - 2, rank - 1], opset, **given)


def without_aliasing(rng: draw.Rng) -> Case:
    cubic_mode = draw.chance(rng, 0.4)
    mode = draw.pick(rng, MODES)
    dims, axes = _planes(rng, last=mode != "tf_crop_and_resize")
    if cubic_mode and len(dims) in (3, 5):
        dims, axes = dims[-2:], [0, 1]
    given = {
        "mode": "cubic" if cubic_mode else "linear",
        "coordinate_transformation_mode": mode,
        "antialias": 1,
        "exclude_outside": draw.pick(rng, (None, 0, 1)),
    }
    return _sized(rng, rng.normal(0, 1, dims).astype(F), axes, 19, **given)


def nearest(rng: draw.Rng) -> Case:
    """The modes that have come since opset 13."""
    dims, axes = _planes(rng)
    mode = draw.pick(rng, ("half_pixel_symmetric", "tf_crop_and_resize"))
    given = {
        "mode": "nearest",
        "coordinate_transformation_mode": mode,
        "extrapolation_value": draw.pick(rng, (None, 7.0)),
    }
    return _sized(rng, draw.codes(rng, np.int8, dims), axes, 19, **given)


def grid_sample(rng: draw.Rng) -> Case:
    """Points between elements, on them, on the borders and far beyond."""
    rank = draw.pick(rng, (2, 2, 3))
    opset = 20 if rank == 3 else draw.pick(rng, (16, 20, 22))
    old, new = ("bilinear", "nearest", "bicubic"), ("linear", "nearest", "cubic")
    mode = draw.pick(rng, (None, *(old if opset < 20 else new)[: 3 if rank == 2 else 2]))
    images = draw.size(rng, 2)
    x = rng.normal(0, 1, (images, draw.size(rng, 3), *draw.shape(rng, rank))).astype(F)
    grid = rng.uniform(-1.7, 1.7, (images, *draw.shape(rng, rank, 4), rank))
    if draw.chance(rng, 0.3):
        grid = np.rint(grid * 4) / 4
    if draw.chance(rng, 0.2):
        grid = np.where(
            rng.random(grid.shape) < 0.2, rng.choice([np.nan, np.inf, -np.inf, 1e30, -1e5, -7.3], grid.shape), grid
        )
    return one_node(
        "GridSample",
        [("x", x), ("grid", grid.astype(F))],
        ["x", "grid"],
        opset=opset,
        mode=mode,
        padding_mode=draw.pick(rng, (None, "zeros", "border", "reflection")),
        align_corners=draw.pick(rng, (None, 0, 1)),
    )


INTERPOLATION: Mapping[str, Callable[[draw.Rng], Case]] = {
    "Resize linear": linear,
    "Resize cubic": cubic,
    "Resize without aliasing": without_aliasing,
    "Resize nearest": nearest,
    "GridSample": grid_sample,
}
