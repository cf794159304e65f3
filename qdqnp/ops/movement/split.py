"""Split: one axis cut into parts. Their sizes are an attribute before opset 13 and a constant input since; without
sizes the parts are equal, and since opset 18 the last one may be smaller or empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np

from qdqnp.graph import Dim, Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, ShapeError, Site
from qdqnp.ops.movement.movement import axis_of, int_list
from qdqnp.program import Operand, Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class SplitAttributes:
    axis: int = 0
    split: tuple[int, ...] | None = None
    num_outputs: int | None = None
    _parts: int = 0  # how many outputs the node has
    _uneven: bool = False  # whether the last part may be smaller


class Split(Operator):
    op = "Split"
    arity = (1, 2)
    Attributes = SplitAttributes

    def attributes(self, site: Site) -> Any:
        given: SplitAttributes = super().attributes(site)
        parts = len(site.node.outputs)
        if not all(site.node.outputs):
            site.refuse("outputs", "a name for each part", "an unnamed one", "Name it; what nobody reads does no harm.")
        if site.opset < 13 and site.given(1):
            site.refuse("input 1 (split)", "no such input before opset 13", site.node.inputs[1])
        if site.opset >= 13 and given.split is not None:
            site.refuse("attribute 'split'", "an input since opset 13", given.split)
        if site.given(1):
            given = replace(given, split=int_list(site, 1, "split", parts))
        self._check_count(site, given, parts)
        return replace(given, _parts=parts, _uneven=given.num_outputs is not None)

    def _check_count(self, site: Site, given: SplitAttributes, parts: int) -> None:
        if given.num_outputs is not None and site.opset < 18:
            site.refuse("attribute 'num_outputs'", "no such attribute before opset 18", given.num_outputs)
        if site.opset >= 18 and (given.split is None) == (given.num_outputs is None):
            site.refuse(
                "input 1 (split) and attribute 'num_outputs'", "one of them", "none" if given.split is None else "both"
            )
        if given.split is not None and (len(given.split) != parts or any(size < 0 for size in given.split)):
            site.refuse("sizes of the parts", f"{parts} sizes >= 0, one for each output", list(given.split))
        if given.num_outputs not in (None, parts):
            site.refuse("attribute 'num_outputs'", f"{parts}, the number of outputs", given.num_outputs)

    def infer(self, site: Site, attributes: SplitAttributes) -> Inferred:
        dtype = site.value(0).dtype
        return tuple((dtype, shape) for shape in self.shapes(attributes, [site.value(0).shape]))

    def step(self, site: Site, attributes: SplitAttributes) -> Step:
        outputs = tuple(Operand(name) for name in site.node.outputs)
        return self.make_step(site, attributes, (Operand(site.node.inputs[0]),), outputs)

    def shapes(self, attributes: SplitAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        (x,) = inputs
        assert x is not None
        axis = axis_of(attributes.axis, len(x))
        return tuple((*x[:axis], size, *x[axis + 1 :]) for size in _sizes(attributes, x[axis]))

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            (x,) = arrays
            assert x is not None
            axis = axis_of(step.attributes.axis, x.ndim)
            sizes = [size for size in _sizes(step.attributes, x.shape[axis]) if isinstance(size, int)]
            parts = np.split(x, list(accumulate(sizes))[:-1], axis)
            return tuple(np.ascontiguousarray(part) for part in parts)

        return Bound(evaluate, views=True)


def _sizes(attributes: SplitAttributes, size: Dim) -> tuple[Dim, ...]:
    """Of the parts; unknown where the size of the axis is and no sizes are given."""
    parts = attributes._parts
    if attributes.split is not None:
        if isinstance(size, int) and sum(attributes.split) != size:
            raise ShapeError(f"parts of {size} elements together", str(list(attributes.split)))
        return attributes.split
    if not isinstance(size, int):
        return (None,) * parts
    most = -(-size // parts)
    last = size - most * (parts - 1)
    if last < 0 or (last != most and not attributes._uneven):
        raise ShapeError(f"an axis that {parts} parts can share", f"{size} elements")
    return (*(most,) * (parts - 1), last)
