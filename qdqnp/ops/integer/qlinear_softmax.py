"""com.microsoft.QLinearSoftmax: the profile's softmax rule on rows of codes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics.questions import Rows
from qdqnp.ops.integer.asking import EVERYWHERE, Part
from qdqnp.ops.integer.unary import FromOneInput, input_and_output
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred
from qdqnp.program import Step
from qdqnp.quant import EIGHT_BIT, Codes


@dataclass(frozen=True)
class QLinearSoftmaxAttributes:
    axis: int = -1
    #: The opset of the Softmax that this node stands for; before 13 all axes from `axis` on form one row.
    opset: int = 13


class QLinearSoftmax(FromOneInput):
    op = "QLinearSoftmax"
    bytes_per_element = 128  # the fixed-point softmax has several int64 arrays of a row's size
    Attributes = QLinearSoftmaxAttributes
    asks = Rows
    rule = "softmax"

    def infer(self, check: NodeCheck, attributes: QLinearSoftmaxAttributes) -> Inferred:
        dtype = check.dtype_in(0, EIGHT_BIT, "x")
        rank = len(check.value(0).shape)
        if not -rank <= attributes.axis < rank:
            check.refuse("attribute 'axis'", f"an axis of rank {rank}", attributes.axis)
        input_and_output(check)
        return ((dtype, check.value(0).shape),)

    def check_scales(self, binding: Binding) -> None:
        binding.profile.softmax.bind(binding.step.quant(0), binding.step.y, 1)

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def questions(self, step: Step, x: Codes) -> Sequence[Part]:
        if x.size == 0:
            return []
        axis, last = step.attributes.axis % x.ndim, None
        width = math.prod(x.shape[axis:])
        if step.attributes.opset >= 13:
            width, last = x.shape[axis], axis
            x = np.moveaxis(x, axis, -1)
        return [Part(Rows(step.label, step.quant(0), step.y, x.reshape(-1, width)), EVERYWHERE, last)]
