"""Min and Max of any number of arrays, element by element, which broadcast together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from qdqnp.graph import Shape, Sizes
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.float.elementwise import NUMBERS
from qdqnp.ops.geometry.broadcast import broadcast_shapes, innermost_run
from qdqnp.ops.movement.concat import MANY
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array

#: Bytes of the vectors in which ONNX Runtime on x86-64 compares; Eigen is compiled for SSE2 there.
VECTOR = 16


class Extreme(Operator):
    """Compares from left to right: the first two arrays, then what they gave with the third, and so on."""

    #: np.maximum or np.minimum; a NaN wins.
    best: ClassVar[np.ufunc]

    elementwise = True
    arity = (1, MANY)

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        dtype = check.dtype_in(0, NUMBERS, "x")
        for index in range(1, len(check.inputs)):
            check.dtype_in(index, (dtype,))
        return ((dtype, broadcast_shapes([check.value(index).shape for index in range(len(check.inputs))])),)

    def shapes(self, attributes: Any, *inputs: Shape) -> tuple[Shape, ...]:
        return (broadcast_shapes(inputs),)

    def compute(self, binding: Binding, *inputs: Array) -> tuple[Array, ...]:
        return (np.array(reduce(self._better, inputs)),)

    def _better(self, a: Array, b: Array) -> Array:
        chosen = np.asarray(self.best(a, b))
        return _signs_of_zeros(chosen, a, b) if a.dtype.kind == "f" else chosen

    def origin(self, step: Step, output: int, index: Index, *inputs: Array) -> Any:
        return [array[index] for array in np.broadcast_arrays(*inputs)]

    def work(self, attributes: Any, inputs: Sequence[Sizes], output: Sizes) -> int:
        return 2 * math.prod(output)


class Max(Extreme):
    op = "Max"
    best = np.maximum


class Min(Extreme):
    op = "Min"
    best = np.minimum


def _signs_of_zeros(chosen: Array, a: Array, b: Array) -> Array:
    """Return the choice with the zero that ONNX Runtime takes where 0.0 and -0.0 meet: neither is the larger one.

    Its vectors take the second operand there (MAXPS and MINPS do), and single elements the first. An array that is
    repeated is the second operand; vectors begin at multiples of their size in the output, and the rest of a run is
    compared one by one. Measured with onnxruntime 1.32.
    """
    met = (a == 0) & (b == 0) & (np.signbit(a) != np.signbit(b))
    if not met.any():
        return chosen
    run, repeated = innermost_run(a.shape, b.shape)
    first, second = np.broadcast_arrays(b, a) if repeated == 0 else np.broadcast_arrays(a, b)
    lanes = VECTOR // a.dtype.itemsize
    at = np.arange(chosen.size)
    start = at // run * run
    begin, end = -(-start // lanes) * lanes, (start + run) // lanes * lanes
    in_vector = ((at >= begin) & (at < end)).reshape(chosen.shape)
    return np.where(met, np.where(in_vector, second, first), chosen)
