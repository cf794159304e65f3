"""Where takes elements of one array where a condition holds, and of another where it does not."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.broadcast import broadcast_shapes, innermost_run
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array


class Where(Operator):
    """(condition, x, y), which broadcast together."""

    op = "Where"
    elementwise = True
    arity = (3, 3)

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        check.dtype_in(0, (np.bool_,), "condition")
        dtype = check.dtype_in(1, (check.value(1).dtype,), "x")
        check.dtype_in(2, (dtype,), "y")
        return ((dtype, broadcast_shapes([check.value(index).shape for index in range(3)])),)

    def shapes(self, attributes: Any, condition: Shape, x: Shape, y: Shape) -> tuple[Shape, ...]:
        return (broadcast_shapes([condition, x, y]),)

    def compute(self, binding: Binding, condition: Array, x: Array, y: Array) -> tuple[Array, ...]:
        return (_merged(condition, x, y) if x.dtype.kind == "f" else np.where(condition, x, y),)

    def origin(self, step: Step, output: int, index: Index, condition: Array, x: Array, y: Array) -> Any:
        return [array[index] for array in np.broadcast_arrays(condition, x, y)]


def _merged(condition: Array, x: Array, y: Array) -> Array:
    """Return what is chosen of floats, with the zeros of ONNX Runtime.

    It puts 0.0 where an array is not chosen, and then takes what is not zero, of x, or of y where that is repeated. So
    -0.0 becomes 0.0 in the array it looks at first. core/providers/cpu/tensor/where_op.cc of 1.32.
    """
    zero = x.dtype.type(0)
    of_x, of_y = np.where(condition, x, zero), np.where(condition, zero, y)
    _, repeated = innermost_run(of_x.shape, of_y.shape)
    return np.where(of_y != 0, of_y, of_x) if repeated == 1 else np.where(of_x != 0, of_x, of_y)
