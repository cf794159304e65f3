"""TopK returns the k largest or smallest elements along an axis, and where they lie; of equals the first.

Source: ONNX Runtime 1.32, core/providers/cpu/math/top_k.cc: ties go to the lower index.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.axes import axis_of, int_list, row_along
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Operand, Step
from qdqnp.quant import Array

#: The opset since which k is an input.
INPUTS = 10


@dataclass(frozen=True)
class TopKAttributes:
    axis: int = -1
    largest: int = 1
    #: 0: ONNX Runtime gives them in an order of its own.
    sorted: int = 1
    #: How many elements are kept: an attribute before opset 10, an input since.
    k: int | None = None
    _k: int = -1


class TopK(Operator):
    op = "TopK"
    only = "sorted"
    arity = (1, 2)
    Attributes = TopKAttributes

    def attributes(self, check: NodeCheck) -> Any:
        given: TopKAttributes = super().attributes(check)
        if given.sorted != 1:
            check.refuse("attribute 'sorted'", "1", given.sorted, "The order is not defined otherwise.")
        if check.opset < INPUTS:
            if given.k is None or given.k < 0 or len(check.inputs) > 1:
                check.refuse(
                    "attribute 'k'", f"how many elements are kept, and no input 1 before opset {INPUTS}", given.k
                )
            return replace(given, _k=given.k)
        k = int_list(check, 1, "k")
        if len(k) != 1:
            check.refuse("input 1 (k)", "one int64", list(k))
        return replace(given, _k=k[0])

    def infer(self, check: NodeCheck, attributes: TopKAttributes) -> Inferred:
        x = check.value(0)
        values, indices = self.shapes(attributes, x.shape)
        check.named_outputs()
        return ((x.dtype, values), (np.dtype(np.int64), indices))

    def step(self, check: NodeCheck, attributes: Any) -> Step:
        return self.make_step(
            check, attributes, (Operand(check.node.inputs[0]),), [Operand(name) for name in check.named_outputs()]
        )

    def shapes(self, attributes: TopKAttributes, x: Shape) -> tuple[Shape, ...]:
        if not x:
            raise ShapeError("an axis to choose along", "a scalar")
        axis = axis_of(attributes.axis, len(x))
        size = x[axis]
        if attributes._k < 0 or (isinstance(size, int) and attributes._k > size):
            raise ShapeError(f"k in [0, {size}]", str(attributes._k))
        shape = (*x[:axis], attributes._k, *x[axis + 1 :])
        return shape, shape

    def work(self, attributes: TopKAttributes, inputs: Any, output: Any) -> int:
        return 2 * int(np.prod(inputs[0], dtype=np.int64))  # the order of all

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        attributes: TopKAttributes = binding.step.attributes
        axis = axis_of(attributes.axis, x.ndim)
        if x.dtype.kind == "f" and np.isnan(x).any():
            problem = Problem(f"step {binding.step.label}", "numbers that can be ordered", "a NaN")
            raise ProfileError("what ONNX Runtime chooses is not known", [problem])
        turned = np.flip(x, axis) if attributes.largest == 1 else x  # of equals the first is then the last
        order = np.argsort(turned, axis, kind="stable")
        if attributes.largest == 1:
            order = x.shape[axis] - 1 - np.flip(order, axis)
        kept = np.take(order, np.arange(attributes._k), axis)
        return (np.take_along_axis(x, kept, axis), kept)[: len(binding.step.outputs)]

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        axis = axis_of(step.attributes.axis, x.ndim)
        return row_along(x, axis, index)
