"""A convolution as the schedule sees it: integer weights in blocks, its window, and how sums become codes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.executor.fast.sums import FastSums
from qdqnp.executor.plan import BoundStep
from qdqnp.kernels.strategy import AUTO, FLOAT32, prove
from qdqnp.kernels.sums import Window
from qdqnp.lazy import lazy
from qdqnp.ops.geometry.conv import Convolution
from qdqnp.ops.geometry.windows import window_for
from qdqnp.ops.integer.asking import SumOperator
from qdqnp.quant import Array
from qdqnp.schedule.finish import Finish, finish_of
from qdqnp.schedule.image import Image
from qdqnp.schedule.proof import winograd
from qdqnp.schedule.store import Shortcut

#: Bytes that a layer takes for each weight of its blocks, at most: int16, and float32 in four forms of three rows.
BYTES_PER_WEIGHT = 8
#: Channels of a block of groups: what one product handles at once. Measured; it decides speed only.
BLOCK = 16


@dataclass(frozen=True, eq=False)
class ConvolvedLayer:
    label: str
    #: The input; its range is what sums are proven for.
    x: Image
    y: Image
    window: Window
    #: Weights less zero points, (blocks, kernel rows, kernel columns, channels in, channels out of a block). Groups
    #: that share a block have zeros for each other's channels. They are kept, in integers as narrow as hold them.
    weights: Array
    finish: Finish
    #: Why sums are exact in any order.
    proof: str
    #: An addition that is computed before codes are stored; `y` is then its output.
    shortcut: Shortcut | None = None

    @property
    def weight_bytes(self) -> int:
        """The bytes that the weights take in any form, at most."""
        return BYTES_PER_WEIGHT * self.weights.size

    @lazy
    def winograd_proof(self) -> str:
        """Why `winograd.py` is exact for the layer (`proof.py: winograd` has the equations); '' where it may not be
        used."""
        window = self.window
        if window.kernel[0] != 3 or window.strides != (1, 1) or window.dilations[0] != 1:
            return ""
        blocks, _, columns, inner, outer = self.weights.shape
        # kernel rows, blocks, channels out, kernel columns, channels in
        by_row = np.moveaxis(self.weights, (1, 4), (0, 2)).reshape(3, blocks * outer, columns * inner)
        return winograd(by_row, *self.x.range)

    @property
    def products(self) -> int:
        """How many products of numbers the layer computes, those with the zeros of blocks among them."""
        return self.weights.size * self.y.height * self.y.width

    @property
    def reads(self) -> tuple[Image, ...]:
        """The images that are read: the input, and what is added."""
        return (self.x, *((self.shortcut.other,) if self.shortcut is not None else ()))

    def with_shortcut(self, shortcut: Shortcut, y: Image) -> ConvolvedLayer:
        """Return the layer with an addition behind it."""
        return replace(self, shortcut=shortcut, y=y)


def layer_of(bound: BoundStep, x: Image, y: Image, room: int) -> ConvolvedLayer | None:
    """Return the convolution of a step; None where the step is another, its float32 sums are not proven, or its weights
    take more than `room` bytes."""
    kernel, operator = bound.kernel, bound.operator
    if not isinstance(operator, SumOperator) or operator.sums_over is not Convolution:
        return None
    made = kernel.layer if isinstance(kernel, FastSums) else None
    if made is None or (made.weights.pairs is not None and made.weights.pairs.pairs):
        return None
    step, zero = bound.step, x.zero_point
    if int(step.quant(0).zero_point) != zero or step.quant(0).dtype != x.dtype:
        return None
    grouped = made.weights.centered()
    proof = prove(grouped, *x.range, AUTO)
    finish = finish_of(made)
    if proof.kind != FLOAT32 or finish is None:
        return None
    size = bound.consts[step.input_names[1]].shape[2:]
    if BYTES_PER_WEIGHT * grouped.size * _together(grouped, size) > room:
        return None
    window = window_for(step.attributes, size, (x.height, x.width))
    return ConvolvedLayer(step.label, x, y, window, _blocks(grouped, size), finish, str(proof))


def _together(grouped: Array, size: tuple[int, ...]) -> int:
    """Return how many groups share a block."""
    groups, out, terms = grouped.shape
    most = max(1, BLOCK // max(out, terms // math.prod(size), 1))
    return max(count for count in range(1, min(groups, most) + 1) if groups % count == 0)


def _blocks(grouped: Array, size: tuple[int, ...]) -> Array:
    """Return grouped weights (groups, channels out, channels in * kernel) in blocks of groups."""
    groups, out, terms = grouped.shape
    rows, columns = size
    inner, together = terms // (rows * columns), _together(grouped, size)
    blocks = np.zeros((groups // together, rows, columns, together * inner, together * out), narrowest(grouped))
    each = grouped.reshape(groups // together, together, out, inner, rows, columns)
    for group in range(together):
        into = blocks[..., group * inner : (group + 1) * inner, group * out : (group + 1) * out]
        into[...] = each[:, group].transpose(0, 3, 4, 2, 1)
    return blocks


def narrowest(values: Array) -> np.dtype[Any]:
    """Return the narrowest signed dtype that holds the values."""
    least, most = int(values.min(initial=0)), int(values.max(initial=0))
    kinds = (np.iinfo(kind) for kind in (np.int8, np.int16, np.int32))
    return next((kind.dtype for kind in kinds if kind.min <= least and most <= kind.max), np.dtype(np.int64))
