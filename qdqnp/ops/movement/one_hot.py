"""OneHot makes, of each index, a row that holds one of two values: the second at the index, the first elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.broadcast import may_equal
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Operand, Step
from qdqnp.quant import Array

LARGEST = 2**31 - 1


@dataclass(frozen=True)
class OneHotAttributes:
    axis: int = -1
    #: How long a row is.
    _depth: int = 0


class OneHot(Operator):
    """Indices, a constant depth, and the two values."""

    op = "OneHot"
    arity = (3, 3)
    Attributes = OneHotAttributes

    def attributes(self, check: NodeCheck) -> Any:
        depth = check.late_array(1, "depth", 1)
        if depth.size != 1 or depth.dtype.kind not in "iuf" or not 1 <= depth.reshape(()) <= LARGEST:
            check.refuse("input 1 (depth)", f"one number in [1, {LARGEST}]", depth.reshape(-1)[:20].tolist())
        return replace(super().attributes(check), _depth=int(depth.reshape(())))

    def infer(self, check: NodeCheck, attributes: OneHotAttributes) -> Inferred:
        check.dtype_in(0, (np.int64, np.int32, np.float32), "indices")
        values = check.value(2)
        return ((values.dtype, self.shapes(attributes, check.value(0).shape, None, values.shape)[0]),)

    def step(self, check: NodeCheck, attributes: OneHotAttributes) -> Step:
        indices, _, values = check.node.inputs
        operands = (Operand(indices), None, Operand(values))
        return self.make_step(check, attributes, operands, (Operand(check.node.outputs[0]),))

    def shapes(self, attributes: OneHotAttributes, indices: Shape, depth: None, values: Shape) -> tuple[Shape, ...]:
        if not may_equal(values, (2,)):
            raise ShapeError("values of shape [2]: off and on", str(list(values)))
        axis = self._axis(attributes, len(indices))
        return ((*indices[:axis], attributes._depth, *indices[axis:]),)

    def _axis(self, attributes: OneHotAttributes, rank: int) -> int:
        """Return the axis of the output that is new. Raises ShapeError where there is no such axis."""
        if not -rank - 1 <= attributes.axis <= rank:
            raise ShapeError(f"attribute 'axis' in [{-rank - 1}, {rank}]", str(attributes.axis))
        return attributes.axis % (rank + 1)

    def compute(self, binding: Binding, indices: Array, depth: None, values: Array) -> tuple[Array, ...]:
        attributes: OneHotAttributes = binding.step.attributes
        axis, length = self._axis(attributes, indices.ndim), attributes._depth
        # a float index counts as what is left without its fraction; what no int64 holds hits nothing
        sound = np.abs(indices.astype(np.float64)) < 2.0**62
        whole = np.where(sound, indices, length).astype(np.int64)
        whole = np.where(whole < 0, whole + length, whole)
        along = np.arange(length).reshape(-1, *(1,) * (indices.ndim - axis))
        return (np.where(np.expand_dims(whole, axis) == along, values[1], values[0]),)

    def origin(self, step: Step, output: int, index: Index, indices: Array, depth: None, values: Array) -> Any:
        axis = self._axis(step.attributes, indices.ndim)
        return [indices[(*index[:axis], *index[axis + 1 :])], *values]
