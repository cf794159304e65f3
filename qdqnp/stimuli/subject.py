"""The layer under test: run alone, with what its outputs meet.

Nothing is claimed that was not run: every constructed input goes through the layer, and must meet its targets there.
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
    """bound: the layer alone, under the profile. against: under the two profiles to tell apart, if any; profiles: the
    one and these. network: the layer in its network and alone, both under 'ort', to see that it is the same. shapes: of
    all tensors. slots: the layer's inputs that are no constants."""

    bound: BoundStep
    against: tuple[BoundStep, ...]
    network: tuple[BoundStep, BoundStep]
    profiles: tuple[Profile, ...]
    shapes: Mapping[str, tuple[int, ...]]
    slots: Mapping[str, Slot]

    def run(self, kind: str, method: str, inputs: Mapping[str, Array], placed: Sequence[Placed] = ()) -> Stimulus:
        """The stimulus with what it meets. Raises QdqnpError where it does not meet what it was constructed for."""
        codes = _output(self.bound, inputs)
        met = met_by(self.bound, inputs)
        differ = self._differ(inputs, codes)
        for one in placed:
            self._check(one, met, differ)
        count = None if differ is None else int(np.count_nonzero(differ))
        return Stimulus(kind, method, inputs, {self.bound.step.label: measured(met, codes)}, placed, count)

    def compare(self, inputs: Mapping[str, Array]) -> None:
        """Raises QdqnpError where the layer alone is not what it is in its network."""
        there, here = (_output(bound, inputs) for bound in self.network)
        if there.tobytes() != here.tobytes():
            raise QdqnpError(
                "qdqnp contradicts itself",
                [Problem(f"layer '{self.bound.step.label}'", "the same output alone as in its network", "another")],
            )

    def _differ(self, inputs: Mapping[str, Array], codes: Array) -> Array | None:
        """Where the outputs under the two profiles differ, channels last. codes: under the profile itself."""
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
    return bound.evaluate(inputs)[bound.step.output_names[0]]


def asks(bound: BoundStep, kind: type[Question]) -> bool:
    """Whether the layer's operator asks questions of that kind."""
    return isinstance(bound.operator, IntegerOperator) and issubclass(bound.operator.asks, kind)


def sums_are_plain(bound: BoundStep, name: str, sheet: Sheet) -> bool:
    """Whether the layer's own sums for an input are those that it was constructed for."""
    values = {name: sheet.codes}
    found = channels_last(bound, _whole(bound, values, np.int64, lambda question: question.arguments[0]))
    return all(bool(found[placed.index] == placed.target.total) for placed in sheet.placed)


def met_by(bound: BoundStep, inputs: Mapping[str, Array]) -> Met:
    """What a layer's outputs meet on these inputs: by the stages of its sums, or else by the exact real value."""
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
    """What each question gives, in the shape of the output."""
    output = np.zeros(_shape(bound, inputs), dtype)
    for part in bound.questions(inputs):
        part.put(output, answer(part.question))
    return output


def channels_last(bound: BoundStep, array: Array) -> Array:
    """A layer's output with its channels last."""
    return np.moveaxis(array, bound.operator.channel_axis if array.ndim > 1 else -1, -1) if array.ndim else array
