"""ConvInteger: the int32 sums of (x - z_x)(w - z_w) of a convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.numerics.questions.sums import Index
from qdqnp.numerics.rules.accumulate import SumTerms
from qdqnp.numerics.width import wrap
from qdqnp.ops.geometry.broadcast import may_equal
from qdqnp.ops.geometry.conv import (
    ConvAttributes,
    Convolution,
    check_conv,
    conv_macs,
    conv_origin,
    conv_shape,
    conv_work,
)
from qdqnp.ops.integer.matmul_integer import INT32
from qdqnp.ops.integer.zero_points import as_zero, check_one, check_single, check_zero_point, is_one, numbers_of
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.quant import EIGHT_BIT, Array, Quant


class ConvInteger(Operator):
    """Its inputs: x, w, x's zero point (one), w's zero point (one, or one for each output channel)."""

    op = "ConvInteger"
    arity = (2, 4)
    Attributes = ConvAttributes
    reads = ("accumulate",)
    bytes_per_element = 64
    weight_operand = 1

    def infer(self, check: NodeCheck, attributes: ConvAttributes) -> Inferred:
        for index, what in enumerate("xw"):
            check.dtype_in(index, EIGHT_BIT, what)
        check_conv(check, attributes, 0, 1)
        shape = conv_shape(attributes, check.value(0).shape, check.value(1).shape)
        check_zero_point(check, 2, 0)
        check_one(check, 2, "zero point")
        zero = check_zero_point(check, 3, 1)
        return ((INT32, self._fitting(shape, None, zero)),)

    def shapes(self, attributes: ConvAttributes, x: Shape, w: Shape, *zeros: Shape | None) -> tuple[Shape, ...]:
        return (self._fitting(conv_shape(attributes, x, w), *zeros),)

    def _fitting(self, shape: Shape, x_zero: Shape | None = None, w_zero: Shape | None = None) -> Shape:
        """Return the output's shape. Raises ShapeError where the zero points do not fit."""
        check_single("zero point", x_zero)
        if w_zero is not None and not (is_one(w_zero) or may_equal(w_zero, (shape[1],))):
            raise ShapeError(f"a zero point of one value, or {shape[1]}", str(list(w_zero)))
        return shape

    def macs(self, attributes: ConvAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        return conv_macs(inputs[1], output)

    def work(self, attributes: ConvAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        return conv_work(attributes, inputs[0], inputs[1], output)

    def compute(
        self, binding: Binding, x: Array, w: Array, x_zero: Array | None = None, w_zero: Array | None = None
    ) -> tuple[Array, ...]:
        """Add up the products of one image after the other.

        The weights are the left side of ONNX Runtime's product: on a CPU that saturates, those of uint8 weights and an
        int8 image do.
        """
        attributes, accumulate = binding.step.attributes, binding.profile.accumulate
        out = np.empty(concrete(conv_shape(attributes, x.shape, w.shape)), np.int32)
        zero = as_zero(w_zero).astype(w.dtype)
        one = Quant(x.dtype, np.ones((), np.float32), as_zero(x_zero).reshape(()).astype(x.dtype))
        zero = zero if zero.size > 1 else zero.reshape(())
        each = Quant(w.dtype, np.ones(zero.shape, np.float32), zero, 0)
        for at in range(x.shape[0]):
            products = Convolution(attributes, x[at : at + 1], w, one, each)
            columns, weights = products.columns().astype(np.int64), products.weights
            order = np.arange(columns.shape[1])
            terms = SumTerms(columns, columns - int(one.zero_point), weights.raw, weights.centered, order)
            sums = accumulate.total(terms) if accumulate.saturates(w.dtype, x.dtype, False) else terms.exact()
            out[at] = wrap(sums, 32).reshape(out.shape[1:])
        return (out,)

    def origin(
        self,
        step: Any,
        output: int,
        index: Index,
        x: Array,
        w: Array,
        x_zero: Array | None = None,
        w_zero: Array | None = None,
    ) -> Any:
        zero = w_zero if w_zero is None or w_zero.size == 1 else w_zero[index[1]]
        return numbers_of(conv_origin(step.attributes, index, x, w), x_zero, zero)

    def doubt(self, binding: Binding) -> str:
        zero = binding.step.inputs[3] if len(binding.step.inputs) > 3 else None
        several = zero is not None and zero.name in binding.consts and binding.consts[zero.name].size > 1
        return "ONNX Runtime refuses a zero point for each channel" if several else ""
