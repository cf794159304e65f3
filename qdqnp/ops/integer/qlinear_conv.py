"""QLinearConv: y = requantize(sum of (x - z_x)(w - z_w), + bias). Groups, strides, dilations, pads, 1-D to 3-D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes
from qdqnp.numerics.questions import SumWeights
from qdqnp.ops.geometry.conv import (
    ConvAttributes,
    Convolution,
    check_conv,
    conv_macs,
    conv_shape,
    conv_weights,
    conv_work,
    fit_bias,
)
from qdqnp.ops.integer.asking import EVERYWHERE, PlacedProducts, SumOperator
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Inferred
from qdqnp.program import Operand, Step
from qdqnp.quant import ACTIVATIONS, EIGHT_BIT, Array, Codes, Quant


class QLinearConv(SumOperator):
    op = "QLinearConv"
    arity = (8, 9)
    Attributes = ConvAttributes
    ignored = frozenset({"channels_last"})
    rule = "conv"
    sums_over = Convolution

    def attributes(self, check: NodeCheck) -> Any:
        check.channels_first()
        return super().attributes(check)

    def infer(self, check: NodeCheck, attributes: ConvAttributes) -> Inferred:
        x_dtype = check.dtype_in(0, ACTIVATIONS, "x")
        # ONNX Runtime has no kernel for int8 inputs with uint8 weights, TFLite none for 16-bit ones.
        check.dtype_in(3, EIGHT_BIT if x_dtype == np.uint8 else (np.int8,), "w")
        check_conv(check, attributes, 0, 3)
        shape = conv_shape(attributes, check.value(0).shape, check.value(3).shape)
        x, w, y = self._quants(check)
        if not (x.per_tensor and y.per_tensor):
            check.refuse("scales of x and y", "one value each", f"{x.scale.size} and {y.scale.size}")
        if not w.per_tensor and isinstance(shape[1], int) and w.scale.size != shape[1]:
            check.refuse("input 4 (w_scale)", f"1 or {shape[1]} values", w.scale.size)
        if check.given(8):
            check.dtype_in(8, (np.int32,), "bias")
            fit_bias(check.value(8).shape, shape)
        return ((x_dtype, shape),)

    def _quants(self, check: NodeCheck) -> tuple[Quant, Quant, Quant]:
        x_dtype, w_dtype = check.value(0).dtype, check.value(3).dtype
        return check.quant(1, 2, x_dtype), check.quant(4, 5, w_dtype, axis=0), check.quant(6, 7, x_dtype)

    def step(self, check: NodeCheck, attributes: ConvAttributes) -> Step:
        names = check.node.inputs
        x, w, y = self._quants(check)
        bias = Operand(names[8]) if check.given(8) else None
        operands = (Operand(names[0], x), Operand(names[3], w), bias)
        return self.make_step(check, attributes, operands, (Operand(check.node.outputs[0], y),))

    def arguments(self, step: Step, parameters: Callable[[Operand], Sequence[str]]) -> list[str]:
        """Return the inputs; the bias, without scale and zero point, is the last."""
        bias = step.inputs[2]
        without = replace(step, inputs=step.inputs[:2])
        return [*super().arguments(without, parameters), *([bias.name] if bias is not None else [])]

    def shapes(self, attributes: ConvAttributes, x: Shape, w: Shape, bias: Shape | None = None) -> tuple[Shape, ...]:
        shape = conv_shape(attributes, x, w)
        if bias is not None:
            fit_bias(bias, shape)
        return (shape,)

    def macs(self, attributes: ConvAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        return conv_macs(inputs[1], output)

    def work(self, attributes: ConvAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        return conv_work(attributes, inputs[0], inputs[1], output)

    def weights(self, step: Step, w: Codes) -> SumWeights:
        return conv_weights(w, step.quant(1), step.attributes.group)

    def products(self, step: Step, x: Codes, w: Codes, bias: Array | None = None) -> Sequence[PlacedProducts]:
        found = Convolution(step.attributes, x, w, step.quant(0), step.quant(1))
        return [PlacedProducts(found, EVERYWHERE, self.channel_axis)]
