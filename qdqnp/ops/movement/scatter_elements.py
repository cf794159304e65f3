"""ScatterElements writes updates into a copy of the data, each at the place that its index names along one axis."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.axes import axis_of
from qdqnp.ops.movement.gather_elements import along, check_along
from qdqnp.ops.movement.indexed import Indexed, IndexedAttributes
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Inferred, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array, Int64

REDUCTIONS = ("none", "add", "mul", "max", "min")


@dataclass(frozen=True, eq=False)
class ScatterAttributes(IndexedAttributes):
    #: How updates meet what is there.
    reduction: str = "none"


@dataclass(frozen=True, eq=False)
class ScatterElementsAttributes(ScatterAttributes):
    axis: int = 0


class Scattering(Indexed):
    """Data, indices, updates: the data with the updates in it."""

    arity = (3, 3)
    updates = 1

    def infer(self, check: NodeCheck, attributes: ScatterAttributes) -> Inferred:
        if attributes.reduction not in REDUCTIONS:
            check.refuse("attribute 'reduction'", " or ".join(REDUCTIONS), repr(attributes.reduction))
        return super().infer(check, attributes)

    def origin(self, step: Step, output: int, index: Index, x: Array, indices: Array | None, *updates: Array) -> Any:
        given = step.attributes._indices
        if indices is not None or step.attributes.reduction == "none":
            return super().origin(step, output, index, x, indices, *updates)
        (update,) = updates
        places = np.arange(x.size).reshape(x.shape)
        at = self.targets(step.attributes, places, self._from_the_front(step.attributes, x, given))
        return np.concatenate([x[index].reshape(-1), np.broadcast_to(update, at.shape)[at == places[index]]])

    @abstractmethod
    def targets(self, attributes: Any, x: Array, indices: Int64) -> Array:
        """Return the element of x that each update meets, in the updates' shape."""


def scatter(x: Array, flat: Int64, updates: Array, reduction: str) -> Array:
    """Return x with each update at its flat place, one after the other, in the order in which they lie."""
    out = np.array(x, order="C")
    view, flat, updates = out.reshape(-1), flat.reshape(-1), updates.reshape(-1)
    if reduction == "none":
        places, last = np.unique(flat[::-1], return_index=True)
        view[places] = updates[::-1][last]
    elif reduction in ("add", "mul"):
        (np.add if reduction == "add" else np.multiply).at(view, flat, updates)
    elif flat.size:
        view[...] = _chosen(view, flat, updates, np.fmax if reduction == "max" else np.fmin)
    return out


def _chosen(x: Array, flat: Int64, updates: Array, best: np.ufunc) -> Array:
    """Return what is left of each element and its updates where each is replaced unless it is truly better.

    So of equals the last one stays, and where a NaN is met everything begins anew with what follows it.
    """
    places, values = np.concatenate([np.arange(x.size), flat]), np.concatenate([x, updates])
    order = np.argsort(places, kind="stable")
    places, values = places[order], values[order]
    first = np.flatnonzero(np.diff(places, prepend=-1))
    last = np.append(first[1:], places.size) - 1
    at = np.arange(places.size)
    begin = np.maximum.reduceat(np.where(values != values, at, -1), first)
    kept = values.copy()
    if kept.dtype.kind == "f":
        kept[at <= begin[places]] = np.nan  # which `best` passes over
    equal = kept == best.reduceat(kept, first)[places]
    found = np.maximum.reduceat(np.where(equal, at, -1), first)
    return np.asarray(values[np.where(found < 0, last, found)])


class ScatterElements(Scattering):
    op = "ScatterElements"
    Attributes = ScatterElementsAttributes

    def shape(self, attributes: ScatterElementsAttributes, x: Shape, indices: Shape, *updates: Shape) -> Shape:
        check_along(axis_of(attributes.axis, len(x)), x, indices)
        if len(updates[0]) != len(indices) or any(
            a != b for a, b in zip(updates[0], indices, strict=True) if isinstance(a, int) and isinstance(b, int)
        ):
            raise ShapeError("as many updates as indices", f"{list(updates[0])} and {list(indices)}")
        return x

    def limits(self, attributes: ScatterElementsAttributes, x: tuple[int, ...], indices: tuple[int, ...]) -> Any:
        return np.array(x[axis_of(attributes.axis, len(x))])

    def targets(self, attributes: ScatterElementsAttributes, x: Array, indices: Int64) -> Array:
        return np.asarray(x[along(indices, axis_of(attributes.axis, x.ndim))])

    def move(self, attributes: ScatterElementsAttributes, x: Array, indices: Int64, *updates: Array) -> Array:
        places = self.targets(attributes, np.arange(x.size).reshape(x.shape), indices)
        return scatter(x, places, updates[0], attributes.reduction)


class Scatter(ScatterElements):
    """ScatterElements under its old name."""

    op = "Scatter"
