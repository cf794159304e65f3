"""Concat joins arrays of one dtype along an axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Dim, Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array

MANY = 2**31 - 1  # ONNX's bound on a variadic input


@dataclass(frozen=True)
class ConcatAttributes:
    axis: int | None = None


def concat_shape(axis: int | None, shapes: Sequence[Shape]) -> Shape:
    """Return the joined shape. Raises ShapeError where ranks, other axes or the axis itself do not fit."""
    rank = len(shapes[0])
    if axis is None or not -rank <= axis < rank:
        raise ShapeError(f"attribute 'axis' in [{-rank}, {rank - 1}]", str(axis))
    along = axis % rank
    result: list[Dim] = []
    for index in range(rank):
        if any(len(shape) != rank for shape in shapes):
            raise ShapeError("inputs of one rank", " and ".join(str(list(s)) for s in shapes))
        sizes = [shape[index] for shape in shapes]
        numbers = [size for size in sizes if isinstance(size, int)]
        if index == along:
            result.append(sum(numbers) if len(numbers) == len(sizes) else None)
        elif len(set(numbers)) > 1:
            raise ShapeError(f"equal sizes outside axis {along}", " and ".join(str(list(s)) for s in shapes))
        else:
            result.append(numbers[0] if numbers else sizes[0])
    return tuple(result)


class Concat(Operator):
    op = "Concat"
    arranges = True
    arity = (1, MANY)
    Attributes = ConcatAttributes
    monotone = True

    def infer(self, check: NodeCheck, attributes: ConcatAttributes) -> Inferred:
        dtype = check.value(0).dtype
        for index in range(1, len(check.node.inputs)):
            check.dtype_in(index, (dtype,))
        return ((dtype, concat_shape(attributes.axis, [check.value(i).shape for i in range(len(check.inputs))])),)

    def shapes(self, attributes: ConcatAttributes, *inputs: Shape) -> tuple[Shape, ...]:
        return (concat_shape(attributes.axis, inputs),)

    def compute(self, binding: Binding, *inputs: Array) -> tuple[Array, ...]:
        return (np.concatenate(inputs, axis=binding.step.attributes.axis),)

    def origin(self, step: Step, output: int, index: Index, *inputs: Array) -> Any:
        return np.concatenate(inputs, axis=step.attributes.axis)[index]
