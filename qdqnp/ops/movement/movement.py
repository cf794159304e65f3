"""Operators that move elements and compute nothing: any dtype, codes stay codes, views where NumPy can."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from qdqnp.graph import Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, ShapeError, Site
from qdqnp.program import Operand, Step
from qdqnp.quant import Array


class Movement(Operator):
    @abstractmethod
    def move(self, attributes: Any, x: Array) -> Array:
        """The output for one input; may be a view of it."""

    def infer(self, site: Site, attributes: Any) -> Inferred:
        value = site.value(0)
        return ((value.dtype, self.shape(attributes, value.shape)),)

    def step(self, site: Site, attributes: Any) -> Step:
        # further inputs (Reshape's shape, Squeeze's axes) are constants, already in the attributes
        return self.make_step(site, attributes, (Operand(site.node.inputs[0]),), (Operand(site.node.outputs[0]),))

    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (self.shape(attributes, inputs[0]),)

    @abstractmethod
    def shape(self, attributes: Any, x: Shape) -> Shape: ...

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            assert arrays[0] is not None
            return (self.move(step.attributes, arrays[0]),)

        return Bound(evaluate, views=True)


def int_list(site: Site, index: int, what: str, most: int = 64) -> tuple[int, ...]:
    """A constant int64 input of rank 0 or 1, as a tuple. most: how many numbers make sense; axes are few."""
    values = site.const(index, what)
    if values.dtype.kind != "i" or values.ndim > 1:
        site.refuse(f"input {index} ({what})", "int64 of rank 1", f"{values.dtype} of shape {list(values.shape)}")
    if values.size > most:
        site.refuse(f"input {index} ({what})", f"at most {most} numbers", values.size)
    return tuple(int(value) for value in values.reshape(-1))


def axis_of(axis: int, rank: int) -> int:
    """The axis counted from the front. Raises ShapeError where there is no such axis."""
    if not -rank <= axis < rank:
        raise ShapeError(f"an axis in [{-rank}, {rank - 1}]", str(axis))
    return axis % rank
