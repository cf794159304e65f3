"""Operators that compute element by element; each is one row of the table.

Each float operation rounds correctly once (or is the one function that ONNX Runtime computes), and integers wrap, so
the results are exact. Operators with constant inputs or attributes to check have files of their own.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from qdqnp.graph import Shape, Sizes
from qdqnp.numerics import mlas
from qdqnp.numerics.questions.sums import Index
from qdqnp.numerics.rules.lookup import LeakyReluFunction
from qdqnp.ops.float.hard_sigmoid import HardSigmoidAttributes, hard_sigmoid, hard_swish
from qdqnp.ops.float.shrink import ShrinkAttributes, shrink
from qdqnp.ops.geometry.broadcast import broadcast_shapes
from qdqnp.ops.geometry.integer_division import divided
from qdqnp.ops.integer.qlinear_leaky_relu import LeakyReluAttributes
from qdqnp.ops.movement.concat import MANY
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Operand, Step
from qdqnp.quant import Array

F = np.float32
FLOATS = (F, np.float64)
#: The integer types, the signed ones first.
SIGNED = (np.int8, np.int16, np.int32, np.int64)
INTEGERS = (*SIGNED, np.uint8, np.uint16, np.uint32, np.uint64)
NUMBERS = (*FLOATS, *INTEGERS)


class Elementwise(Operator):
    """An operator from one array to one of the same shape and dtype."""

    elementwise = True
    #: The dtypes that the input may have.
    dtypes: ClassVar[tuple[Any, ...]] = (F,)
    #: The dtype of the output; None for that of the input.
    result: ClassVar[Any] = None

    @abstractmethod
    def apply(self, x: Array, attributes: Any) -> Array:
        """Compute the output."""

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        dtype = check.dtype_in(0, self.dtypes, "x")
        return ((dtype if self.result is None else np.dtype(self.result), check.value(0).shape),)

    def step(self, check: NodeCheck, attributes: Any) -> Step:
        # further inputs (Clip's limits) are constants, already in the attributes
        return self.make_step(check, attributes, (Operand(check.node.inputs[0]),), (Operand(check.node.outputs[0]),))

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        return (self.apply(x, binding.step.attributes),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return x[index]


class Broadcast(Operator):
    """An operator from two arrays of one dtype that broadcast to one."""

    elementwise = True
    #: Whether an element is one operation of NumPy on its operands, wherever it lies.
    plain: ClassVar[bool] = False
    arity = (2, 2)
    #: The dtypes that the inputs may have.
    dtypes: ClassVar[tuple[Any, ...]] = (F,)
    #: The dtype of the output; None for that of the inputs.
    result: ClassVar[Any] = None

    @abstractmethod
    def apply(self, a: Array, b: Array) -> Array:
        """Compute the output."""

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        dtype = check.dtype_in(0, self.dtypes, "a")
        check.dtype_in(1, (dtype,), "b")
        shape = broadcast_shapes([check.value(0).shape, check.value(1).shape])
        return ((dtype if self.result is None else np.dtype(self.result), shape),)

    def shapes(self, attributes: Any, a: Shape, b: Shape) -> tuple[Shape, ...]:
        return (broadcast_shapes([a, b]),)

    def compute(self, binding: Binding, a: Array, b: Array) -> tuple[Array, ...]:
        return (np.asarray(self.apply(a, b)),)

    def origin(self, step: Step, output: int, index: Index, a: Array, b: Array) -> Any:
        return [array[index] for array in np.broadcast_arrays(a, b)]


class Variadic(Operator):
    """An operator from any number of arrays of one dtype that broadcast together, combined from left to right."""

    elementwise = True
    arity = (1, MANY)
    #: The dtypes that the inputs may have.
    dtypes: ClassVar[tuple[Any, ...]] = (F,)

    @abstractmethod
    def combine(self, a: Array, b: Array) -> Array:
        """Return what becomes of two arrays, which broadcast."""

    def finish(self, found: Array, count: int) -> Array:
        """Return the output. found: all `count` arrays combined."""
        return found

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        dtype = check.dtype_in(0, self.dtypes, "x")
        for index in range(1, len(check.inputs)):
            check.dtype_in(index, (dtype,))
        return ((dtype, broadcast_shapes([check.value(index).shape for index in range(len(check.inputs))])),)

    def shapes(self, attributes: Any, *inputs: Shape) -> tuple[Shape, ...]:
        return (broadcast_shapes(inputs),)

    def compute(self, binding: Binding, *inputs: Array) -> tuple[Array, ...]:
        with np.errstate(all="ignore"):
            return (np.array(self.finish(reduce(self.combine, inputs), len(inputs))),)

    def origin(self, step: Step, output: int, index: Index, *inputs: Array) -> Any:
        return [array[index] for array in np.broadcast_arrays(*inputs)]

    def work(self, attributes: Any, inputs: Sequence[Sizes], output: Sizes) -> int:
        return 2 * math.prod(output)


class Sum(Variadic):
    op = "Sum"
    dtypes = FLOATS

    def combine(self, a: Array, b: Array) -> Array:
        return np.asarray(a + b)


class Mean(Variadic):
    """The sum times the reciprocal of the number of arrays, both rounded to float32."""

    op = "Mean"

    def combine(self, a: Array, b: Array) -> Array:
        return np.asarray(a + b)

    def finish(self, found: Array, count: int) -> Array:
        return np.asarray(found * (F(1) / F(count)))


def unary(op: str, function: Callable[[Array], Array], *dtypes: Any, result: Any = None) -> type[Operator]:
    """Define an operator without attributes.

    dtypes: the dtypes that its input may have, float32 by default.
    result: the dtype of its output; None for that of its input.
    """
    fields = {"op": op, "apply": lambda self, x, attributes: function(x), "dtypes": dtypes or (F,), "result": result}
    return type(op, (Elementwise,), fields)


def with_attributes(
    op: str, function: Callable[[Array, Any], Array], attributes: type, *dtypes: Any, result: Any = None
) -> type[Operator]:
    """Define an operator whose function takes its attributes too; the other arguments are those of `unary`."""
    fields = {"op": op, "apply": lambda self, x, given: function(x, given), "Attributes": attributes}
    return type(op, (Elementwise,), {**fields, "dtypes": dtypes or (F,), "result": result})


def binary(op: str, function: Callable[[Array, Array], Array], *dtypes: Any, result: Any = None) -> type[Operator]:
    """Define an operator of two arrays of one dtype, each element of which is one operation of NumPy.

    dtypes: the dtypes that its inputs may have, float32 by default.
    result: the dtype of its output; None for that of its inputs.
    """
    fields = {"op": op, "apply": lambda self, a, b: function(a, b), "dtypes": dtypes or (F,), "result": result}
    return type(op, (Broadcast,), {**fields, "plain": True})


def relu(x: Array) -> Array:
    """Compute max(x, 0); as in ONNX Runtime, -0.0 and NaN stay what they are."""
    return np.where(x < 0, x.dtype.type(0), x)


def sign(x: Array) -> Array:
    """Return -1, 0 or 1; NaN stays NaN, but for float16 becomes 0.0, and so does -0.0."""
    signs = (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)
    return signs if x.dtype == np.float16 else np.where(x != x, x, signs)


def leaky_relu(x: Array, attributes: LeakyReluAttributes) -> Array:
    return LeakyReluFunction(attributes.alpha).float32(x)


#: The operators of this file.
OPERATORS = (
    unary("Neg", np.negative, *FLOATS, *SIGNED),
    unary("Abs", np.abs, *NUMBERS),
    unary("Sign", sign, *NUMBERS, np.float16),
    unary("Sqrt", np.sqrt, *FLOATS),
    unary("Relu", relu, *FLOATS, *SIGNED),
    unary("Sigmoid", mlas.sigmoid),  # by MLAS's approximation
    unary("HardSwish", hard_swish),
    with_attributes("HardSigmoid", hard_sigmoid, HardSigmoidAttributes),
    with_attributes("LeakyRelu", leaky_relu, LeakyReluAttributes),
    with_attributes("Shrink", shrink, ShrinkAttributes),
    binary("Add", np.add, *NUMBERS),
    binary("Sub", np.subtract, *NUMBERS),
    binary("Mul", np.multiply, *NUMBERS),
    binary("Div", divided, *NUMBERS),
)
