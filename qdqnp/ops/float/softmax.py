"""Softmax in float32. Its exponential and its order of sums are not specified, so its result carries no promise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.float.apart import sums_apart
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array


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


class Softmax(Operator):
    op = "Softmax"
    Attributes = SoftmaxAttributes

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
        power = np.exp(x - x.max(axis=axes, keepdims=True))
        return ((power / power.sum(axis=axes, keepdims=True, dtype=np.float32)).astype(np.float32),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        axes = _axes(step.attributes, x.ndim)
        return x[tuple(slice(None) if axis in axes else i for axis, i in enumerate(index))].reshape(-1)

    def doubt(self, binding: Binding) -> str:
        return "its exponential and order of sums are not specified"

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


def _axes(attributes: SoftmaxAttributes, rank: int) -> tuple[int, ...]:
    """Return the axes that form one row."""
    axis = attributes.first % rank
    return tuple(range(axis, rank)) if attributes._flat else (axis,)
