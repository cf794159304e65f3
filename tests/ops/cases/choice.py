"""What picks, repeats or arranges codes: Slice, Gather, Pad, blocks, Expand, Tile, Resize, the extrema."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.ops import draw
from tests.ops.case import Case, one_node

FAR = (2**31 - 1, -(2**31), 2**63 - 1, -(2**63))
Argument = tuple[str, draw.Array]


def _codes(rng: draw.Rng, dims: tuple[int, ...]) -> Argument:
    return "x", draw.codes(rng, draw.pick(rng, draw.EIGHT), dims)


def _ints(name: str, values: Any) -> Argument:
    return name, np.array(values, np.int64)


def _signed(rng: draw.Rng, axis: int, rank: int) -> int:
    return int(axis) - (rank if draw.chance(rng, 0.4) else 0)


def _some_axes(rng: draw.Rng, rank: int) -> list[int]:
    return [int(axis) for axis in rng.permutation(rank)[: draw.size(rng, rank)]]


def slice_(rng: draw.Rng) -> Case:
    """Bounds inside and far outside; steps of both signs."""
    dims = draw.shape(rng)
    axes = _some_axes(rng, len(dims))
    forwards = draw.chance(rng, 0.3)
    cuts = [_cut(rng, dims[axis], forwards) for axis in axes]
    starts, ends, steps = zip(*cuts, strict=True)
    arguments = [_codes(rng, dims), _ints("starts", starts), _ints("ends", ends)]
    if forwards and axes == list(range(len(axes))):
        return one_node("Slice", arguments, opset=13)
    arguments.append(_ints("axes", [_signed(rng, axis, len(dims)) for axis in axes]))
    opset = draw.pick(rng, (10, 11, 13))
    return one_node("Slice", arguments if forwards else [*arguments, _ints("steps", steps)], opset=opset)


def _cut(rng: draw.Rng, size: int, forwards: bool) -> tuple[int, int, int]:
    """(start, end, step); most leave something over, and some bounds are counted from the end."""
    if draw.chance(rng, 0.2):
        start, end = (int(draw.pick(rng, (*range(-7, 8), *FAR))) for _ in range(2))
        return start, end, 1 if forwards else int(draw.pick(rng, (1, 2, -1, 2**62, -(2**62))))
    low, high = sorted(int(at) for at in rng.choice(size + 1, 2, replace=False))
    if forwards or draw.chance(rng, 0.5):
        step = 1 if forwards else int(draw.pick(rng, (1, 1, 2, 3, 2**62)))
        return low - (size if draw.chance(rng, 0.3) else 0), high if draw.chance(rng, 0.7) else high + 9, step
    return high - 1, low - 1 if low else int(draw.pick(rng, (-(2**63), -size - 1))), int(draw.pick(rng, (-1, -1, -2)))


def gather(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    axis = int(rng.integers(len(dims)))
    shape = draw.shape(rng, draw.pick(rng, (0, 1, 1, 2)))
    indices = rng.integers(-dims[axis], dims[axis], shape).astype(draw.pick(rng, (np.int32, np.int64)))
    return one_node(
        "Gather", [_codes(rng, dims), ("indices", np.asarray(indices))], opset=13, axis=_signed(rng, axis, len(dims))
    )


def pad(rng: draw.Rng) -> Case:
    """Some of the padding negative, as long as something is left between."""
    dims = draw.shape(rng)
    x = _codes(rng, dims)
    chosen = _some_axes(rng, len(dims)) if draw.chance(rng, 0.3) else list(range(len(dims)))
    sides = [
        (int(rng.integers(-(dims[axis] // 2), 4)), int(rng.integers(-((dims[axis] - 1) // 2), 4))) for axis in chosen
    ]
    arguments: list[Argument | None] = [x, _ints("pads", [low for low, _ in sides] + [high for _, high in sides])]
    value = draw.zero_point(rng, x[1].dtype)
    arguments.append(("value", value) if draw.chance(rng, 0.7) else None)
    if chosen == list(range(len(dims))):
        return one_node("Pad", arguments, opset=draw.pick(rng, (13, 18)))
    return one_node("Pad", [*arguments, _ints("axes", chosen)], opset=18)


def depth_to_space(rng: draw.Rng) -> Case:
    block, depth, h, w = (draw.size(rng, 3) for _ in range(4))
    x = _codes(rng, (draw.size(rng, 2), depth * block**2, h, w))
    return one_node("DepthToSpace", [x], opset=13, blocksize=block, mode=draw.pick(rng, (None, "DCR", "CRD")))


def space_to_depth(rng: draw.Rng) -> Case:
    block, channels, h, w = (draw.size(rng, 3) for _ in range(4))
    x = _codes(rng, (draw.size(rng, 2), channels, h * block, w * block))
    return one_node("SpaceToDepth", [x], opset=13, blocksize=block)


def expand(rng: draw.Rng) -> Case:
    out = draw.shape(rng)
    x = _codes(rng, tuple(1 if draw.chance(rng, 0.4) else n for n in out)[int(rng.integers(len(out))) :])
    wanted = [1 if draw.chance(rng, 0.3) else n for n in out]
    return one_node("Expand", [x, _ints("shape", wanted)], opset=13)


def tile(rng: draw.Rng) -> Case:
    dims = draw.shape(rng, most=4)
    return one_node("Tile", [_codes(rng, dims), _ints("repeats", rng.integers(1, 4, len(dims)))], opset=13)


def resize(rng: draw.Rng) -> Case:
    """Up, down, and by factors that put coordinates onto halves; scales or sizes, all axes or the last two."""
    dims = (draw.size(rng, 2), draw.size(rng, 3), draw.size(rng, 9), draw.size(rng, 9))
    x = _codes(rng, dims)
    scales = [1.0, 1.0, *(draw.pick(rng, (2.0, 0.5, 1.5, 3.0, 1 / 3, 0.4, 2.7, 1.0, 4 / 3)) for _ in range(2))]
    scales = [max(scale, 1 / size) for scale, size in zip(scales, dims, strict=True)]
    factors = np.nextafter(np.array(scales, np.float32), np.float32(9)) if draw.chance(rng, 0.2) else scales
    if draw.chance(rng, 0.2):
        return one_node("Resize", [x, ("scales", np.array(scales, np.float32))], opset=10, mode="nearest")
    modes = {
        "mode": "nearest",
        "nearest_mode": draw.pick(rng, (None, "floor", "ceil", "round_prefer_ceil", "round_prefer_floor")),
        "coordinate_transformation_mode": draw.pick(
            rng,
            (
                None,
                "half_pixel",
                "asymmetric",
                "pytorch_half_pixel",
                "align_corners",
                "tf_half_pixel_for_nn",
            ),
        ),
    }
    opset = draw.pick(rng, (11, 13, 18, 19))
    partly = opset >= 18 and draw.chance(rng, 0.4)
    if partly:
        modes["axes"] = [2, 3]
    roi = ("roi", np.zeros(0, np.float32)) if opset < 13 else None
    if draw.chance(rng, 0.5):
        sizes = [*dims[:2], *(draw.size(rng, 14) for _ in range(2))]
        scales_given = ("scales", np.zeros(0, np.float32)) if opset < 13 else None
        return one_node("Resize", [x, roi, scales_given, _ints("sizes", sizes[2 * partly :])], opset=opset, **modes)
    return one_node("Resize", [x, roi, ("scales", np.array(factors[2 * partly :], np.float32))], opset=opset, **modes)


def upsample(rng: draw.Rng) -> Case:
    """The nearest element, on two axes, at opsets 7 to 9; tests/ops/test_old_opsets.py interpolates."""
    dims = (draw.size(rng, 2), draw.size(rng, 3), draw.size(rng, 7), draw.size(rng, 7))
    x = _codes(rng, dims)
    scales = [1.0, 1.0, *(float(draw.pick(rng, (1.0, 2.0, 1.5, 3.0, 4 / 3, 2.7))) for _ in range(2))]
    mode = draw.pick(rng, (None, "nearest"))
    if draw.chance(rng, 0.5):
        return one_node("Upsample", [x], opset=draw.pick(rng, (7, 8)), mode=mode, scales=scales)
    return one_node("Upsample", [x, ("scales", np.array(scales, np.float32))], opset=9, mode=mode)


def reduction(op: str) -> Any:
    def case(rng: draw.Rng) -> Case:
        dims = draw.shape(rng)
        axes = [_signed(rng, axis, len(dims)) for axis in _some_axes(rng, len(dims))]
        given = draw.chance(rng, 0.7)
        keep = draw.pick(rng, (None, 0, 1))
        if draw.chance(rng, 0.5):
            return one_node(op, [_codes(rng, dims)], opset=13, axes=axes if given else None, keepdims=keep)
        noop = draw.pick(rng, (None, 0, 1))
        arguments = [_codes(rng, dims), _ints("axes", axes) if given else None]
        return one_node(op, arguments, opset=18, keepdims=keep, noop_with_empty_axes=noop)

    return case


def arg_max(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    axis = draw.pick(rng, (None, _signed(rng, int(rng.integers(len(dims))), len(dims))))
    return one_node(
        "ArgMax",
        [_codes(rng, dims)],
        opset=13,
        output=np.int64,
        axis=axis,
        keepdims=draw.pick(rng, (None, 0, 1)),
        select_last_index=draw.pick(rng, (None, 0, 1)),
    )
