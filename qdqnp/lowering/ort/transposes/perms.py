"""Permutations of axes, as the attribute `perm` of Transpose gives them: output axis i is input axis perm[i].

ONNX Runtime 1.32, core/optimizer/transpose_optimization/onnx_transpose_optimization.cc.
"""

from __future__ import annotations

from collections.abc import Sequence

from qdqnp.graph import Shape

Perm = tuple[int, ...]


def inverted(perm: Perm) -> Perm:
    """The permutation that undoes it."""
    return tuple(perm.index(axis) for axis in range(len(perm)))


def composed(first: Perm, second: Perm) -> Perm:
    """Both, one after the other, as one."""
    return tuple(first[axis] for axis in second)


def is_identity(perm: Perm) -> bool:
    return perm == tuple(range(len(perm)))


def permuted(shape: Shape, perm: Perm) -> Shape:
    """A shape after a Transpose."""
    return tuple(shape[axis] for axis in perm)


def normalized(axes: Sequence[int], rank: int) -> tuple[int, ...] | None:
    """The axes counted from the front; None where one is out of range or there twice."""
    found = tuple(axis + rank if axis < 0 else axis for axis in axes)
    fine = all(0 <= axis < rank for axis in found) and len(set(found)) == len(found)
    return found if fine else None


def squeezed(perm: Perm, axes: Sequence[int]) -> Perm:
    """The permutation of what is left once these axes of the input are gone."""
    left = [axis for axis in range(len(perm)) if axis not in axes]
    return tuple(left.index(axis) for axis in perm if axis not in axes)


def unsqueezed(perm: Perm, axes: Sequence[int]) -> Perm:
    """The permutation that leaves these axes, which are added, in their places."""
    rank = len(perm) + len(axes)
    old = [axis for axis in range(rank) if axis not in axes]
    rest = iter(perm)
    return tuple(axis if axis in axes else old[next(rest)] for axis in range(rank))


def unsqueezed_shape(shape: Shape, axes: Sequence[int]) -> Shape:
    rest = iter(shape)
    return tuple(1 if axis in axes else next(rest) for axis in range(len(shape) + len(axes)))


def unsqueezed_axis(axis: int, axes: Sequence[int]) -> int:
    """Where an axis of the input is after these axes are added."""
    for added in sorted(axes):
        axis += added <= axis
    return axis


def channels_first(rank: int) -> Perm:
    """The permutation from (N, ..., C) to (N, C, ...)."""
    return (0, rank - 1, *range(1, rank - 1))
