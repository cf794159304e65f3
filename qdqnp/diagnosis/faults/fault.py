"""Fault: one thing that may have gone wrong in a layer, written once for `compare` and for `explain --got`.

Most faults change what a layer asks of its arithmetic, or what answers: such a fault is a generator of `Changed`
questions, registered by `fault_of_question`. A few change the layer itself: `fault_of_layer`. `compare` asks each of
everything that the layer made, `explain` of one element.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from qdqnp.executor.plan import BoundStep
from qdqnp.graph import Sizes
from qdqnp.lazy import lazy
from qdqnp.numerics.questions import Products, Question, Rows, Singles, Sums, SumWeights
from qdqnp.numerics.questions.sums import Index, add_up
from qdqnp.ops.integer.asking import IntegerOperator, Part
from qdqnp.quant import Array, Codes, Quant

# Of more inputs than this a fault is tried in each by itself and in all at once only.
MAX_JOINED = 8


@dataclass(frozen=True, eq=False)
class Layer:
    """One evaluation of a layer: a step under the profile that computes it, and its inputs."""

    bound: BoundStep
    #: Arrays by tensor name; constants may be left out.
    values: Mapping[str, Array]

    @lazy
    def parts(self) -> Sequence[Part]:
        """What the layer asks, sums computed; () for operators that ask nothing."""
        return self.bound.questions(self.values)

    @lazy
    def shape(self) -> Sizes:
        """The shape of the output of a layer that asks."""
        assert isinstance(self.bound.operator, IntegerOperator)
        return self.bound.operator.output_shape(self.bound.step, self.bound.arrays(self.values))

    @property
    def sized(self) -> bool:
        """Whether the sizes of the outputs follow from those of the inputs, whatever the inputs hold."""
        shapes = [None if array is None else array.shape for array in self.bound.arrays(self.values)]
        made = self.bound.operator.shapes(self.bound.step.attributes, *shapes)
        return all(isinstance(size, int) for shape in made for size in shape)

    def rule(self, question: Question) -> Any:
        """The rule that answers."""
        return getattr(self.bound.profile, question.rule)


@dataclass(frozen=True)
class ElementPlace:
    """One element of a layer's output."""

    #: In the output.
    index: Index
    #: Which of the layer's questions decides it, and where it is in the shape of the question's codes; None for both
    #: where none does.
    part: int | None = None
    at: Index | None = None


def place(layer: Layer, index: Index) -> ElementPlace:
    """Where an element of the output is among the layer's questions."""
    for number, part in enumerate(layer.parts):
        at = part.locate(index, layer.shape)
        if at is not None:
            return ElementPlace(index, number, at)
    return ElementPlace(index)


# -- variants ----------------------------------------------------------------------------------------------------------
class Variant(ABC):
    """One way in which a fault may happen to a layer."""

    #: In which way, in words; '' where the fault can happen in one way only.
    text: str
    #: The output channels that it concerns, where it may have befallen some of them and spared the others.
    channels: Sequence[int] | None = None
    #: Whether it is one of so many that one or the other gives any value: one element says nothing about it.
    many: bool = False
    #: Whether another variant does the same to more of the layer: one element cannot tell these apart.
    partial: bool = False

    @abstractmethod
    def output(self) -> Array:
        """All that the layer makes. Raises ProfileError where the arithmetic is not defined for it."""

    @abstractmethod
    def code(self, place: ElementPlace) -> int | float | None:
        """One element of it; None where the variant does not concern the element."""


def as_they_are(codes: Array) -> Array:
    return codes


@dataclass(frozen=True, eq=False)
class Changed:
    """A question as a fault has it, what answers it, and what happens to the answers."""

    question: Question
    #: As of `Variant`, which see for `channels` and `many` too.
    text: str = ""
    #: What answers in place of the profile's rule; None for that rule itself.
    rule: Any = None
    #: From the answer's codes to those that the layer shows, element by element.
    finish: Callable[[Codes], Array] = as_they_are
    channels: Sequence[int] | None = None
    many: bool = False


@dataclass(frozen=True, eq=False)
class ChangedQuestions(Variant):
    """A layer some of whose questions are changed."""

    layer: Layer
    text: str
    #: By number of the question.
    changes: Mapping[int, Changed]
    channels: Sequence[int] | None = None
    many: bool = False
    partial: bool = False

    def output(self) -> Array:
        with np.errstate(all="ignore"):
            answers = [self._answers(number, part.question) for number, part in enumerate(self.layer.parts)]
        made = np.empty(self.layer.shape, np.result_type(*answers))
        for part, found in zip(self.layer.parts, answers, strict=True):
            part.put(made, found)
        return made

    def _answers(self, number: int, own: Question) -> Array:
        changed = self.changes.get(number, Changed(own))
        return changed.finish(changed.question.codes(changed.rule or self.layer.rule(own)))

    def code(self, place: ElementPlace) -> int | float | None:
        if place.part is None or place.at is None or place.part not in self.changes:
            return None
        changed, own = self.changes[place.part], self.layer.parts[place.part].question
        one = only(changed.question, place.at, own.shape)
        with np.errstate(all="ignore"):
            codes = changed.finish(one.codes(changed.rule or self.layer.rule(own)))
        found: int | float = codes.reshape(-1)[column(own, place.at)].item()
        return found


@dataclass(frozen=True, eq=False)
class Computed(Variant):
    """A layer that is computed in another way altogether."""

    text: str
    compute: Callable[[], Array]

    def output(self) -> Array:
        return self.compute()

    def code(self, place: ElementPlace) -> int | float | None:
        found: int | float = self.output()[place.index].item()
        return found


def column(question: Question, at: Index) -> int:
    """Where an element stands in what `only` gives: its channel, or its place in a row."""
    return at[-1] if isinstance(question, Sums | Rows) else 0


def only(question: Question, at: Index, shape: Sizes) -> Question:
    """The part of a question that decides one element; of changed products only the element's own are added up.

    shape: of the question's codes, which a question that is not answered yet would have to compute.
    """
    if isinstance(question, Sums) and question.known is None and question.products is not None:
        sums = add_up(Position(question.products, at[0]), question.accumulate)
        question = replace(question, known=np.broadcast_to(sums, shape))
    flat = int(np.ravel_multi_index(at, shape))
    return question.part(slice(flat, flat + 1))


@dataclass(frozen=True, eq=False)
class Position:
    """The products of one position."""

    products: Products
    position: int

    @property
    def x(self) -> Quant:
        return self.products.x

    @property
    def w(self) -> Quant:
        return self.products.w

    @property
    def weights(self) -> SumWeights:
        return self.products.weights

    @property
    def shape(self) -> Sizes:
        return (1, self.products.shape[1])

    def columns(self) -> Codes:
        return self.products.columns()[..., self.position : self.position + 1]

    def terms(self, position: int, channel: int) -> Iterator[tuple[Index | None, Index]]:
        return self.products.terms(self.position + position, channel)


# -- the list ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class LayerFault:
    """What may have gone wrong, and every way in which it may."""

    kind: str
    #: The ways, the likeliest first.
    variants: Callable[[Layer], Iterator[Variant]]
    #: What it is called where only one of several channels has it; '' for the same.
    in_one_channel: str = ""

    @property
    def kinds(self) -> tuple[str, ...]:
        """All that it may be called."""
        return (self.kind, self.in_one_channel) if self.in_one_channel else (self.kind,)


#: In the order in which they were registered: the more a fault leaves open, the later it should come.
FAULTS: list[LayerFault] = []

# (question, the rule that answers it) -> as the fault has it
Changes = Callable[[Any, Any], Iterator[Changed]]
Ways = Callable[[Layer], Iterator[Variant]]


def fault_of_question(kind: str, *asked: type[Question], in_one_channel: str = "") -> Callable[[Changes], Changes]:
    """Registers a function as the fault `kind` of layers that ask such questions, by default of all that ask any. Of a
    layer with several inputs that are asked about one by one it may befall some of them."""

    def register(changes: Changes) -> Changes:
        FAULTS.append(changing(kind, changes, *asked, in_one_channel=in_one_channel))
        return changes

    return register


def changing(kind: str, changes: Changes, *asked: type[Question], in_one_channel: str = "") -> LayerFault:
    """Return a fault that changes questions, without registering it."""
    return LayerFault(kind, lambda layer: _variants(layer, changes, asked), in_one_channel)


def fault_of_layer(kind: str) -> Callable[[Ways], Ways]:
    """Registers a function as the fault `kind` of any layer."""

    def register(ways: Ways) -> Ways:
        FAULTS.append(LayerFault(kind, ways))
        return ways

    return register


def kinds() -> list[str]:
    """The names of all faults, none twice."""
    return list(dict.fromkeys(kind for fault in FAULTS for kind in fault.kinds))


def _variants(layer: Layer, changes: Changes, asked: tuple[type[Question], ...]) -> Iterator[Variant]:
    """The changes of the same text of all questions; where each is about another input, also of some of them."""
    by_text: dict[str, dict[int, Changed]] = {}
    for number, part in enumerate(layer.parts):
        if isinstance(part.question, asked or Question):
            for changed in changes(part.question, layer.rule(part.question)):
                by_text.setdefault(changed.text, {})[number] = changed
    for text, changed_parts in by_text.items():
        first = next(iter(changed_parts.values()))
        yield ChangedQuestions(layer, text, changed_parts, first.channels, first.many)
        for chosen in _fewer(tuple(changed_parts)) if Singles in asked else ():
            told = ", ".join(words for words in (text, _inputs(layer.parts, chosen)) if words)
            yield ChangedQuestions(layer, told, {number: changed_parts[number] for number in chosen}, partial=True)


def _fewer(numbers: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Some of the questions, fewer and fewer."""
    for size in range(len(numbers) - 1, 0, -1) if len(numbers) <= MAX_JOINED else (1,):
        yield from combinations(numbers, size)


def _inputs(parts: Sequence[Part], numbers: Sequence[int]) -> str:
    operands = [question.operand for question in (parts[n].question for n in numbers) if isinstance(question, Singles)]
    return f"input{'s' if len(operands) > 1 else ''} {', '.join(map(str, operands))}"
