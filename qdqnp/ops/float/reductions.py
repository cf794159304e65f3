"""Sums, means, norms and products along axes in float32, added up in ONNX Runtime's order for one thread.

Which order that is depends on which axes go. Neighbouring axes count as one; K stands for axes that stay, R for those
that go. Source: ONNX Runtime 1.32, core/providers/cpu/reduction/reduction_ops.{h,cc}; compared bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.graph import Shape, concrete
from qdqnp.numerics import eigen, libm
from qdqnp.numerics.questions.sums import Index
from qdqnp.numerics.rules.float_sum import FloatSumRule, GemmCall
from qdqnp.ops.float.apart import sums_apart
from qdqnp.ops.geometry.reduce import (
    LANES,
    ReduceAttributes,
    axes_input,
    check_settled,
    reduced_axes,
    reduced_row,
    reduced_rows,
    reduced_shape,
    runs,
)
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Operand, Step
from qdqnp.quant import Array, Float32

F = np.float32
INTEGERS = (np.int32, np.int64)


def sums(x: Float32, gone: tuple[int, ...], rule: FloatSumRule, einsum: bool = False) -> Float32:
    """Add up float32 along axes, for ReduceSum and ReduceMean; the answer has one axis.

    einsum: whether an Einsum asks, which chooses among the same orders by other sizes.
    """
    kinds, sizes = runs(x.shape, gone)
    view = x.reshape(sizes)
    if kinds == "R":
        return eigen.reduced(view[None], np.add)
    if kinds == "KR":
        return eigen.reduced(view, np.add, np.arange(sizes[0]) * sizes[1])
    if kinds == "RK" and max(sizes) > 256 and (einsum or sizes[0] > 16):
        return eigen.one_by_one(view.T)
    if kinds == "KRK" and sizes[0] > 1:
        ones = np.ones((1, sizes[1]), F)
        return np.concatenate([rule.gemm(ones, part, None, GemmCall(packed=False))[0] for part in view])
    if kinds == "RKR" and sizes[0 if einsum else 1] > 1:
        total = np.zeros(sizes[1], F)
        for number, part in enumerate(view):
            total = total + eigen.reduced(part, np.add, (number * sizes[1] + np.arange(sizes[1])) * sizes[2])
        return total
    return _in_turn(reduced_rows(x, gone), np.add)


def _in_turn(rows: Float32, operation: np.ufunc) -> Float32:
    return eigen.one_by_one(rows, operation, np.full(rows.shape[0], operation.identity, F))


class Reduction(Operator):
    """A reduction of float32 along axes, and of integers where they are exact."""

    arity = (1, 2)
    Attributes = ReduceAttributes
    reads = ("float_sum",)
    views = True  # where no axis goes
    #: The opset from which on the axes are an input.
    axes_since: ClassVar[int] = 18
    #: The dtypes that the input may have.
    dtypes: ClassVar[tuple[Any, ...]] = (F,)
    #: What the reduction of nothing is; None where there is no such thing.
    empty: ClassVar[float | None] = 0.0
    #: What elements are combined with.
    operation: ClassVar[np.ufunc] = np.add

    def attributes(self, check: NodeCheck) -> Any:
        return axes_input(check, super().attributes(check), self.axes_since)

    def infer(self, check: NodeCheck, attributes: ReduceAttributes) -> Inferred:
        dtype = check.dtype_in(0, self.dtypes, "x")
        return ((dtype, self.shapes(attributes, check.value(0).shape)[0]),)

    def step(self, check: NodeCheck, attributes: ReduceAttributes) -> Step:
        return self.make_step(check, attributes, (Operand(check.node.inputs[0]),), (Operand(check.node.outputs[0]),))

    def shapes(self, attributes: ReduceAttributes, x: Shape) -> tuple[Shape, ...]:
        gone = reduced_axes(attributes, len(x))
        if self.empty is None and any(x[axis] == 0 for axis in gone):
            raise ShapeError("at least one element to average", str(list(x)))
        return (reduced_shape(x, gone, attributes.keepdims),)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        attributes: ReduceAttributes = binding.step.attributes
        gone = reduced_axes(attributes, x.ndim)
        shape = concrete(self.shapes(attributes, x.shape)[0])
        with np.errstate(all="ignore"):
            if x.size == 0:
                found: Array = np.full(shape, self.empty or 0, x.dtype)
            elif x.dtype.kind == "i":
                found = self._integers(reduced_rows(x, gone))
            elif not gone and x.ndim:
                found = self.single(x)
            else:
                found = self.reduce(x, gone, binding.profile.float_sum)
        return (np.asarray(found, x.dtype).reshape(shape),)

    def _integers(self, rows: Array) -> Array:
        """Reduce integers, (R, n) to (R,). Raises ProfileError where that does not fit; ONNX Runtime saturates then."""
        most = 2.0 ** (53 if rows.dtype == np.int64 else 31)
        sizes = self.operation.reduce(np.maximum(np.abs(self.term(rows.astype(np.float64))), 1), axis=1)
        if (sizes >= most).any():
            problem = Problem("the magnitude of a sum or product", f"less than 2^{int(np.log2(most))}", sizes.max())
            raise ProfileError("what ONNX Runtime computes of integers as large as these is not known", [problem])
        return np.asarray(self.operation.reduce(self.term(rows), axis=1, dtype=rows.dtype))

    def reduce(self, x: Float32, gone: tuple[int, ...], rule: FloatSumRule) -> Float32:
        """Reduce float32 along axes; the answer has one axis."""
        rows = self.term(reduced_rows(x, gone))
        whole = x.ndim > 0 and len(gone) == x.ndim
        return self.finish(eigen.reduced(rows, self.operation) if whole else _in_turn(rows, self.operation))

    def term(self, x: Array) -> Array:
        """Return what each element counts."""
        return x

    def finish(self, total: Float32) -> Float32:
        """Return what becomes of a total."""
        return total

    def single(self, x: Array) -> Array:
        """Return what becomes of elements where no axis goes."""
        return self.finish(self.term(x))

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        (shape,) = self.shapes(step.attributes, x.shape)
        return reduced_row(x, reduced_axes(step.attributes, x.ndim), shape, index)

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(False)


class ReduceSum(Reduction):
    op = "ReduceSum"
    axes_since = 13
    dtypes = (F, *INTEGERS)

    def reduce(self, x: Float32, gone: tuple[int, ...], rule: FloatSumRule) -> Float32:
        return sums(x, gone, rule)


class ReduceMean(Reduction):
    op = "ReduceMean"
    empty = None

    def reduce(self, x: Float32, gone: tuple[int, ...], rule: FloatSumRule) -> Float32:
        total = sums(x, gone, rule)
        return np.asarray(total / F(x.size // total.size))

    def error(self, binding: Binding, x: Array) -> Array:
        attributes: ReduceAttributes = binding.step.attributes
        gone = reduced_axes(attributes, x.ndim)
        shape = concrete(self.shapes(attributes, x.shape)[0])
        magnitude = np.abs(x).astype(np.float64).mean(axis=gone).reshape(shape)
        return sums_apart(magnitude, x.size // max(1, magnitude.size) + 1)


class ReduceL1(Reduction):
    op = "ReduceL1"
    dtypes = (F, *INTEGERS)

    def term(self, x: Array) -> Array:
        return np.abs(x)


class ReduceSumSquare(Reduction):
    op = "ReduceSumSquare"
    dtypes = (F, *INTEGERS)

    def term(self, x: Array) -> Array:
        return x * x


class ReduceL2(Reduction):
    op = "ReduceL2"

    def term(self, x: Array) -> Array:
        return x * x

    def finish(self, total: Float32) -> Float32:
        return np.asarray(np.sqrt(total))


class ReduceProd(Reduction):
    op = "ReduceProd"
    dtypes = (F, *INTEGERS)
    empty = 1.0
    operation = np.multiply


@dataclass(frozen=True)
class LogSumAttributes(ReduceAttributes):
    """The attributes of ReduceLogSum, and the opset that decides how ONNX Runtime computes it."""

    #: The node's opset.
    _opset: int = 0


class ReduceLogSum(Reduction):
    op = "ReduceLogSum"
    Attributes = LogSumAttributes
    empty = -np.inf

    def attributes(self, check: NodeCheck) -> Any:
        return replace(super().attributes(check), _opset=check.opset)

    def doubt(self, binding: Binding) -> str:
        if binding.step.attributes._opset >= 28:  # compared with onnxruntime 1.32
            return "ONNX Runtime has no kernel of opset 28, and takes the Log of a ReduceSum"
        return super().doubt(binding)

    def finish(self, total: Float32) -> Float32:
        return libm.log(total)


class ReduceLogSumExp(Reduction):
    """log(sum(exp(x - largest))) + largest."""

    op = "ReduceLogSumExp"
    bytes_per_element = 64
    empty = -np.inf

    def reduce(self, x: Float32, gone: tuple[int, ...], rule: FloatSumRule) -> Float32:
        rows = reduced_rows(x, gone)
        if x.ndim and len(gone) == x.ndim:
            if np.isposinf(rows).any():  # which wins depends on where a NaN lies in memory
                check_settled(np.pad(rows, ((0, 0), (0, LANES)), mode="edge"), None)
            largest = rows.max(axis=1)
            if np.isinf(largest[0]):
                return np.asarray(largest, F)
        else:  # infinities do not count, and NaNs only where nothing else is there
            finite = np.where(np.isfinite(rows), rows, -np.inf)
            first = np.where(np.isinf(rows[:, 0]), F(0), rows[:, 0])
            largest = np.fmax(finite.max(axis=1), first)
        return np.asarray(libm.log(_in_turn(libm.exp(rows - largest[:, None]), np.add)) + largest)

    def single(self, x: Array) -> Array:
        largest = np.where(np.isinf(x), F(0), x)
        return np.asarray(libm.log(libm.exp(x - largest)) + largest)
