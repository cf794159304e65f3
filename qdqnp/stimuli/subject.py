"""The layer under test: run alone, with what its outputs meet.

Nothing is claimed that was not run: every constructed input goes through the layer, and must meet its targets there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.errors import Problem, QdqnpError
from qdqnp.executor.events import marks
from qdqnp.executor.plan import BoundStep
from qdqnp.numerics.profile import Profile
from qdqnp.quant import Array
from qdqnp.stimuli import goals
from qdqnp.stimuli.coverage import Met, measured
from qdqnp.stimuli.ideal import ideal
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


def sums_are_plain(bound: BoundStep, name: str, sheet: Sheet) -> bool:
    """Whether the layer's own sums for an input are those that it was constructed for."""
    assert bound.bound.detail is not None
    found, _ = bound.bound.detail(bound.arrays({name: sheet.codes}))
    return all(bool(found[placed.index] == placed.target.total) for placed in sheet.placed)


def met_by(bound: BoundStep, inputs: Mapping[str, Array]) -> Met:
    """What a layer's outputs meet on these inputs: by its stages, or else by its exact real value."""
    arrays = bound.arrays(inputs)
    found = marks(bound.bound, arrays)
    if found is not None:
        return Met(found.ties, found.low, found.high, found.accumulator, found.inner)
    real = ideal(bound, arrays)
    y = bound.step.outputs[0].quant
    if real is None or y is None:
        return Met()
    ties, unclipped = (channels_last(bound, part) for part in real)
    low, high = y.range
    return Met(ties, unclipped < low, unclipped > high)


def channels_last(bound: BoundStep, array: Array) -> Array:
    """A layer's output with its channels last; without the spatial axes of a global average, as its sums are."""
    if bound.step.op == "QLinearGlobalAveragePool":
        return array.reshape(array.shape[:2])
    axis = 1 if array.ndim > 1 and bound.step.op != "QLinearMatMul" else -1
    return np.moveaxis(array, axis, -1) if array.ndim else array
