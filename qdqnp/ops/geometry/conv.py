"""Convolution: attributes, shapes, and which products an output element adds up. Groups, strides, dilations, pads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.kernels.pool import Axis, window_taps
from qdqnp.kernels.sums import Window
from qdqnp.lazy import lazy
from qdqnp.numerics.questions.sums import Index, SumWeights
from qdqnp.ops.geometry.broadcast import may_equal
from qdqnp.ops.geometry.windows import (
    WindowAttributes,
    as_planes,
    axes_for,
    check_window,
    padded_plane,
    spatial_output,
    taps_at,
    window_for,
)
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array, Codes, Int64, Quant


@dataclass(frozen=True)
class ConvAttributes(WindowAttributes):
    group: int = 1


@lru_cache(maxsize=4096)  # the same few shapes again in every run
def conv_shape(attributes: ConvAttributes, x: Shape, w: Shape) -> Shape:
    """Return the output shape of a convolution. Raises ShapeError where x, w and group do not fit."""
    if len(x) not in (3, 4, 5) or len(w) != len(x):
        raise ShapeError("input and weights of the same rank 3 to 5", f"{list(x)} and {list(w)}")
    channels, out_channels, per_group = x[1], w[0], w[1]
    kernel = w[2:]
    if not all(isinstance(size, int) for size in kernel):
        raise ShapeError("weights of known size", str(list(w)))
    if isinstance(channels, int) and isinstance(per_group, int) and channels != per_group * attributes.group:
        raise ShapeError(f"{per_group} x {attributes.group} input channels (weights x groups)", f"{channels}")
    if isinstance(out_channels, int) and out_channels % attributes.group:
        raise ShapeError(f"output channels in {attributes.group} groups", f"{out_channels}")
    sizes = [size for size in kernel if isinstance(size, int)]
    return (x[0], out_channels, *spatial_output(attributes, sizes, x[2:]))


def fit_bias(bias: Shape, out: Shape) -> None:
    """Raise ShapeError where a bias has not one value for each channel of the output."""
    if not may_equal(bias, (out[1],)):
        raise ShapeError(f"a bias of shape [{out[1]}]", str(list(bias)))


def check_conv(check: NodeCheck, attributes: ConvAttributes, x: int, w: int) -> None:
    """Check what every convolution needs; x and w are input indices."""
    rank = check.rank_in(x, (3, 4, 5), "x")
    check.rank_in(w, (rank,), "w")
    kernel = [size for size in check.value(w).shape[2:] if isinstance(size, int)]
    if len(kernel) != rank - 2:
        check.refuse(f"input {w} (w)", "a known kernel size", check.value(w).shape)
    check_window(check, attributes, rank - 2, kernel)
    if attributes.group < 1:
        check.refuse("attribute 'group'", "at least 1", attributes.group)


def conv_macs(w: Sizes, out: Sizes) -> int:
    return math.prod(out) * math.prod(w[1:])


def conv_work(attributes: ConvAttributes, x: Sizes, w: Sizes, out: Sizes) -> int:
    """Estimate the elements that a convolution handles besides its output.

    It counts one padded image and one row of im2col in full. All other rows only take time and count a sixteenth. Each
    image counts as the thousand elements that could be handled while the image is set up.
    """
    plane = padded_plane(attributes, w[2:], x[2:], out[2:])
    row = x[1] * math.prod(w[2:]) * max(plane[-1], out[-1])
    if len(out) == 5:  # one slice of the output after the other, of as many slices of the image as the kernel has
        return x[1] * math.prod(plane) * (1 + w[2]) + row + x[0] * out[2] * (1000 + row * out[3] // 16)
    return x[1] * math.prod(plane) + row + x[0] * (1000 + row * (out[2] if len(out) == 4 else 1) // 16)


def conv_weights(kernel: Codes, quant: Quant, group: int) -> SumWeights:
    """Return the weights (M, C / group, kernel ...) of a convolution by groups.

    quant: its zero points, if several, go by output channel.
    """
    shape = (group, kernel.shape[0] // group, math.prod(kernel.shape[1:]))
    depthwise = shape[1] == kernel.shape[1] == 1
    zero = quant.aligned(kernel.shape).zero_point
    if zero.size > 1:  # of each output channel
        zero = zero.reshape(*shape[:2], 1)
    return SumWeights(kernel.reshape(shape), zero, _pixels_first(kernel), depthwise)


def _pixels_first(kernel: Codes) -> Int64:
    """Return the positions of K, which has channels outermost, in the order (kernel row, kernel column, channel)."""
    return np.arange(math.prod(kernel.shape[1:])).reshape(kernel.shape[1], -1).T.reshape(-1)


def conv_terms(attributes: ConvAttributes, x: Sizes, w: Sizes, index: Index) -> Iterator[tuple[Index | None, Index]]:
    """Yield the products of one output element: the index in x, None in the padding, and that in w."""
    image, channel, *place = index
    taps = list(taps_at(attributes, w[2:], x[2:], tuple(place)))
    first = channel // (w[0] // attributes.group) * w[1]
    for inner in range(w[1]):
        for spot, at in zip(taps, np.ndindex(*w[2:]), strict=True):
            yield (None if spot is None else (image, first + inner, *spot)), (channel, inner, *at)


def conv_origin(attributes: ConvAttributes, index: Index, x: Array, w: Array, bias: Array | None = None) -> Any:
    """Return the products and the bias that an output element adds up, as `Operator.origin` does."""
    terms = conv_terms(attributes, x.shape, w.shape, index)
    added = [] if bias is None else [(bias[index[1]], 0)]
    return np.reshape([(0 if spot is None else x[spot], w[at]) for spot, at in terms] + added, (-1, 2))


def planar(
    attributes: ConvAttributes, x: Array, kernel: Sizes, out: Array, fill: int
) -> Iterator[tuple[Array, Window, Array]]:
    """Yield the convolutions along two axes that make up one: (image (N, C, H, W), window, its part of out).

    One along three axes is one for each slice of the output. The slices of the image that the kernel meets are channels
    of it, so that the weights are the same matrix, and sums add up in the same order.

        kernel: the spatial sizes of the weights.
        out: the output, which is to be filled; the parts are views of it.
        fill: the value or code with which x is padded.
    """
    if x.ndim < 5:
        yield as_planes(x), window_for(attributes, kernel, x.shape[2:]), as_planes(out)
        return
    (stride, dilation, before, after), *plane = axes_for(attributes, kernel, x.shape[2:])
    (down, down_dilation, top, bottom), (across, across_dilation, left, right) = plane
    strides, dilations = (down, across), (down_dilation, across_dilation)
    window = Window((kernel[1], kernel[2]), strides, dilations, (top, left, bottom, right))
    padded = np.pad(x, ((0, 0), (0, 0), (before, max(after, 0)), (0, 0), (0, 0)), constant_values=fill)
    for at in range(out.shape[2]):
        met = padded[:, :, at * stride : at * stride + dilation * (kernel[0] - 1) + 1 : dilation]
        yield met.reshape(x.shape[0], x.shape[1] * kernel[0], *x.shape[3:]), window, out[:, :, at]


@dataclass(frozen=True, eq=False)
class Convolution:
    """The products of a convolution. Positions count images, then the places of the output, row-major."""

    attributes: ConvAttributes
    #: Codes, shape (N, C, W), (N, C, H, W) or (N, C, D, H, W).
    image: Codes
    #: Codes, shape (M, C / group, kernel ...).
    kernel: Codes
    x: Quant
    w: Quant

    @property
    def axes(self) -> list[Axis]:
        """Stride, dilation, padding before and padding after of each axis."""
        return axes_for(self.attributes, self.kernel.shape[2:], self.image.shape[2:])

    @property
    def out(self) -> Sizes:
        """The shape of the output."""
        return concrete(conv_shape(self.attributes, self.image.shape, self.kernel.shape))

    @property
    def shape(self) -> Sizes:
        images, channels, *places = self.out
        return (images * math.prod(places), channels)

    @lazy
    def weights(self) -> SumWeights:
        return conv_weights(self.kernel, self.w, self.attributes.group)

    def columns(self) -> Codes:
        group, out, kernel = self.attributes.group, self.out, self.kernel.shape[2:]
        places = window_taps(self.image, self.axes, kernel, out[2:], int(self.x.zero_point))
        taps = np.stack(list(places), axis=2)
        images, channels, count = taps.shape[:3]
        grouped = taps.reshape(images, group, channels // group * count, math.prod(out[2:]))
        return np.moveaxis(grouped, 0, 2).reshape(group, grouped.shape[2], self.shape[0])

    def terms(self, position: int, channel: int) -> Iterator[tuple[Index | None, Index]]:
        image, *place = (int(i) for i in np.unravel_index(position, (self.out[0], *self.out[2:])))
        return conv_terms(self.attributes, self.image.shape, self.kernel.shape, (image, channel, *place))
