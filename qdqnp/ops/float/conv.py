"""Conv in float32, summed in the order of the profile's float_sum rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.strategy import FLOAT32 as FLOAT32_PRODUCT
from qdqnp.kernels.strategy import FLOAT64, Proof
from qdqnp.kernels.sums import Weights, convolve
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.float.apart import sums_apart
from qdqnp.ops.geometry.conv import (
    ConvAttributes,
    check_conv,
    conv_macs,
    conv_origin,
    conv_shape,
    conv_work,
    fit_bias,
    planar,
)
from qdqnp.ops.geometry.windows import as_planes, window_for
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array


class Conv(Operator):
    op = "Conv"
    reads = ("float_sum",)
    arity = (2, 3)
    Attributes = ConvAttributes
    weight_operand = 1
    bias_operand = 2

    def infer(self, check: NodeCheck, attributes: ConvAttributes) -> Inferred:
        for index in range(2 + check.given(2)):
            check.dtype_in(index, (np.float32,))
        check_conv(check, attributes, 0, 1)
        shape = conv_shape(attributes, check.value(0).shape, check.value(1).shape)
        if check.given(2):
            fit_bias(check.value(2).shape, shape)
        return ((FLOAT32, shape),)

    def shapes(self, attributes: ConvAttributes, x: Shape, w: Shape, bias: Shape | None = None) -> tuple[Shape, ...]:
        shape = conv_shape(attributes, x, w)
        if bias is not None:
            fit_bias(bias, shape)
        return (shape,)

    def macs(self, attributes: ConvAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        return conv_macs(inputs[1], output)

    def work(self, attributes: ConvAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        return conv_work(attributes, inputs[0], inputs[1], output)

    def compute(self, binding: Binding, x: Array, w: Array, bias: Array | None = None) -> tuple[Array, ...]:
        return self.compute_in(Scratch(), binding, x, w, bias)

    def compute_in(
        self, scratch: Scratch, binding: Binding, x: Array, w: Array, bias: Array | None = None
    ) -> tuple[Array, ...]:
        """Compute in memory that is lent: new memory comes page by page, which takes as long as a product."""
        attributes, rule = binding.step.attributes, binding.profile.float_sum
        out = np.empty(concrete(conv_shape(attributes, x.shape, w.shape)), np.float32)
        grouped = w.reshape(attributes.group, w.shape[0] // attributes.group, math.prod(w.shape[1:]))
        weights = Weights.of(grouped, _NO_PROOF)
        offset: Any = 0 if bias is None else bias[:, None]
        positions = math.prod(out.shape[2:])
        if x.ndim < 5 and _whole_rows(attributes, x.shape, w.shape):
            for image, result in zip(as_planes(x), out, strict=True):
                sums = rule.conv(weights.array, _rows_as_columns(image, math.prod(w.shape[2:-1])), positions, True)
                result[...] = (sums.reshape(w.shape[0], positions) + offset).reshape(result.shape)
            return (out,)

        def product(left: Array, right: Array, proof: Proof, tile: Array, scratch: Scratch) -> None:
            np.copyto(tile, rule.conv(left, right, positions, False))

        def finish(tile: Array, scratch: Scratch) -> Array:
            tile += offset
            return tile

        for image, window, part in planar(attributes, x, w.shape[2:], out, 0):
            convolve(image, 0, weights, window, finish, part, scratch, product)
        return (out,)

    def origin(self, step: Step, output: int, index: Index, x: Array, w: Array, bias: Array | None = None) -> Any:
        return conv_origin(step.attributes, index, x, w, bias)

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(binding.constant(1))

    def error(self, binding: Binding, x: Array, w: Array, bias: Array | None = None) -> Array:
        """Bound the error of sums of K products and a bias: K + 1 roundings each way, on the sum of the magnitudes."""
        attributes = binding.step.attributes
        magnitude = np.zeros(concrete(conv_shape(attributes, x.shape, w.shape)), np.float64)
        shape = (attributes.group, w.shape[0] // attributes.group, math.prod(w.shape[1:]))
        grouped = np.abs(w).astype(np.float64).reshape(shape)
        added: Any = 0 if bias is None else np.abs(bias[:, None])
        for image, window, part in planar(attributes, np.abs(x).astype(np.float64), w.shape[2:], magnitude, 0):
            convolve(image, 0, Weights.of(grouped, _WIDE), window, lambda tile, _: np.add(tile, added), part, Scratch())
        return sums_apart(magnitude, grouped.shape[2] + 1)


# Real products are rounded, whatever their order, so exactness cannot be proved and the proof is empty.
_NO_PROOF = Proof(FLOAT32_PRODUCT, 0, 0, (), 0)
_WIDE = Proof(FLOAT64, 0, 0, (), 0)


def _whole_rows(attributes: ConvAttributes, x: Sizes, w: Sizes) -> bool:
    """Tell whether MLAS multiplies by rows of the image as they lie.

    It does so with one input channel per group, a kernel of the image's width but not of one element, nothing padded,
    no strides or dilations. For images of one column it makes a difference only with one filter per group.
    """
    window = window_for(attributes, w[2:], x[2:])
    plain = not any(window.pads) and window.strides == window.dilations == (1, 1)
    fits = w[1] == 1 and window.kernel[1] == x[-1] and window.kernel != (1, 1)
    return plain and fits and (x[-1] > 1 or w[0] == attributes.group)


def _rows_as_columns(image: Array, height: int) -> Array:
    """Return im2col of (C, H, W) for a kernel of the image's width: (C, height * W, positions)."""
    windows = np.lib.stride_tricks.sliding_window_view(image, height, axis=1)
    return np.moveaxis(windows, (3, 2, 1), (1, 2, 3)).reshape(image.shape[0], -1, windows.shape[1])
