"""TensorScatter writes an update into a cache of each batch, from an index on, as language models keep their past."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.axes import axis_of
from qdqnp.ops.geometry.broadcast import may_equal
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array, Int64

LINEAR, CIRCULAR = "linear", "circular"


@dataclass(frozen=True)
class TensorScatterAttributes:
    axis: int = -2
    #: Whether what would go beyond the end goes on at the beginning.
    mode: str = LINEAR


class TensorScatter(Operator):
    """Its inputs: the cache, the update, and where it begins in each batch, by default at 0."""

    op = "TensorScatter"
    arity = (2, 3)
    Attributes = TensorScatterAttributes
    bytes_per_element = 48

    def infer(self, check: NodeCheck, attributes: TensorScatterAttributes) -> Inferred:
        cache, update = check.value(0), check.value(1)
        check.dtype_in(1, (cache.dtype,), "update")
        if attributes.mode not in (LINEAR, CIRCULAR):
            check.refuse("attribute 'mode'", f"'{LINEAR}' or '{CIRCULAR}'", repr(attributes.mode))
        if check.given(2):
            check.dtype_in(2, (np.int64,), "write_indices")
        begins = check.value(2).shape if check.given(2) else None
        return ((cache.dtype, self.shapes(attributes, cache.shape, update.shape, begins)[0]),)

    def shapes(
        self, attributes: TensorScatterAttributes, cache: Shape, update: Shape, begins: Shape | None = None
    ) -> tuple[Shape, ...]:
        axis = axis_of(attributes.axis, len(cache))
        if axis == 0:
            raise ShapeError("an axis behind the batches", "0")
        wanted = (*cache[:axis], None, *cache[axis + 1 :])
        if not may_equal(update, wanted):
            raise ShapeError(f"an update of shape {list(wanted)}", str(list(update)))
        room, length = cache[axis], update[axis]
        if isinstance(room, int) and isinstance(length, int) and length > room:
            raise ShapeError(f"an update of at most {room} elements along axis {axis}", str(length))
        if begins is not None and not may_equal(begins, cache[:1]):
            raise ShapeError(f"write_indices of shape {list(cache[:1])}", str(list(begins)))
        return (cache,)

    def compute(self, binding: Binding, cache: Array, update: Array, begins: Array | None = None) -> tuple[Array, ...]:
        attributes: TensorScatterAttributes = binding.step.attributes
        axis = axis_of(attributes.axis, cache.ndim)
        first = np.zeros(cache.shape[0], np.int64) if begins is None else begins
        room = cache.shape[axis]
        last = np.iinfo(np.int64).max - room if attributes.mode == CIRCULAR else room - update.shape[axis]
        wrong = (first < 0) | (first > last)
        if wrong.any():
            expected = "at least 0" if attributes.mode == CIRCULAR else f"in [0, {last}], so that the update fits"
            problem = Problem(f"step {binding.step.label}, write_indices", expected, str(first[wrong][0]))
            raise ProfileError("an index is beyond what it counts", [problem])
        return (_written(cache, update, first, axis),)

    def origin(
        self, step: Step, output: int, index: Index, cache: Array, update: Array, begins: Array | None = None
    ) -> Any:
        axis = axis_of(step.attributes.axis, cache.ndim)
        if begins is None:
            return _written(cache, update, np.zeros(cache.shape[0], np.int64), axis)[index]
        along: tuple[Any, ...] = (*index[:axis], slice(None), *index[axis + 1 :])
        return [cache[index], *update[along], begins[index[0]]]


def _written(cache: Array, update: Array, first: Int64, axis: int) -> Array:
    """Return the cache with the update in it; what goes beyond the end goes on at the beginning."""
    out = np.array(cache)
    for batch, begin in enumerate(first):
        places = (begin + np.arange(update.shape[axis])) % max(1, cache.shape[axis])
        np.moveaxis(out[batch], axis - 1, 0)[places] = np.moveaxis(update[batch], axis - 1, 0)
    return out
