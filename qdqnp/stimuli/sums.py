"""A layer as sums: which inputs each output adds up, with which weights. One function per operator that sums.

`Sums` is what the constructions work on: they know neither convolution nor matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np

from qdqnp.errors import InputError, Problem
from qdqnp.executor.plan import BoundStep
from qdqnp.kernels.pool import pad_plane
from qdqnp.kernels.sums import Window
from qdqnp.ops.geometry.windows import as_planes, window_for
from qdqnp.ops.integer.linear import centered_weights
from qdqnp.program import Operand
from qdqnp.quant import Array, Int64, Quant
from qdqnp.stimuli.reach import Reach

# More places for targets per input than this are not looked for.
MOST_PLACES = 1024
SUMMING = ("QLinearConv", "QGemm", "QLinearMatMul", "QLinearGlobalAveragePool")


@dataclass(frozen=True, eq=False)
class Place:
    """One output position. index: into the sums with channels last, without the channel. taps: for each weight, the
    flat index of the input it multiplies in the first group; -1 where it lies in the padding, and adds nothing."""

    index: tuple[int, ...]
    taps: Int64


@dataclass(frozen=True, eq=False)
class Sums:
    """input: the operand that is summed. shape: of its array. weights: int64 (channels, K), less their zero points.
    group_of: (channels,) which group of inputs a channel reads; group_stride: how far apart the groups' inputs are.
    sites: lists of places; those of one list see the same taps inside the image and share no input.
    """

    input: Operand
    shape: tuple[int, ...]
    weights: Int64
    group_of: Int64
    group_stride: int
    sites: tuple[tuple[Place, ...], ...]

    @property
    def channels(self) -> int:
        return len(self.weights)

    @property
    def quant(self) -> Quant:
        assert self.input.quant is not None
        return self.input.quant

    @property
    def zero(self) -> int:
        return int(self.quant.zero_point)

    @cached_property
    def reach(self) -> Callable[[int, int], Reach]:
        """(channel, site) -> the sums that its inputs can make there."""

        @cache
        def reach(channel: int, site: int) -> Reach:
            inside = self.sites[site][0].taps >= 0
            low, high = self.quant.range
            return Reach(self.weights[channel][inside], low - self.zero, high - self.zero)

        return reach

    def least(self) -> Int64:
        """The most negative sum of each channel over all positions, (channels,)."""
        return np.array([min(r.least for r in self._reaches(channel)) for channel in range(self.channels)], np.int64)

    def most(self) -> Int64:
        """The most positive sum of each channel over all positions, (channels,)."""
        return np.array([max(r.most for r in self._reaches(channel)) for channel in range(self.channels)], np.int64)

    def steps(self) -> Int64:
        """For each channel a step that all its sums are multiples of, (channels,); 1 where all its weights are 0."""
        return np.array([max(1, math.gcd(*(int(w) for w in np.unique(row)))) for row in self.weights], np.int64)

    def site_for(self, channel: int, total: int) -> int | None:
        """A site where the channel can have that sum; None where no input makes it."""
        return next((s for s in range(len(self.sites)) if total in self.reach(channel, s)), None)

    def _reaches(self, channel: int) -> list[Reach]:
        return [self.reach(channel, site) for site in range(len(self.sites))]


def sums_of(bound: BoundStep, shapes: Mapping[str, tuple[int, ...]]) -> Sums:
    """A layer of an operator in SUMMING as sums, for these shapes (by tensor name).

    Raises InputError where weights or bias are computed, or are not one set for each channel.
    """
    return _MAKERS[bound.step.op](bound, shapes)


def _constant(bound: BoundStep, operand: Operand | None, what: str) -> Array:
    if operand is None or operand.name not in bound.consts:
        problem = Problem(f"step {bound.step.label}, {what}", "constants", "a computed tensor")
        raise InputError("no exact construction for this layer", [problem])
    return bound.consts[operand.name]


def _operands(bound: BoundStep) -> tuple[Operand, Operand, Quant]:
    x, w = bound.step.inputs[:2]
    assert x is not None and w is not None and w.quant is not None
    return x, w, w.quant


def _conv(bound: BoundStep, shapes: Mapping[str, tuple[int, ...]]) -> Sums:
    x, w, w_quant = _operands(bound)
    _check_bias(bound)
    weights, shape = _constant(bound, w, "weights"), shapes[x.name]
    rows = centered_weights(weights, w_quant).reshape(len(weights), -1)
    groups = bound.step.attributes.group
    group_of = np.arange(len(rows)) // (len(rows) // groups)
    window = window_for(bound.step.attributes, weights.shape[2:], shape[2:])
    places = window_sites(shape, weights.shape[1], window, shapes[bound.step.output_names[0]])
    return Sums(x, shape, rows, group_of, weights.shape[1] * math.prod(shape[2:]), places)


def _gemm(bound: BoundStep, shapes: Mapping[str, tuple[int, ...]]) -> Sums:
    a, b, b_quant = _operands(bound)
    _check_bias(bound)
    centered = centered_weights(_constant(bound, b, "weights"), b_quant)
    rows = centered if bound.step.attributes.transB else centered.T
    indices = _indices(shapes[a.name])
    return _matrix(a, rows, indices.T if bound.step.attributes.transA else indices, shapes[a.name])


def _matmul(bound: BoundStep, shapes: Mapping[str, tuple[int, ...]]) -> Sums:
    a, b, b_quant = _operands(bound)
    weights = _constant(bound, b, "weights")
    if weights.ndim != 2:
        problem = Problem(f"step {bound.step.label}, weights", "a matrix", f"shape {list(weights.shape)}")
        raise InputError("no exact construction for this layer", [problem])
    return _matrix(a, centered_weights(weights, b_quant).T, _indices(shapes[a.name]), shapes[a.name])


def _matrix(a: Operand, rows: Int64, indices: Int64, shape: tuple[int, ...]) -> Sums:
    """indices: of a's elements, (..., K); each leading index is one output row."""
    leading = list(np.ndindex(*indices.shape[:-1]))[:MOST_PLACES]
    places = tuple(Place(index, indices[index].reshape(-1)) for index in leading)
    return Sums(a, shape, np.ascontiguousarray(rows), np.zeros(len(rows), np.int64), 0, (places,))


def _global_average(bound: BoundStep, shapes: Mapping[str, tuple[int, ...]]) -> Sums:
    x = bound.step.inputs[0]
    assert x is not None
    images, channels, *spatial = shapes[x.name]
    area = math.prod(spatial)
    starts = range(0, images * channels * area, max(1, channels * area))
    places = tuple(Place((n,), start + np.arange(area)) for n, start in enumerate(starts))[:MOST_PLACES]
    ones = np.ones((channels, area), np.int64)
    return Sums(x, shapes[x.name], ones, np.arange(channels), area, (places,))


def _check_bias(bound: BoundStep) -> None:
    """A bias that differs by row makes another function of the sum for each row."""
    bias = bound.step.inputs[2]
    if bias is None:
        return
    shape = _constant(bound, bias, "bias").shape
    if math.prod(shape) > 1 and shape[-1] != math.prod(shape):
        problem = Problem(f"step {bound.step.label}, bias", "one value per channel", f"shape {list(shape)}")
        raise InputError("no exact construction for this layer", [problem])


_MAKERS: Mapping[str, Callable[[BoundStep, Mapping[str, tuple[int, ...]]], Sums]] = {
    "QLinearConv": _conv,
    "QGemm": _gemm,
    "QLinearMatMul": _matmul,
    "QLinearGlobalAveragePool": _global_average,
}


def _indices(shape: Sequence[int]) -> Int64:
    return np.arange(math.prod(shape), dtype=np.int64).reshape(tuple(shape))


# -- sliding windows ---------------------------------------------------------------------------------------------------
def window_sites(
    shape: tuple[int, ...], channels: int, window: Window, output: tuple[int, ...], maximal: bool = True
) -> tuple[tuple[Place, ...], ...]:
    """Places of a sliding window over the first `channels` channels of an input (N, C, H, W) or (N, C, W).

    maximal: leave out positions that see fewer taps than another, because more of the window lies in the padding: they
    make no other sums, as an input at its zero point adds as little as padding does.
    """
    indices = as_planes(_indices(shape))[:, :channels]
    rows_out, cols_out = (output[2] if len(output) == 4 else 1), output[-1]
    height, width = indices.shape[2:]
    padded = pad_plane(indices, window, rows_out, cols_out, -1)
    sites = []
    for rows in _alike(height, window, 0, rows_out, maximal):
        for cols in _alike(width, window, 1, cols_out, maximal):
            # as many places as possible over all images, none sharing an input
            spots = [(n, y, x) for n in range(shape[0]) for y in rows for x in cols][:MOST_PLACES]
            sites.append(tuple(Place(_index(spot, len(shape)), _taps(padded, window, spot)) for spot in spots))
    return tuple(sites)


def _index(spot: tuple[int, int, int], rank: int) -> tuple[int, ...]:
    return spot if rank == 4 else (spot[0], spot[2])


def _taps(padded: Int64, window: Window, spot: tuple[int, int, int]) -> Int64:
    """The inputs under the window at one spot, (channels * rows * columns,)."""
    image, row, col = spot
    top, left = row * window.strides[0], col * window.strides[1]
    (kh, kw), (dh, dw) = window.kernel, window.dilations
    return padded[image, :, top : top + dh * (kh - 1) + 1 : dh, left : left + dw * (kw - 1) + 1 : dw].reshape(-1)


def _alike(size: int, window: Window, axis: int, count: int, maximal: bool) -> list[list[int]]:
    """Output positions along one axis by which taps they see inside the image, of each kind those whose windows do not
    overlap. maximal: only the kinds that are no part of another."""
    first = np.arange(count) * window.strides[axis] - window.pads[axis]
    taps = first[:, None] + np.arange(window.kernel[axis]) * window.dilations[axis]
    inside = (taps >= 0) & (taps < size)
    kinds = np.unique(inside, axis=0)
    found = []
    for kind in kinds:
        if not (maximal and any((kind <= other).all() and (kind != other).any() for other in kinds)):
            found.append(_apart(np.flatnonzero((inside == kind).all(axis=1)), taps))
    return found


def _apart(positions: Int64, taps: Int64) -> list[int]:
    """Positions, from the first on, each beginning behind the last tap of the one before."""
    chosen: list[int] = []
    for position in positions.tolist():
        if not chosen or taps[position, 0] > taps[chosen[-1], -1]:
            chosen.append(position)
    return chosen


def bias_of(bound: BoundStep) -> list[int]:
    """The constant bias of a layer that sums, one value or one per channel; empty where there is none."""
    operand = bound.step.inputs[2] if len(bound.step.inputs) > 2 and bound.step.op in SUMMING else None
    if operand is None or operand.name not in bound.consts:
        return []
    return [int(value) for value in bound.consts[operand.name].reshape(-1)]
