"""Suspect: one dumped tensor that differs, with all that a recognizer of faults may look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.replay import Device, Values
from qdqnp.errors import QdqnpError
from qdqnp.executor.plan import BoundStep
from qdqnp.executor.walk import made_by
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.questions import Summed
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.ops.integer.asking import Part
from qdqnp.program import Step
from qdqnp.quant import Array, Int64

# (inputs of the step by name) -> its first output
Change = Callable[[Mapping[str, Array]], Array]


@dataclass(frozen=True)
class Finding:
    """A fault that explains every mismatch of a tensor. kind: one of faults.KINDS; detail: which one, in words."""

    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} ({self.detail})" if self.detail else self.kind


class Suspect:
    """One step of the segment of a dumped tensor that differs, suspected of the difference."""

    def __init__(self, device: Device, name: str, index: int, want: Sequence[Array]) -> None:
        """name: the dumped tensor. index: the suspected step. want: the replay's codes for each case."""
        self.device = device
        self.target = device.tensors[name].target
        self.segment = device.segments[name]
        self.index = index
        #: The suspected step as the reference computes it.
        self.bound: BoundStep = device.reference.step(index)
        #: The device's codes for each case, int64 where the dump leaves the dtype's range.
        self.got = device.tensors[name].cases
        #: The replay's codes for each case.
        self.want = list(want)
        #: What the suspected step is computed by.
        self.profile: Profile = device.profile(self.bound.step.op)
        #: By case, everything that the suspected step may read, by tensor name.
        self.values: list[Values] = [self._before(case) for case in range(device.count)]

    @property
    def step(self) -> Step:
        return self.bound.step

    @property
    def alone(self) -> bool:
        """Whether the tensor is this step's own output."""
        return self.segment.steps == (self.index,)

    @cached_property
    def differs(self) -> list[Array]:
        """Where the device's codes differ, for each case."""
        return [got != want for got, want in zip(self.got, self.want, strict=True)]

    @cached_property
    def bad_cases(self) -> list[int]:
        return [case for case, mask in enumerate(self.differs) if mask.any()]

    def _before(self, case: int) -> Values:
        """Everything that the suspected step may read."""
        known = self.device.values(case)
        before = (index for index in self.segment.steps if index < self.index)
        return {**made_by(self.device.steps(before), {}, known), **known}

    def finish(self, case: int, output: Array) -> Array:
        """The target's codes, if the suspected step's output were this."""
        if self.alone:
            return output
        known = {**self.values[case], self.step.output_names[0]: output}
        after = (index for index in self.segment.steps if index > self.index)
        return {**known, **made_by(self.device.steps(after), {}, known)}[self.target.codes]

    def explained(self, change: Change) -> bool:
        """Whether a changed step explains every case, element by element."""
        try:
            return all(
                np.array_equal(self.finish(case, change(self.values[case])), self.got[case])
                for case in (*self.bad_cases, *(c for c in range(len(self.got)) if c not in self.bad_cases))
            )
        except QdqnpError:  # outside the arithmetic's domain: then this is not what happened
            return False

    def channels(self, change: Change) -> list[int] | None:
        """The channels (axis 1) in which a changed step explains the mismatches, the others being right; None where
        it does not. All channels that differ anywhere are taken in every case."""
        if not self.alone or self.want[0].ndim < 2:
            return None
        axes = tuple(axis for axis in range(self.want[0].ndim) if axis != 1)
        bad = np.any([mask.any(axis=axes) for mask in self.differs], axis=0)
        try:
            for case in range(len(self.got)):
                made = change(self.values[case])
                if not np.array_equal(made[:, bad], self.got[case][:, bad]):
                    return None
        except QdqnpError:
            return None
        return [int(channel) for channel in np.flatnonzero(bad)]

    def evaluate(
        self,
        values: Mapping[str, Array],
        step: Step | None = None,
        consts: Mapping[str, Array] | None = None,
        profile: Profile | None = None,
    ) -> Array:
        """The suspected step, changed, on its inputs."""
        return rebind.evaluate(self.bound, values, profile or self.profile, step, consts)

    @cached_property
    def sums(self) -> dict[int, list[tuple[Part, Requantizer]]] | None:
        """By case, the step's questions about sums, each with its bound rule; None for steps that requantize none."""
        found: dict[int, list[tuple[Part, Requantizer]]] = {}
        for case, values in enumerate(self.values):
            parts = rebind.bind(self.bound, self.profile).questions(values)
            if not parts or not all(isinstance(part.question, Summed) for part in parts):
                return None
            rules = [part.question.bind(getattr(self.profile, part.question.rule)) for part in parts]
            found[case] = list(zip(parts, rules, strict=True))
        return found

    def from_sums(self, codes: Callable[[Int64, Requantizer], Array]) -> bool:
        """Whether codes computed from the step's sums, channels last in both, explain every case."""
        if self.sums is None:
            return False
        try:
            for case in (*self.bad_cases, *(c for c in range(len(self.got)) if c not in self.bad_cases)):
                output = self.device.reference.cases[self.device.first][self.step.output_names[0]]
                made = [(part, codes(part.question.arguments[0], rule)) for part, rule in self.sums[case]]
                whole = np.empty(output.shape, made[0][1].dtype)
                for part, answers in made:
                    part.put(whole, answers)
                if not np.array_equal(self.finish(case, whole), self.got[case]):
                    return False
        except QdqnpError:
            return False
        return True


Recognizer = Callable[[Suspect], Iterable[Finding]]
