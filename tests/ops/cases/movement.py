"""Flatten, Reshape, Transpose, Squeeze, Unsqueeze: codes of every type, moved."""

from __future__ import annotations

import numpy as np

from tests.ops import draw
from tests.ops.case import Case, one_node


def _codes(rng: draw.Rng, dims: tuple[int, ...]) -> tuple[str, draw.Array]:
    return "x", draw.codes(rng, draw.pick(rng, draw.EIGHT), dims)


def flatten(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    axis = draw.pick(rng, (None, int(rng.integers(-len(dims), len(dims) + 1))))
    return one_node("Flatten", [_codes(rng, dims)], opset=13, axis=axis)


def reshape(rng: draw.Rng) -> Case:
    """The factors of the size in another order, with a -1 or a 0 here and there."""
    dims = draw.shape(rng, rank=int(rng.integers(1, 5)))
    target = [int(n) for n in rng.permutation(dims)]
    if draw.chance(rng, 0.5):
        cut = int(rng.integers(1, len(target) + 1))
        target = [int(np.prod(target[:cut])), *target[cut:]]
    copied = [i for i, n in enumerate(target) if i < len(dims) and dims[i] == n]
    if copied and draw.chance(rng, 0.5):
        target[draw.pick(rng, copied)] = 0
    if draw.chance(rng, 0.5):
        target[int(rng.integers(len(target)))] = -1
    return one_node("Reshape", [_codes(rng, dims), ("shape", np.array(target, np.int64))], opset=14)


def transpose(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    perm = [int(axis) for axis in rng.permutation(len(dims))]
    return one_node("Transpose", [_codes(rng, dims)], opset=13, perm=draw.pick(rng, (perm, perm, None)))


def squeeze(rng: draw.Rng) -> Case:
    dims = tuple(1 if draw.chance(rng, 0.5) else n for n in draw.shape(rng))
    ones = [i - (len(dims) if draw.chance(rng, 0.5) else 0) for i, n in enumerate(dims) if n == 1]
    chosen = [axis for axis in ones if draw.chance(rng, 0.7)]
    return _with_axes(rng, "Squeeze", dims, chosen or None)


def unsqueeze(rng: draw.Rng) -> Case:
    dims = draw.shape(rng, rank=int(rng.integers(0, 4)))
    rank = len(dims) + draw.size(rng, 3)
    places = rng.permutation(rank)[: rank - len(dims)]
    return _with_axes(rng, "Unsqueeze", dims, [int(p) - (rank if draw.chance(rng, 0.5) else 0) for p in places])


def _with_axes(rng: draw.Rng, op: str, dims: tuple[int, ...], axes: list[int] | None) -> Case:
    """The axes are an attribute before opset 13, and an input since."""
    if draw.chance(rng, 0.3):
        return one_node(op, [_codes(rng, dims)], opset=11, axes=axes)
    given = None if axes is None else ("axes", np.array(axes, np.int64))
    return one_node(op, [_codes(rng, dims), given], opset=13)
