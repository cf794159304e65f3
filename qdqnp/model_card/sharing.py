"""Which tensors may share memory: an output takes the place of an input, and a join's inputs lie in its output.

Neither is done by every compiler, so that each is an assumption, and figures say which of them they rest on.

in place   Each output element is computed from the element of one input in the same place, and nothing reads that
           input, or what shares memory with it, afterwards. What keeps all elements and their order (Reshape, Flatten)
           needs no copy even where its input is read again.
joins      What makes an input of a Concat writes into the Concat's output, where the inputs lie one behind the other:
           all axes before the joined one are 1. An input that is rescaled must not be read afterwards.

A network's inputs are never overwritten, nor moved into a join.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from qdqnp.element_types import PACKED
from qdqnp.executor.plan import BoundStep
from qdqnp.inspection.lifetimes import Lifetime, Lifetimes
from qdqnp.ops.integer.pairwise import PairwiseOperator
from qdqnp.ops.integer.qlinear_concat import QLinearConcat
from qdqnp.ops.integer.unary import SinglesOperator
from qdqnp.ops.movement.concat import Concat
from qdqnp.ops.movement.flatten import Flatten
from qdqnp.ops.movement.identity import Identity
from qdqnp.ops.movement.reshape import Reshape
from qdqnp.ops.movement.squeeze import Squeeze
from qdqnp.ops.movement.unsqueeze import Unsqueeze

#: Operators that keep all elements and their order.
KEEPING = (Flatten, Identity, Reshape, Squeeze, Unsqueeze)
JOINING = (Concat, QLinearConcat)


@dataclass(frozen=True, eq=False)
class SharedMemory:
    """The pieces of memory that a run needs; each holds one tensor, or several."""

    #: Each piece by the name of a tensor that is as large; it lives from the first of its tensors to the last.
    pieces: tuple[Lifetime, ...]
    #: The piece of each tensor, and at which of its bytes the tensor begins.
    places: Mapping[str, tuple[str, int]]


def shared(found: Lifetimes, in_place: bool, joins: bool) -> SharedMemory:
    """Return the pieces of memory that a run needs under the assumptions made.

    found: the tensors of a run.
    in_place: whether an output may take the place of an input.
    joins: whether what makes an input of a join writes into its output.
    """
    pieces = _Pieces(found)
    for index, bound in enumerate(found.steps):
        if isinstance(bound.operator, JOINING):
            if joins:
                pieces.join(index, bound)
        elif in_place:
            pieces.reuse(index, bound)
    return pieces.memory()


@dataclass
class _Pieces:
    """Tensors grouped by the piece of memory in which they lie."""

    found: Lifetimes
    tensors: dict[str, Lifetime] = field(init=False)
    #: The piece of each tensor, by the name of a tensor that is as large, and where the tensor begins in it.
    places: dict[str, tuple[str, int]] = field(init=False)
    #: The tensors of each piece.
    members: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.tensors = {tensor.name: tensor for tensor in self.found.tensors}
        self.places = {name: (name, 0) for name in self.tensors}
        self.members = {name: [name] for name in self.tensors}

    def reuse(self, index: int, bound: BoundStep) -> None:
        """Put the output of a step in the place of an input, where one may be replaced."""
        (made, *others) = bound.step.output_names
        if others or made not in self.tensors:
            return
        for name in self._replaceable(index, bound):
            if self.tensors[name].nbytes == self.tensors[made].nbytes:
                self._move(made, *self.places[name])
                return

    def join(self, index: int, bound: BoundStep) -> None:
        """Put the inputs of a join into its output, where they may lie there."""
        step, made = bound.step, bound.step.output_names[0]
        shape, dtype = self.found.shapes[made], bound.tensors[made].dtype
        before = shape[: step.attributes.axis % len(shape)] if shape else ()
        if math.prod(before) != 1 or made not in self.tensors or dtype in PACKED:
            return
        begins = 0
        for name in step.input_names:
            if self._may_move(index, bound, name):
                self._move(self.places[name][0], made, begins)
            begins += math.prod(self.found.shapes[name]) * dtype.itemsize

    def memory(self) -> SharedMemory:
        """Return the pieces in the order in which they begin, and the place of each tensor."""
        made = []
        for piece, names in self.members.items():
            lives = [self.tensors[name] for name in names]
            first, last = min(life.first for life in lives), max(life.last for life in lives)
            made.append(Lifetime(piece, self.tensors[piece].nbytes, first, last))
        return SharedMemory(tuple(sorted(made, key=lambda piece: piece.first)), self.places)

    def _replaceable(self, index: int, bound: BoundStep) -> Iterator[str]:
        """Yield the inputs whose memory an output may take that is as large: none is then broadcast."""
        operator, names = bound.operator, [name for name in bound.step.input_names if name in self.tensors]
        if isinstance(operator, KEEPING):
            yield from names[:1]
        elif operator.elementwise or isinstance(operator, PairwiseOperator | SinglesOperator):
            yield from (name for name in names if self._own(name) and not self._read_after(name, index))

    def _may_move(self, index: int, bound: BoundStep, name: str) -> bool:
        """Tell whether an input of a join fills a piece of its own, which whoever makes it may write elsewhere."""
        if name not in self.tensors or not self._own(name):
            return False
        piece, begins = self.places[name]
        alone = begins == 0 and self.tensors[piece].nbytes == self.tensors[name].nbytes
        return alone and (_same_codes(bound, name) or not self._read_after(name, index))

    def _own(self, name: str) -> bool:
        """Tell whether a tensor shares no memory with an input of the network."""
        return not any(other in self.found.inputs for other in self.members[self.places[name][0]])

    def _read_after(self, name: str, index: int) -> bool:
        """Tell whether a tensor, or one that shares memory with it, is read after a step, as outputs always are."""
        others = self.members[self.places[name][0]]
        return any(self.tensors[other].last > index or other in self.found.outputs for other in others)

    def _move(self, source: str, target: str, begins: int) -> None:
        """Put a piece into another one."""
        for name in self.members.pop(source):
            self.places[name] = (target, self.places[name][1] + begins)
            self.members[target].append(name)


def _same_codes(bound: BoundStep, name: str) -> bool:
    """Tell whether a join copies an input as it is."""
    y = bound.step.outputs[0].quant
    quants = [operand.quant for operand in bound.step.inputs if operand is not None and operand.name == name]
    return all(y is None or quant is None or quant.same_as(y) for quant in quants)
