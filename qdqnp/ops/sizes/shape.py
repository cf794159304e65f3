"""Shape and Size return the sizes of a tensor as int64."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape as Sizes
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.movement.flatten import product
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, NoAttributes, Operator
from qdqnp.program import Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class ShapeAttributes:
    """The axes whose sizes are returned, since opset 15."""

    start: int = 0
    end: int | None = None


class Shape(Operator):
    op = "Shape"
    Attributes = ShapeAttributes
    of_shapes = True

    def infer(self, check: NodeCheck, attributes: ShapeAttributes) -> Inferred:
        return ((np.dtype(np.int64), self.shapes(attributes, check.value(0).shape)[0]),)

    def shapes(self, attributes: ShapeAttributes, x: Sizes) -> tuple[Sizes, ...]:
        return ((len(_axes(attributes, len(x))),),)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        axes = _axes(binding.step.attributes, x.ndim)
        return (np.array([x.shape[axis] for axis in axes], np.int64),)

    def known(self, attributes: ShapeAttributes, *shapes: Array) -> Sequence[Array]:
        (x,) = shapes
        axes = _axes(attributes, x.size)
        return (x[axes.start : axes.stop],)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return 0  # no element of x matters


def _axes(attributes: ShapeAttributes, rank: int) -> range:
    """Return the axes from start to end, both of which are clamped to the axes that there are."""
    end = rank if attributes.end is None else attributes.end
    first, last = (min(max(at + rank if at < 0 else at, 0), rank) for at in (attributes.start, end))
    return range(first, max(first, last))


class Size(Operator):
    op = "Size"
    Attributes = NoAttributes
    of_shapes = True

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        check.value(0)
        return ((np.dtype(np.int64), ()),)

    def shapes(self, attributes: Any, x: Sizes) -> tuple[Sizes, ...]:
        return ((),)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        return (np.array(math.prod(x.shape), np.int64),)

    def known(self, attributes: Any, *shapes: Array) -> Sequence[Array]:
        found = np.empty((), object)
        found[()] = product(tuple(shapes[0]))
        return (found,)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return 0  # no element of x matters
