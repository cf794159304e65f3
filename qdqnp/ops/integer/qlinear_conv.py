"""QLinearConv: y = requantize(sum of (x - z_x)(w - z_w), + bias). Groups, strides, dilations, pads, 1-D and 2-D."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.kernels.pairs import SaturatingPairs
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.sums import Finish, convolve
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, ShapeError, Site
from qdqnp.ops.geometry.windows import (
    WindowAttributes,
    as_planes,
    check_window,
    padded_plane,
    spatial_output,
    window_for,
)
from qdqnp.ops.integer.linear import Linear, centered_weights, linear_bound, make_layer
from qdqnp.program import Operand, Step
from qdqnp.quant import EIGHT_BIT, Array, Codes, Int64


@dataclass(frozen=True)
class ConvAttributes(WindowAttributes):
    group: int = 1


@lru_cache(maxsize=4096)  # the same few shapes again in every run
def conv_shapes(attributes: ConvAttributes, x: Shape, w: Shape) -> Shape:
    """Output shape of a convolution; raises ShapeError where x, w and group do not fit."""
    if len(x) not in (3, 4) or len(w) != len(x):
        raise ShapeError("input and weights of the same rank 3 or 4", f"{list(x)} and {list(w)}")
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


def check_conv(site: Site, attributes: ConvAttributes, x: int, w: int) -> None:
    """Checks that Conv and QLinearConv share; x and w are input indices."""
    rank = site.rank_in(x, (3, 4), "x")
    site.rank_in(w, (rank,), "w")
    kernel = [size for size in site.value(w).shape[2:] if isinstance(size, int)]
    if len(kernel) != rank - 2:
        site.refuse(f"input {w} (w)", "a known kernel size", site.value(w).shape)
    check_window(site, attributes, rank - 2, kernel)
    if attributes.group < 1:
        site.refuse("attribute 'group'", "at least 1", attributes.group)


def conv_work(attributes: ConvAttributes, x: Sizes, w: Sizes, out: Sizes) -> int:
    """Elements of one padded image and one row of im2col; all other rows, which only take time, as sixteenths, and
    each image as the thousand elements that could be handled while it is set up."""
    plane = padded_plane(attributes, w[2:], x[2:], out[2:])
    row = x[1] * math.prod(w[2:]) * max(plane[-1], out[-1])
    return x[1] * math.prod(plane) + row + x[0] * (1000 + row * (out[2] if len(out) == 4 else 1) // 16)


class QLinearConv(Operator):
    op = "QLinearConv"
    arity = (8, 9)
    Attributes = ConvAttributes
    ignored = frozenset({"channels_last"})

    def attributes(self, site: Site) -> Any:
        if site.node.attributes.get("channels_last", 0) != 0:
            site.refuse("attribute 'channels_last'", "0 (NCHW)", 1, "Save the model without layout optimization.")
        return super().attributes(site)

    def infer(self, site: Site, attributes: ConvAttributes) -> Inferred:
        x_dtype = site.dtype_in(0, EIGHT_BIT, "x")
        # ONNX Runtime has no kernel of int8 inputs with uint8 weights.
        site.dtype_in(3, (np.int8,) if x_dtype == np.int8 else EIGHT_BIT, "w")
        check_conv(site, attributes, 0, 3)
        shape = conv_shapes(attributes, site.value(0).shape, site.value(3).shape)
        channels = shape[1]
        quants = self._quants(site)
        if not (quants[0].per_tensor and quants[2].per_tensor):
            site.refuse("scales of x and y", "one value each", f"{quants[0].scale.size} and {quants[2].scale.size}")
        if not quants[1].per_tensor and quants[1].scale.size != channels:
            site.refuse("input 4 (w_scale)", f"1 or {channels} values", quants[1].scale.size)
        if site.given(8):
            site.dtype_in(8, (np.int32,), "bias")
            if site.value(8).shape != (channels,):
                site.refuse("input 8 (bias)", f"shape [{channels}]", list(site.value(8).shape))
        return ((x_dtype, shape),)

    def _quants(self, site: Site) -> tuple[Any, Any, Any]:
        x_dtype = site.value(0).dtype
        return (
            site.quant(1, 2, x_dtype),
            site.quant(4, 5, site.value(3).dtype, axis=0),
            site.quant(6, 7, x_dtype),
        )

    def step(self, site: Site, attributes: ConvAttributes) -> Step:
        names = site.node.inputs
        x, w, y = self._quants(site)
        bias = Operand(names[8]) if site.given(8) else None
        return self.make_step(
            site,
            attributes,
            (Operand(names[0], x), Operand(names[3], w), bias),
            (Operand(site.node.outputs[0], y),),
        )

    def shapes(self, attributes: ConvAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None and inputs[1] is not None
        return (conv_shapes(attributes, inputs[0], inputs[1]),)

    def macs(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        assert inputs[1] is not None
        return math.prod(concrete(outputs[0])) * math.prod(concrete(inputs[1][1:]))

    def work(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        assert inputs[0] is not None and inputs[1] is not None
        return conv_work(step.attributes, concrete(inputs[0]), concrete(inputs[1]), concrete(outputs[0]))

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        x_operand, w_operand, b_operand = step.inputs
        assert x_operand is not None and w_operand is not None
        x, w, y = x_operand.quant, w_operand.quant, step.outputs[0].quant
        assert x is not None and w is not None and y is not None
        group = step.attributes.group

        def layer_of(weights: Codes, bias: Codes | None) -> Linear:
            centered = centered_weights(weights, w)
            rows = centered.reshape(centered.shape[0], -1)
            requantizer = profile.conv.bind(SumContext(x, w, y, bias, weights=rows, label=step.label))
            shape = (group, rows.shape[0] // group, rows.shape[1])
            depthwise = shape[1] == weights.shape[1] == 1
            pairs = None
            if profile.accumulate.saturates(x.dtype, w.dtype, depthwise):
                pairs = SaturatingPairs.of(weights.astype(np.int64).reshape(shape), _pixels_first(weights.shape))
            return make_layer(rows.reshape(shape), x, requantizer, 0, strategy, pairs)

        fixed: Linear | None = None
        if w_operand.name in consts and (b_operand is None or b_operand.name in consts):
            bias = consts[b_operand.name] if b_operand else None
            fixed = layer_of(consts[w_operand.name], bias)

        def given(arrays: Sequence[Array | None]) -> Linear:
            weights = arrays[1]
            assert weights is not None
            return fixed or layer_of(weights, arrays[2])

        def run(arrays: Sequence[Array | None], dtype: Any, finish: Finish | None, scratch: Scratch) -> Array:
            """Sums through `finish` (the layer's own by default), in the output's shape."""
            codes, weights, _ = arrays
            assert codes is not None and weights is not None
            layer = given(arrays)
            out = np.empty(concrete(conv_shapes(step.attributes, codes.shape, weights.shape)), dtype)
            window = window_for(step.attributes, weights.shape[2:], codes.shape[2:])
            pad_code = int(x.zero_point)
            chosen = finish or layer.finish
            convolve(as_planes(codes), pad_code, layer.weights, window, chosen, as_planes(out), scratch)
            return out

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            return (run(arrays, y.dtype, None, scratch),)

        def sums(arrays: Sequence[Array | None]) -> Int64:
            correction = given(arrays).correction

            def keep(tile: Array, scratch: Scratch) -> Array:
                return np.add(tile.astype(np.int64), correction[:, None])

            return run(arrays, np.int64, keep, Scratch())

        def accumulators(arrays: Sequence[Array | None]) -> Int64:
            total, bias = sums(arrays), arrays[2]
            return total if bias is None else total + bias.reshape(1, -1, *(1,) * (total.ndim - 2))

        return linear_bound(evaluate, fixed, given, sums, accumulators, 1)


def _pixels_first(w: tuple[int, ...]) -> Int64:
    """Positions of K, which has channels outermost, in the order (kernel row, kernel column, channel)."""
    return np.arange(math.prod(w[1:])).reshape(w[1], -1).T.reshape(-1)
