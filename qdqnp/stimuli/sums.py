"""A layer as sums: which inputs each output adds up, and with which weights.

The constructions work on `SummingLayer` and do not know convolution or matrix product.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, product
from typing import Any

import numpy as np

from qdqnp.errors import InputError, Problem
from qdqnp.executor.plan import BoundStep
from qdqnp.graph import Sizes
from qdqnp.kernels.pool import Axis, pad_windows
from qdqnp.lazy import lazy
from qdqnp.numerics.questions import Means, Sums
from qdqnp.ops.geometry.conv import Convolution
from qdqnp.ops.geometry.matrix import MatrixProduct
from qdqnp.ops.integer.asking import IntegerOperator
from qdqnp.program import Operand
from qdqnp.quant import Int64, Quant
from qdqnp.stimuli.reach import Reach

# At most this many places for targets are used per input.
MOST_PLACES = 1024


@dataclass(frozen=True, eq=False)
class Place:
    """One output position."""

    #: Index into the sums with channels last, without the channel.
    index: tuple[int, ...]
    #: For each weight, the flat index of the input that it multiplies in the first group; -1 where that lies in the
    #: padding, which adds nothing.
    taps: Int64


@dataclass(frozen=True, eq=False)
class SummingLayer:
    """A layer whose outputs are sums of weighted inputs."""

    #: The operand that is summed.
    input: Operand
    #: The shape of the operand's array.
    shape: tuple[int, ...]
    #: int64 (channels, K), less their zero points.
    weights: Int64
    #: Which group of inputs each channel reads, (channels,).
    group_of: Int64
    #: How far apart the inputs of two groups are, in elements.
    group_stride: int
    #: Lists of places. The places of one list see the same taps inside the image and do not share inputs.
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

    @lazy
    def reach(self) -> Callable[[int, int], Reach]:
        """Return the function (channel, site) -> the sums that the channel's inputs can make there."""

        @cache
        def reach(channel: int, site: int) -> Reach:
            inside = self.sites[site][0].taps >= 0
            low, high = self.quant.range
            return Reach(self.weights[channel][inside], low - self.zero, high - self.zero)

        return reach

    def least(self) -> Int64:
        """Return the most negative sum of each channel over all positions, (channels,)."""
        return np.array([min(r.least for r in self._reaches(channel)) for channel in range(self.channels)], np.int64)

    def most(self) -> Int64:
        """Return the most positive sum of each channel over all positions, (channels,)."""
        return np.array([max(r.most for r in self._reaches(channel)) for channel in range(self.channels)], np.int64)

    def steps(self) -> Int64:
        """Return for each channel a step of which all its sums are multiples, (channels,); 1 where all its weights are
        0."""
        return np.array([max(1, math.gcd(*(int(w) for w in np.unique(row)))) for row in self.weights], np.int64)

    def site_for(self, channel: int, total: int) -> int | None:
        """Find a site where the channel can have that sum; None where no input makes it."""
        return next((s for s in range(len(self.sites)) if total in self.reach(channel, s)), None)

    def _reaches(self, channel: int) -> list[Reach]:
        return [self.reach(channel, site) for site in range(len(self.sites))]


def sums_of(bound: BoundStep, shapes: Mapping[str, tuple[int, ...]]) -> SummingLayer:
    """Return a layer that asks about sums as a SummingLayer.

        bound: the layer.
        shapes: the shape of each tensor by name.

    Raises InputError where weights or bias are computed, or are not one set for each channel.
    """
    step, operator = bound.step, bound.operator
    x = step.inputs[0]
    assert x is not None
    for index, what in ((operator.weight_operand, "weights"), (operator.bias_operand, "bias")):
        _check_constant(bound, index, what)
    # each input element holds its flat index in place of its code: the questions then say which inputs are added up
    indices = np.arange(math.prod(shapes[x.name]), dtype=np.int64).reshape(shapes[x.name])
    parts = operator.questions(step, *bound.arrays({x.name: indices})) if isinstance(operator, IntegerOperator) else ()
    question = parts[0].question if len(parts) == 1 else None
    output = shapes[step.output_names[0]]
    if isinstance(question, Means):
        return _planes(x, shapes[x.name], len(output))
    products = question.products if isinstance(question, Sums) else None
    if isinstance(products, Convolution):
        return _convolution(x, products, output)
    if isinstance(products, MatrixProduct):
        return _matrix(x, products, shapes[x.name], output)
    problem = Problem(f"step {step.label}, weights", "a matrix", "several")
    raise InputError("no exact construction for this layer", [problem])


def _check_constant(bound: BoundStep, index: int | None, what: str) -> None:
    """Raise InputError for computed weights or bias, and for a bias that differs by row: each row is then another
    function of the sum."""
    operand = bound.step.inputs[index] if index is not None and index < len(bound.step.inputs) else None
    if operand is None:
        return
    if operand.name not in bound.consts:
        problem = Problem(f"step {bound.step.label}, {what}", "constants", "a computed tensor")
        raise InputError("no exact construction for this layer", [problem])
    shape = bound.consts[operand.name].shape
    if what == "bias" and math.prod(shape) > 1 and shape[-1] != math.prod(shape):
        problem = Problem(f"step {bound.step.label}, bias", "one value per channel", f"shape {list(shape)}")
        raise InputError("no exact construction for this layer", [problem])


def _convolution(x: Operand, products: Convolution, output: tuple[int, ...]) -> SummingLayer:
    rows, shape = products.weights.rows, products.image.shape
    per_group = products.kernel.shape[1]
    group_of = np.arange(len(rows)) // (len(rows) // products.attributes.group)
    places = window_sites(shape, per_group, products.axes, products.kernel.shape[2:], output)
    return SummingLayer(x, shape, rows, group_of, per_group * math.prod(shape[2:]), places)


def _matrix(x: Operand, products: MatrixProduct, shape: tuple[int, ...], output: tuple[int, ...]) -> SummingLayer:
    """Describe a matrix product: each row of the output is a place."""
    rows = products.weights.rows
    leading = list(np.ndindex(*output[:-1]))[:MOST_PLACES]
    places = tuple(Place(index, products.a[row].astype(np.int64)) for row, index in enumerate(leading))
    return SummingLayer(x, shape, np.ascontiguousarray(rows), np.zeros(len(rows), np.int64), 0, (places,))


def _planes(x: Operand, shape: tuple[int, ...], rank: int) -> SummingLayer:
    """Describe the mean of each plane: all weights are 1, and every channel is a group of its own."""
    images, channels, *spatial = shape
    area = math.prod(spatial)
    starts = range(0, images * channels * area, max(1, channels * area))
    rest = (0,) * (rank - 2)
    places = tuple(Place((n, *rest), start + np.arange(area)) for n, start in enumerate(starts))[:MOST_PLACES]
    ones = np.ones((channels, area), np.int64)
    return SummingLayer(x, shape, ones, np.arange(channels), area, (places,))


def _indices(shape: Sequence[int]) -> Int64:
    return np.arange(math.prod(shape), dtype=np.int64).reshape(tuple(shape))


# -- sliding windows ---------------------------------------------------------------------------------------------------
def window_sites(
    shape: tuple[int, ...],
    channels: int,
    axes: Sequence[Axis],
    kernel: Sizes,
    output: tuple[int, ...],
    maximal: bool = True,
) -> tuple[tuple[Place, ...], ...]:
    """Find the places of a sliding window over the first channels of an input.

    shape: (N, C, ...).
    channels: how many of the input's channels the window covers.
    axes: stride, dilation and padding of each spatial axis.
    kernel: the size of the window along each.
    output: shape of the output.
    maximal: leave out positions that see fewer taps than another because more of the window lies in the padding. They
        do not make other sums, because an input at its zero point adds as little as padding does.
    """
    spatial = shape[2:]
    padded = pad_windows(_indices(shape)[:, :channels], axes, kernel, output[2:], -1)
    alike = [_alike(*each, maximal) for each in zip(spatial, axes, kernel, output[2:], strict=True)]
    sites = []
    for kind in product(*alike):
        # as many places as possible over all images, without shared inputs
        spots = list(islice(product(range(shape[0]), *kind), MOST_PLACES))
        sites.append(tuple(Place(spot, _taps(padded, axes, kernel, spot)) for spot in spots))
    return tuple(sites)


def _taps(padded: Int64, axes: Sequence[Axis], kernel: Sizes, spot: tuple[int, ...]) -> Int64:
    """Return the inputs under the window at one spot, (channels * places of the kernel,)."""
    image, *place = spot
    under = (
        slice(at * stride, at * stride + dilation * (taps - 1) + 1, dilation)
        for at, (stride, dilation, _, _), taps in zip(place, axes, kernel, strict=True)
    )
    met: tuple[Any, ...] = (image, slice(None), *under)
    return np.asarray(padded[met]).reshape(-1)


def _alike(size: int, axis: Axis, taps: int, count: int, maximal: bool) -> list[list[int]]:
    """Group the output positions along one axis by which taps they see inside the image; each group keeps positions
    whose windows do not overlap.

        size: length of the axis.
        axis: its stride, dilation and padding.
        taps: length of the window.
        count: number of output positions.
        maximal: keep only the groups whose taps are not part of another group's.
    """
    stride, dilation, before, _ = axis
    met = (np.arange(count) * stride - before)[:, None] + np.arange(taps) * dilation
    inside = (met >= 0) & (met < size)
    kinds = np.unique(inside, axis=0)
    found = []
    for kind in kinds:
        if not (maximal and any((kind <= other).all() and (kind != other).any() for other in kinds)):
            found.append(_apart(np.flatnonzero((inside == kind).all(axis=1)), met))
    return found


def _apart(positions: Int64, taps: Int64) -> list[int]:
    """Keep positions, from the first on, that each begin behind the last tap of the one before."""
    chosen: list[int] = []
    for position in positions.tolist():
        if not chosen or taps[position, 0] > taps[chosen[-1], -1]:
            chosen.append(position)
    return chosen


def bias_of(bound: BoundStep) -> list[int]:
    """Return the constant bias of a layer that sums, one value or one per channel; empty where there is none."""
    index = bound.operator.bias_operand
    operand = bound.step.inputs[index] if index is not None and index < len(bound.step.inputs) else None
    if operand is None or operand.name not in bound.consts:
        return []
    return [int(value) for value in bound.consts[operand.name].reshape(-1)]
