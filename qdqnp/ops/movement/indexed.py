"""Operators that read or write elements at places which an input of indices names.

Indices that are constants are attributes, and what an output element comes from is one input element. Indices that are
computed are an operand: which element it is, only a run knows.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.graph import Shape, concrete
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Operand, Step
from qdqnp.quant import Array, Int64


@dataclass(frozen=True, eq=False)
class IndexedAttributes:
    #: The indices where they are constants; else None.
    _indices: Array | None = None


class Indexed(Operator):
    """The inputs are data, indices, and for some operators updates."""

    #: The dtypes that indices may have.
    index_dtypes: ClassVar[tuple[Any, ...]] = (np.int64, np.int32)
    #: How many inputs of updates there are.
    updates: ClassVar[int] = 0
    Attributes = IndexedAttributes
    arity = (2, 2)

    @abstractmethod
    def shape(self, attributes: Any, x: Shape, indices: Shape, *updates: Shape) -> Shape:
        """Return the output's shape. Raises ShapeError."""

    @abstractmethod
    def limits(self, attributes: Any, x: tuple[int, ...], indices: tuple[int, ...]) -> Any:
        """Return how many places there are for each index: an array that broadcasts to the indices."""

    @abstractmethod
    def move(self, attributes: Any, x: Array, indices: Int64, *updates: Array) -> Array:
        """Return the output; the indices count from the front."""

    def attributes(self, check: NodeCheck) -> Any:
        check.dtype_in(1, self.index_dtypes, "indices")
        return replace(super().attributes(check), _indices=check.value(1).const)

    def index_places(self, attributes: Any, x: Shape, *others: Any) -> int:
        if attributes._indices is not None or not all(isinstance(size, int) for size in (*x, *others[0])):
            return 0
        return int(np.min(self.limits(attributes, concrete(x), concrete(others[0])), initial=np.iinfo(np.int64).max))

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        values = [check.value(index) for index in range(len(check.inputs))]
        for index in range(2, len(check.inputs)):
            check.dtype_in(index, (values[0].dtype,), "updates")
        return ((values[0].dtype, self.shapes(attributes, *(value.shape for value in values))[0]),)

    def step(self, check: NodeCheck, attributes: Any) -> Step:
        known = attributes._indices is not None
        names = check.node.inputs[: 2 + self.updates]
        operands = [None if at == 1 and known else Operand(name) for at, name in enumerate(names)]
        return self.make_step(check, attributes, operands, (Operand(check.node.outputs[0]),))

    def shapes(self, attributes: Any, x: Shape, indices: Shape | None, *updates: Shape) -> tuple[Shape, ...]:
        shape = self.shape(attributes, x, attributes._indices.shape if indices is None else indices, *updates)
        known = tuple(size for size in x if isinstance(size, int))
        if attributes._indices is not None and len(known) == len(x):
            wrong = self._beyond(attributes, known, attributes._indices)
            if wrong is not None:
                raise ShapeError(*wrong)
        return (shape,)

    def compute(self, binding: Binding, x: Array, indices: Array | None, *updates: Array) -> tuple[Array, ...]:
        attributes = binding.step.attributes
        if indices is None:
            indices = attributes._indices
        wrong = self._beyond(attributes, x.shape, indices)
        if wrong is not None:
            problem = Problem(f"step {binding.step.label}, indices", *wrong)
            raise ProfileError("an index is beyond what it counts", [problem])
        return (self.move(attributes, x, self._from_the_front(attributes, x, indices), *updates),)

    def _beyond(self, attributes: Any, x: tuple[int, ...], indices: Array) -> tuple[str, str] | None:
        """Return what is expected and what was found where an index lies outside; None where none does."""
        limits = np.broadcast_to(self.limits(attributes, x, indices.shape), indices.shape)
        wide = indices.astype(np.int64)
        wrong = (wide < -limits) | (wide >= limits)
        if not wrong.any():
            return None
        at = int(np.argmax(wrong.reshape(-1)))
        limit = int(limits.reshape(-1)[at])
        return f"indices in [{-limit}, {limit - 1}]", str(int(wide.reshape(-1)[at]))

    def _from_the_front(self, attributes: Any, x: Array, indices: Array) -> Int64:
        limits = self.limits(attributes, x.shape, indices.shape)
        wide = indices.astype(np.int64)
        return np.where(wide < 0, wide + limits, wide)

    def origin(self, step: Step, output: int, index: Index, x: Array, indices: Array | None, *updates: Array) -> Any:
        if indices is None:
            given = self._from_the_front(step.attributes, x, step.attributes._indices)
            return self.move(step.attributes, x, given, *updates)[index]
        parts = [*self.candidates(step.attributes, index, x, indices), *(update.reshape(-1) for update in updates)]
        return np.concatenate([np.reshape(part, -1) for part in parts])

    def candidates(self, attributes: Any, index: Index, x: Array, indices: Array) -> list[Array]:
        """Return the numbers of all data and indices that an output element may come from."""
        return [x, indices]
