"""ConvTranspose in float32: a matrix product for each image and group, whose columns are added up where they overlap.

Source: ONNX Runtime 1.32, core/providers/cpu/nn/conv_transpose.cc and util/math_cpu.cc (Col2im).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from qdqnp.graph import Dim, Shape, Sizes
from qdqnp.numerics.questions.sums import Index
from qdqnp.numerics.rules.float_sum import GemmCall
from qdqnp.ops.float.apart import sums_apart
from qdqnp.ops.geometry.conv import fit_bias
from qdqnp.ops.geometry.windows import LARGEST, WindowAttributes, check_window
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class ConvTransposeAttributes:
    """The attributes of ConvTranspose; () stands for the ONNX default.

    They are those of a window over the output, so that nothing which asks for windows over the input may take them.
    """

    auto_pad: str = "NOTSET"
    kernel_shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()
    group: int = 1
    #: What is added to the end of each axis; () for nothing.
    output_padding: tuple[int, ...] = ()
    #: The sizes of the output, with or without image and channel, from which the padding follows; () for none.
    output_shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Axis:
    """One spatial axis: where the columns of the product go."""

    stride: int
    dilation: int
    #: How many elements are cut off at the front.
    head: int
    #: The size of the output.
    out: int


class ConvTranspose(Operator):
    op = "ConvTranspose"
    reads = ("float_sum",)
    arity = (2, 3)
    Attributes = ConvTransposeAttributes
    weight_operand = 1
    bias_operand = 2

    def infer(self, check: NodeCheck, attributes: ConvTransposeAttributes) -> Inferred:
        for index in range(2 + check.given(2)):
            check.dtype_in(index, (np.float32,))
        rank = check.rank_in(0, (3, 4, 5), "x") - 2
        check.rank_in(1, (rank + 2,), "w")
        w = check.value(1).shape
        kernel = [size for size in w[2:] if isinstance(size, int)]
        if len(kernel) != rank:
            check.refuse("input 1 (w)", "a known kernel size", w)
        window = (
            attributes.auto_pad,
            attributes.kernel_shape,
            attributes.strides,
            attributes.dilations,
            attributes.pads,
        )
        check_window(check, WindowAttributes(*window), rank, kernel)
        if attributes.group < 1:
            check.refuse("attribute 'group'", "at least 1", attributes.group)
        for name, counts, least in (("output_padding", (rank,), 0), ("output_shape", (rank, rank + 2), 1)):
            value = getattr(attributes, name)
            if value and (len(value) not in counts or not all(least <= item <= LARGEST for item in value)):
                check.refuse(f"attribute '{name}'", f"{counts[0]} integers in [{least}, {LARGEST}]", list(value))
        (shape,) = self.shapes(attributes, check.value(0).shape, w)
        if check.given(2):
            fit_bias(check.value(2).shape, shape)
        return ((FLOAT32, shape),)

    def shapes(
        self, attributes: ConvTransposeAttributes, x: Shape, w: Shape, bias: Shape | None = None
    ) -> tuple[Shape, ...]:
        if len(x) != len(w):
            raise ShapeError("input and weights of the same rank", f"{list(x)} and {list(w)}")
        channels = x[1]
        if isinstance(channels, int) and isinstance(w[0], int) and (channels != w[0] or w[0] % attributes.group):
            raise ShapeError(f"{w[0]} input channels, in {attributes.group} groups", str(channels))
        out_channels = w[1] * attributes.group if isinstance(w[1], int) else None
        sizes: list[Dim] = []
        for at, size in enumerate(x[2:]):
            kernel = w[at + 2]
            known = isinstance(size, int) and isinstance(kernel, int)
            sizes.append(_axis(attributes, at, size, kernel, len(x) - 2).out if known else None)  # type: ignore[arg-type]
        shape = (x[0], out_channels, *sizes)
        if bias is not None:
            fit_bias(bias, shape)
        return (shape,)

    def macs(self, attributes: ConvTransposeAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        return math.prod(inputs[0]) * math.prod(inputs[1][1:])

    def work(self, attributes: ConvTransposeAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        """Count the columns of one image and group, its output with what is cut off, and a thousand for each image."""
        x, w = inputs[:2]
        axes = axes_of(attributes, x, w)
        canvas = w[1] * math.prod(_room(axes, x[2:], w[2:]))
        taps = x[0] * attributes.group * (math.prod(w[2:]) * 40 + 1000)
        return w[1] * math.prod(w[2:]) * math.prod(x[2:]) + canvas + taps

    def compute(self, binding: Binding, x: Array, w: Array, bias: Array | None = None) -> tuple[Array, ...]:
        attributes, rule = binding.step.attributes, binding.profile.float_sum
        channels, filters = w.shape[0] // attributes.group, math.prod(w.shape[1:])
        # constant weights are laid out beforehand, but for a single row or column
        as_they_are = not binding.constant(1) or filters == 1 or channels == 1
        call = GemmCall(False, transposed=(as_they_are, False))

        def gemm(left: Array, right: Array) -> Array:
            return rule.gemm(left, right, None, call)

        out = _overlapping(attributes, x, w, gemm)
        if bias is not None:
            out += bias.reshape(-1, *(1,) * (x.ndim - 2))
        return (out,)

    def origin(self, step: Step, output: int, index: Index, x: Array, w: Array, bias: Array | None = None) -> Any:
        terms = [(x[at], w[spot]) for at, spot in _terms(step.attributes, x.shape, w.shape, index)]
        added = [] if bias is None else [(bias[index[1]], 0)]
        return np.reshape(terms + added, (-1, 2))

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(False)

    def error(self, binding: Binding, x: Array, w: Array, bias: Array | None = None) -> Array:
        attributes = binding.step.attributes
        magnitude = _overlapping(attributes, np.abs(x).astype(np.float64), np.abs(w).astype(np.float64), np.matmul)
        if bias is not None:
            magnitude += np.abs(bias).reshape(-1, *(1,) * (x.ndim - 2))
        return sums_apart(magnitude, w.shape[0] // attributes.group * math.prod(w.shape[2:]) + 1)


def axes_of(attributes: ConvTransposeAttributes, x: Sizes, w: Sizes) -> list[Axis]:
    """Return the spatial axes for concrete shapes."""
    rank = len(x) - 2
    return [_axis(attributes, at, x[at + 2], w[at + 2], rank) for at in range(rank)]


def _axis(attributes: ConvTransposeAttributes, at: int, size: int, kernel: int, rank: int) -> Axis:
    """Return one axis for sizes of input and kernel. Raises ShapeError where nothing is left or columns do not fit."""
    stride = attributes.strides[at] if attributes.strides else 1
    dilation = attributes.dilations[at] if attributes.dilations else 1
    more = attributes.output_padding[at] if attributes.output_padding else 0
    reach = dilation * (kernel - 1) + 1
    full = (size - 1) * stride + more + reach
    wanted = attributes.output_shape[-rank:][at] if attributes.output_shape else None
    if wanted is None and attributes.auto_pad.startswith("SAME"):
        wanted = size * stride
    if wanted is None:
        head, tail = (attributes.pads[at], attributes.pads[at + rank]) if attributes.pads else (0, 0)
    else:
        total = max(0, full - wanted)
        head = total // 2 if attributes.auto_pad == "SAME_UPPER" else total - total // 2
        tail = total - head
    out = attributes.output_shape[-rank:][at] if attributes.output_shape else full - head - tail
    if size < 1 or out < 1:
        raise ShapeError(f"something left of axis {at + 2}", f"{size} elements, {out} in the output")
    # with two spatial axes ONNX Runtime counts the columns from the output's size, and would read others otherwise
    if rank == 2 and (out + head + tail - reach) // stride + 1 != size:
        raise ShapeError(f"an output whose axis {at + 2} is made of {size} columns", f"{out} elements")
    return Axis(stride, dilation, head, out)


def _room(axes: Sequence[Axis], spatial: Sizes, kernel: Sizes) -> Sizes:
    """Return the sizes of all that columns reach, and of the output in it."""
    return tuple(
        max((size - 1) * axis.stride + axis.dilation * (taps - 1) + 1, axis.head + axis.out)
        for axis, size, taps in zip(axes, spatial, kernel, strict=True)
    )


def _overlapping(attributes: ConvTransposeAttributes, x: Array, w: Array, gemm: Any) -> Array:
    """Return the output without bias: from 0 on, the columns of each element of the kernel in row-major order."""
    axes, groups = axes_of(attributes, x.shape, w.shape), attributes.group
    spatial, kernel, filters = x.shape[2:], w.shape[2:], w.shape[1]
    out = np.empty((x.shape[0], filters * groups, *(axis.out for axis in axes)), x.dtype)
    weights = w.reshape(groups, w.shape[0] // groups, -1)
    kept = tuple(slice(axis.head, axis.head + axis.out) for axis in axes)
    for image, result in zip(x.reshape(x.shape[0], groups, w.shape[0] // groups, -1), out, strict=True):
        for group in range(groups):
            columns = gemm(weights[group].T, image[group]).reshape(filters, *kernel, *spatial)
            canvas = np.zeros((filters, *_room(axes, spatial, kernel)), x.dtype)
            for tap in product(*map(range, kernel)):
                starts = [at * axis.dilation for at, axis in zip(tap, axes, strict=True)]
                place = tuple(
                    slice(start, start + (size - 1) * axis.stride + 1, axis.stride)
                    for start, size, axis in zip(starts, spatial, axes, strict=True)
                )
                canvas[(slice(None), *place)] += columns[(slice(None), *tap)]
            result[group * filters : (group + 1) * filters] = canvas[(slice(None), *kept)]
    return out


def _terms(attributes: ConvTransposeAttributes, x: Sizes, w: Sizes, index: Index) -> Iterator[tuple[Index, Index]]:
    """Yield the products of one output element: the index in x, and that in w."""
    image, channel, *place = index
    group, filter_ = divmod(channel, w[1])
    channels = w[0] // attributes.group
    axes = axes_of(attributes, x, w)
    for tap in product(*map(range, w[2:])):
        spots = [divmod(p + a.head - t * a.dilation, a.stride) for p, a, t in zip(place, axes, tap, strict=True)]
        if all(rest == 0 and 0 <= at < size for (at, rest), size in zip(spots, x[2:], strict=True)):
            where = tuple(at for at, _ in spots)
            for inner in range(group * channels, (group + 1) * channels):
                yield (image, inner, *where), (inner, filter_, *tap)
