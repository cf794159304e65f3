"""Softmax, LogSoftmax and Hardmax in float32: rows along one axis, added up in the order of the float_sum rule."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.numerics.rules.float_sum import FloatSumRule
from qdqnp.ops.float.apart import sums_apart
from qdqnp.ops.geometry.reduce import check_settled, first_choice
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array, Float32


@dataclass(frozen=True)
class SoftmaxAttributes:
    """The attributes of Softmax."""

    axis: int | None = None
    #: Whether all axes from `axis` on form one row, as before opset 13.
    _flat: bool = False

    @property
    def first(self) -> int:
        """The axis of a row, or its first one."""
        return (1 if self._flat else -1) if self.axis is None else self.axis


class AlongRows(Operator):
    """An operator on rows of float32, each of which becomes a row of the same length."""

    Attributes = SoftmaxAttributes

    @abstractmethod
    def along(self, rows: Float32, rule: FloatSumRule) -> Float32:
        """Compute the rows of the output from those of the input, (R, n)."""

    def attributes(self, check: NodeCheck) -> Any:
        return replace(super().attributes(check), _flat=check.opset < 13)

    def infer(self, check: NodeCheck, attributes: SoftmaxAttributes) -> Inferred:
        check.dtype_in(0, (np.float32,), "x")
        rank = len(check.value(0).shape)
        if not -rank <= attributes.first < rank:
            check.refuse("attribute 'axis'", f"an axis of rank {rank}", attributes.first)
        return ((FLOAT32, check.value(0).shape),)

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        if x.size == 0:
            return (x.copy(),)
        axes = _axes(binding.step.attributes, x.ndim)
        moved = np.moveaxis(x, axes, range(x.ndim - len(axes), x.ndim))
        rows = moved.reshape(-1, math.prod(x.shape[axis] for axis in axes))
        with np.errstate(all="ignore"):
            found = self.along(rows, binding.profile.float_sum).reshape(moved.shape)
        return (np.ascontiguousarray(np.moveaxis(found, range(x.ndim - len(axes), x.ndim), axes)),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        axes = _axes(step.attributes, x.ndim)
        return x[tuple(slice(None) if axis in axes else i for axis, i in enumerate(index))].reshape(-1)


class Softmax(AlongRows):
    op = "Softmax"
    bytes_per_element = 64
    reads = ("float_sum",)

    def along(self, rows: Float32, rule: FloatSumRule) -> Float32:
        return rule.softmax(rows, logarithm=False)

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(False)

    def error(self, binding: Binding, x: Array) -> Array:
        """Bound the error of the result.

        The rounded difference from the maximum is a relative error of its power; an exponential is taken to be within 4
        roundings.
        """
        axes = _axes(binding.step.attributes, x.ndim)
        shifted = x.astype(np.float64) - x.max(axis=axes, keepdims=True)
        power = np.exp(shifted)
        total = power.sum(axis=axes, keepdims=True)
        slack = 1 + np.abs(shifted).max(axis=axes, keepdims=True)
        return sums_apart(power / total * slack, x.size // max(1, total.size) + 8)


class LogSoftmax(AlongRows):
    op = "LogSoftmax"
    bytes_per_element = 64
    reads = ("float_sum",)

    def along(self, rows: Float32, rule: FloatSumRule) -> Float32:
        return rule.softmax(rows, logarithm=True)

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(False)


class Hardmax(AlongRows):
    """1 for the first of the largest elements, 0 for the others."""

    op = "Hardmax"

    def along(self, rows: Float32, rule: FloatSumRule) -> Float32:
        check_settled(rows, None)
        return np.asarray(np.arange(rows.shape[1]) == first_choice(rows, np.fmax)[:, None], np.float32)


def _axes(attributes: SoftmaxAttributes, rank: int) -> tuple[int, ...]:
    """Return the axes that form one row."""
    axis = attributes.first % rank
    return tuple(range(axis, rank)) if attributes._flat else (axis,)
