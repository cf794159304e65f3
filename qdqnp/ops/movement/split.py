"""Split cuts one axis into parts.

Their sizes are an attribute before opset 13 and a constant input since; without sizes the parts are equal, and since
opset 18 the last one may be smaller or empty.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np

from qdqnp.graph import Dim, Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.axes import axis_of, int_list
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Operand, Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class SplitAttributes:
    axis: int = 0
    split: tuple[int, ...] | None = None
    num_outputs: int | None = None
    #: How many outputs the node has.
    _parts: int = 0
    #: Whether the last part may be smaller.
    _uneven: bool = False
    #: Whether a run alone knows the sizes.
    _late: bool = False


class Split(Operator):
    op = "Split"
    arranges = True
    arity = (1, 2)
    Attributes = SplitAttributes
    views = True
    monotone = True

    def attributes(self, check: NodeCheck) -> Any:
        given: SplitAttributes = super().attributes(check)
        parts = len(check.node.outputs)
        if not all(check.node.outputs):
            check.refuse(
                "outputs", "a name for each part", "an unnamed one", "Name it; what nobody reads does no harm."
            )
        if check.opset < 13 and check.given(1):
            check.refuse("input 1 (split)", "no such input before opset 13", check.node.inputs[1])
        if check.opset >= 13 and given.split is not None:
            check.refuse("attribute 'split'", "an input since opset 13", given.split)
        if check.given(1):
            given = replace(given, split=int_list(check, 1, "split", parts), _late=1 in check.runtime_sizes)
        self._check_count(check, given, parts)
        return replace(given, _parts=parts, _uneven=given.num_outputs is not None)

    def _check_count(self, check: NodeCheck, given: SplitAttributes, parts: int) -> None:
        if given.num_outputs is not None and check.opset < 18:
            check.refuse("attribute 'num_outputs'", "no such attribute before opset 18", given.num_outputs)
        if check.opset >= 18 and (given.split is None) == (given.num_outputs is None):
            check.refuse(
                "input 1 (split) and attribute 'num_outputs'", "one of them", "none" if given.split is None else "both"
            )
        if given.split is not None and (len(given.split) != parts or any(size < 0 for size in given.split)):
            check.refuse("sizes of the parts", f"{parts} sizes >= 0, one for each output", list(given.split))
        if given.num_outputs not in (None, parts):
            check.refuse("attribute 'num_outputs'", f"{parts}, the number of outputs", given.num_outputs)

    def infer(self, check: NodeCheck, attributes: SplitAttributes) -> Inferred:
        dtype = check.value(0).dtype
        return tuple((dtype, shape) for shape in self.shapes(attributes, check.value(0).shape))

    def step(self, check: NodeCheck, attributes: SplitAttributes) -> Step:
        outputs = tuple(Operand(name) for name in check.node.outputs)
        return self.make_step(check, attributes, (Operand(check.node.inputs[0]),), outputs)

    def shapes(self, attributes: SplitAttributes, x: Shape) -> tuple[Shape, ...]:
        axis = axis_of(attributes.axis, len(x))
        return tuple((*x[:axis], size, *x[axis + 1 :]) for size in _sizes(attributes, x[axis]))

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        return tuple(np.ascontiguousarray(part) for part in _parts(binding.step.attributes, x))

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return _parts(step.attributes, x)[output][index]


def _parts(attributes: SplitAttributes, x: Array) -> list[Array]:
    """Return the outputs as views of x."""
    axis = axis_of(attributes.axis, x.ndim)
    sizes = [size for size in _sizes(attributes, x.shape[axis]) if isinstance(size, int)]
    return np.split(x, list(accumulate(sizes))[:-1], axis)


def _sizes(attributes: SplitAttributes, size: Dim) -> tuple[Dim, ...]:
    """Return the sizes of the parts; they are unknown where the axis is of unknown size and no sizes are given."""
    parts = attributes._parts
    if attributes._late:
        return (None,) * parts
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
