"""Concat: arrays of one dtype joined along an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.graph import Dim, Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, ShapeError, Site
from qdqnp.program import Step
from qdqnp.quant import Array

MANY = 2**31 - 1  # ONNX's bound on a variadic input


@dataclass(frozen=True)
class ConcatAttributes:
    axis: int | None = None


def concat_shape(axis: int | None, shapes: Sequence[Shape]) -> Shape:
    """The joined shape; raises ShapeError where ranks, other axes or the axis itself do not fit."""
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
    arity = (1, MANY)
    Attributes = ConcatAttributes

    def infer(self, site: Site, attributes: ConcatAttributes) -> Inferred:
        dtype = site.value(0).dtype
        for index in range(1, len(site.node.inputs)):
            site.dtype_in(index, (dtype,))
        return ((dtype, concat_shape(attributes.axis, [site.value(i).shape for i in range(len(site.inputs))])),)

    def shapes(self, attributes: ConcatAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        return (concat_shape(attributes.axis, [shape for shape in inputs if shape is not None]),)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        axis = step.attributes.axis

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            return (np.concatenate([array for array in arrays if array is not None], axis=axis),)

        return Bound(evaluate)
