"""ArgMax: where the largest element of an axis is, as int64; of several, the first or the last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.graph import Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, ShapeError, Site
from qdqnp.ops.float.reduce import reduced_shape
from qdqnp.ops.movement.movement import axis_of
from qdqnp.program import Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class ArgMaxAttributes:
    axis: int = 0
    keepdims: int = 1
    select_last_index: int = 0


class ArgMax(Operator):
    op = "ArgMax"
    Attributes = ArgMaxAttributes

    def infer(self, site: Site, attributes: ArgMaxAttributes) -> Inferred:
        site.dtype_in(0, (np.float32, np.int8, np.uint8), "x")
        return ((np.dtype(np.int64), self.shapes(attributes, [site.value(0).shape])[0]),)

    def shapes(self, attributes: ArgMaxAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        (x,) = inputs
        assert x is not None
        axis = axis_of(attributes.axis, len(x))
        if x[axis] == 0:
            raise ShapeError("something to choose from", str(list(x)))
        return (reduced_shape(x, (axis,), bool(attributes.keepdims)),)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        attributes: ArgMaxAttributes = step.attributes

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            (x,) = arrays
            assert x is not None
            axis = axis_of(attributes.axis, x.ndim)
            if attributes.select_last_index:
                at = x.shape[axis] - 1 - np.argmax(np.flip(x, axis), axis, keepdims=bool(attributes.keepdims))
            else:
                at = np.argmax(x, axis, keepdims=bool(attributes.keepdims))
            return (np.asarray(at, np.int64),)

        return Bound(evaluate)
