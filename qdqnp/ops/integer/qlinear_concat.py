"""com.microsoft.QLinearConcat: each input copied, or rescaled to the output's scale and zero point, then joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape
from qdqnp.numerics.rules.lookup import IdentityFunction, RealFunction
from qdqnp.ops.integer.asking import Part, Where
from qdqnp.ops.integer.unary import SinglesOperator
from qdqnp.ops.movement.concat import MANY, ConcatAttributes, concat_shape
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred
from qdqnp.program import Operand, Step
from qdqnp.quant import ACTIVATIONS, Codes, Quant


class QLinearConcat(SinglesOperator):
    """Joins inputs of different scales. Its inputs: y_scale, y_zero_point, then (tensor, scale, zero point) of each."""

    op = "QLinearConcat"
    domain = MICROSOFT
    arity = (5, MANY)
    Attributes = ConcatAttributes
    rule = "concat"

    def infer(self, check: NodeCheck, attributes: ConcatAttributes) -> Inferred:
        if (len(check.inputs) - 2) % 3:
            check.refuse("inputs", "2 + 3 per joined tensor", len(check.inputs))
        dtype = check.dtype_in(2, ACTIVATIONS)
        for index in self._tensors(check):
            check.dtype_in(index, (dtype,))
        if not all(quant.per_tensor for quant in self._quants(check)):
            check.refuse("scales", "one value each", "several")
        return ((dtype, concat_shape(attributes.axis, [check.value(i).shape for i in self._tensors(check)])),)

    def _tensors(self, check: NodeCheck) -> range:
        return range(2, len(check.inputs), 3)

    def _quants(self, check: NodeCheck) -> list[Quant]:
        """Return the output's quantization, then each input's."""
        dtype = check.value(2).dtype
        return [check.quant(0, 1, dtype), *(check.quant(i + 1, i + 2, dtype) for i in self._tensors(check))]

    def step(self, check: NodeCheck, attributes: ConcatAttributes) -> Step:
        y, *quants = self._quants(check)
        names = [check.node.inputs[index] for index in self._tensors(check)]
        operands = [Operand(name, quant) for name, quant in zip(names, quants, strict=True)]
        return self.make_step(check, attributes, operands, (Operand(check.node.outputs[0], y),))

    def arguments(self, step: Step, parameters: Callable[[Operand], Sequence[str]]) -> list[str]:
        """Return the inputs; the output's scale and zero point come first."""
        *each, scale, zero = super().arguments(step, parameters)
        return [scale, zero, *each]

    def shapes(self, attributes: ConcatAttributes, *inputs: Shape) -> tuple[Shape, ...]:
        return (concat_shape(attributes.axis, inputs),)

    def function(self, attributes: ConcatAttributes) -> RealFunction:
        return IdentityFunction()

    def places(self, step: Step, *inputs: Codes) -> Sequence[Where]:
        axis = step.attributes.axis % inputs[0].ndim
        ends = list(accumulate(array.shape[axis] for array in inputs))
        before = (slice(None),) * axis
        return [(*before, slice(end - array.shape[axis], end)) for array, end in zip(inputs, ends, strict=True)]

    def parameters(self, binding: Binding, parts: Sequence[Part]) -> Mapping[str, Any]:
        """Return the numbers that the rule uses, by name, with one value for each input."""
        used = [super(QLinearConcat, self).parameters(binding, [part]) for part in parts]
        return {name: np.array([values[name] for values in used]) for name in used[0]}
