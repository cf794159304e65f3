"""The layer under test: run it alone, and measure what its outputs meet.

Nothing is claimed that was not run: every constructed input goes through the layer and must meet its targets there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.errors import Problem, QdqnpError
from qdqnp.executor.events import marks
from qdqnp.executor.plan import BoundStep
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles.exact import EXACT
from qdqnp.numerics.questions import Question
from qdqnp.numerics.rules.undefined import Undefined
from qdqnp.numerics.values import named
from qdqnp.ops.integer.asking import IntegerOperator
from qdqnp.quant import Array
from qdqnp.stimuli import goals
from qdqnp.stimuli.coverage import Met, measured
from qdqnp.stimuli.patterns import Slot
from qdqnp.stimuli.place import Placed, Sheet
from qdqnp.stimuli.result import Stimulus
from qdqnp.stimuli.sums import bias_of


@dataclass(frozen=True, eq=False)
class Subject:
    """The layer under test, bound as a model of its own."""

    #: The layer alone, under the profile.
    bound: BoundStep
    #: The layer alone, under the two profiles to tell apart; empty without such profiles.
    against: tuple[BoundStep, ...]
    #: The layer in its network and alone, both under 'ort', to check that both are the same.
    network: tuple[BoundStep, BoundStep]
    #: The profile, and then the two to tell apart, if any.
    profiles: tuple[Profile, ...]
    #: The shapes of all tensors, by name.
    shapes: Mapping[str, tuple[int, ...]]
    #: The layer's inputs that are not constants, by name.
    slots: Mapping[str, Slot]

    def run(self, kind: str, method: str, inputs: Mapping[str, Array], placed: Sequence[Placed] = ()) -> Stimulus:
        """Run one input and return it with what it meets. Raises QdqnpError where it does not meet what it was
        constructed for."""
        codes = _output(self.bound, inputs)
        met = met_by(self.bound, inputs)
        differ = self._differ(inputs, codes)
        for one in placed:
            self._check(one, met, differ)
        count = None if differ is None else int(np.count_nonzero(differ))
        return Stimulus(kind, method, inputs, {self.bound.step.label: measured(met, codes)}, placed, count)

    def compare(self, inputs: Mapping[str, Array]) -> None:
        """Raise QdqnpError where the layer alone does not give the same output as in its network."""
        there, here = (_output(bound, inputs) for bound in self.network)
        if there.tobytes() != here.tobytes():
            raise QdqnpError(
                "qdqnp contradicts itself",
                [Problem(f"layer '{self.bound.step.label}'", "the same output alone as in its network", "another")],
            )

    def _differ(self, inputs: Mapping[str, Array], codes: Array) -> Array | None:
        """Return where the outputs under the two profiles differ, channels last; None without such profiles.

        inputs: the layer's inputs by name.
        codes: the output under the profile itself.
        """
        if not self.against:
            return None
        own, *others = self.profiles
        first, second = (
            codes if other == own else _output(bound, inputs) for bound, other in zip(self.against, others, strict=True)
        )
        return channels_last(self.bound, first != second)

    def _check(self, placed: Placed, met: Met, differ: Array | None) -> None:
        target, at = placed.target, placed.index
        bias = bias_of(self.bound)
        wanted = target.total + (bias[target.channel % len(bias)] if bias else 0)
        fine = met.accumulator is None or bool(met.accumulator[at] == wanted)
        for sign, goal in goals.TIE_GOALS.items():
            fine &= target.goal != goal or (met.ties is not None and bool(met.ties[at] == sign))
        fine &= target.goal != goals.DIFFERENCE or (differ is not None and bool(differ[at]))
        if not fine:
            problem = Problem(
                f"layer '{self.bound.step.label}', output element {list(at)}",
                f"{target.goal}, accumulator {wanted}",
                "another",
                "Its sums are not plain sums of products under this profile.",
            )
            raise QdqnpError("a constructed input does not do what it was made for", [problem])


def _output(bound: BoundStep, inputs: Mapping[str, Array]) -> Array:
    return bound.compute(inputs)[bound.step.output_names[0]]


def asks(bound: BoundStep, kind: type[Question]) -> bool:
    """Return whether the layer's operator asks questions of that kind."""
    return isinstance(bound.operator, IntegerOperator) and issubclass(bound.operator.asks, kind)


def sums_are_plain(bound: BoundStep, name: str, sheet: Sheet) -> bool:
    """Return whether the layer's own sums for an input are those that the input was constructed for."""
    values = {name: sheet.codes}
    found = channels_last(bound, _whole(bound, values, np.int64, lambda question: question.arguments[0]))
    return all(bool(found[placed.index] == placed.target.total) for placed in sheet.placed)


def met_by(bound: BoundStep, inputs: Mapping[str, Array]) -> Met:
    """Return what a layer's outputs meet on these inputs: by the stages of its sums, or else by the exact real
    value."""
    parts = bound.questions(inputs)
    found = [marks(part.question, bound.profile) for part in parts]
    shape = _shape(bound, inputs)

    def whole(arrays: Sequence[Array], dtype: Any) -> Array:
        output = np.zeros(shape, dtype)
        for part, array in zip(parts, arrays, strict=True):
            part.put(output, array)
        return channels_last(bound, output)

    there = [mark for mark in found if mark is not None]
    if parts and len(there) == len(parts):
        return Met(
            whole([mark.ties for mark in there], np.int8),
            whole([mark.low for mark in there], bool),
            whole([mark.high for mark in there], bool),
            whole([mark.accumulator for mark in there], np.int64),
            whole([mark.inner for mark in there], np.int64),
        )
    rules = [getattr(EXACT, part.question.rule) for part in parts]
    if not parts or any(isinstance(rule, Undefined) for rule in rules):
        return Met()
    asked = [(part.question, rule) for part, rule in zip(parts, rules, strict=True)]
    unclipped = whole([named(question.stages(rule), "unclipped") for question, rule in asked], np.int64)
    low, high = bound.step.y.range
    return Met(whole([question.ties(rule) for question, rule in asked], np.int8), unclipped < low, unclipped > high)


def _shape(bound: BoundStep, inputs: Mapping[str, Array]) -> tuple[int, ...]:
    assert isinstance(bound.operator, IntegerOperator)  # only such layers are subjects
    return bound.operator.output_shape(bound.step, bound.arrays(inputs))


def _whole(bound: BoundStep, inputs: Mapping[str, Array], dtype: Any, answer: Callable[[Question], Array]) -> Array:
    """Put what each question gives into the shape of the output."""
    output = np.zeros(_shape(bound, inputs), dtype)
    for part in bound.questions(inputs):
        part.put(output, answer(part.question))
    return output


def channels_last(bound: BoundStep, array: Array) -> Array:
    """Move the channels of a layer's output to the last axis."""
    return np.moveaxis(array, bound.operator.channel_axis if array.ndim > 1 else -1, -1) if array.ndim else array
