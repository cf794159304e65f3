"""Replay: run the network from a device's own tensors, to tell a layer's own error from an inherited one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.diagnosis.align import Aligned
from qdqnp.diagnosis.remembered import Remembered
from qdqnp.diagnosis.targets import DumpTarget, dump_targets
from qdqnp.errors import InputError, Problem
from qdqnp.executor.plan import BoundStep
from qdqnp.executor.walk import made_by, walk
from qdqnp.golden_sets import GoldenSet
from qdqnp.model import Model, feeds_for
from qdqnp.numerics.profile import Profile
from qdqnp.program import Program
from qdqnp.quant import Array

Values = dict[str, Array]


@dataclass(frozen=True)
class Segment:
    """The steps that lead from known tensors to one tensor."""

    #: Indices of the steps in the program, in order; the last one makes the tensor.
    steps: tuple[int, ...]
    #: The known tensors that the steps read, in the order in which they are met going backwards.
    starts: tuple[str, ...]


def segment(program: Program, tensor: str, known: Collection[str]) -> Segment | None:
    """Return the segment of a tensor; None where the steps need anything besides `known` tensors and constants.

    The tensor itself is made even if it is known; other known tensors are not made again.
    """
    steps: set[int] = set()
    starts: dict[str, None] = {}
    wanted = [tensor]
    while wanted:
        name = wanted.pop()
        if name in known and name != tensor:
            starts[name] = None
            continue
        step = program.makers.get(name)
        if step is None:
            return None
        if program.order[step] not in steps:
            steps.add(program.order[step])
            wanted += [n for n in reversed(step.input_names) if program.tensors[n].const is None]
    return Segment(tuple(sorted(steps)), tuple(starts))


class Reference:
    """The expected result: every tensor of the model under a profile, for each case."""

    def __init__(self, model: Model, profile: Profile, feeds: Sequence[Mapping[str, Array]]) -> None:
        """Run the model on every case.

            model: the model.
            profile: the arithmetic to run it under.
            feeds: network inputs by name, for each case.

        Raises what `Model.run` raises.
        """
        self.model, self.profile = model, profile
        self.plan = model.plan(profile)
        #: By case, the network's inputs, or the codes that replace their quantizers.
        self.given: Sequence[Values] = Remembered(
            len(feeds), lambda case: feeds_for(self.plan, feeds[case], keep_all=True)
        )
        #: By case, every tensor by name, inputs included; those of many cases are made again when they are needed.
        self.cases: Sequence[Values] = Remembered(
            len(feeds), lambda case: {**self.given[case], **walk(self.plan, self.given[case], None)}
        )
        self.targets = dump_targets(self.plan, self.cases[0]) if self.cases else []
        self.target = {target.name: target for target in self.targets}
        #: The golden set that it was made from; None where there is none.
        self.golden: GoldenSet | None = None
        #: Names of the tensors that the set holds; None where there is no set.
        self.held: frozenset[str] | None = None
        self._bound: dict[tuple[int, Profile], BoundStep] = {}

    def step(self, index: int, profile: Profile | None = None) -> BoundStep:
        """Return a step of the plan, or the same step under another profile. Raises ProfileError where that profile
        does not define it."""
        own = self.plan.steps[index]
        if profile is None or profile is self.profile:
            return own
        key = (index, profile)
        if key not in self._bound:
            self._bound[key] = own.under(profile)
        return self._bound[key]


class Device:
    """The dumped tensors of each case as the network's steps see them, and what follows from them. A Device is
    immutable: `under` and `distrusting` make another one."""

    def __init__(self, reference: Reference, aligned: Aligned, first: int = 0) -> None:
        """Pair the dump with the reference's cases.

            reference: the expected result.
            aligned: the dump, paired with the reference's tensors.
            first: the case of the reference that corresponds to the dump's first case.

        Raises InputError where the reference has fewer cases than the dump.
        """
        self.reference = reference
        counts = [len(tensor.cases) for tensor in aligned.tensors.values()]
        self.first, self.count = first, max(counts, default=0)
        if first + self.count > len(reference.cases):
            problem = Problem("--case", f"at most {len(reference.cases) - self.count}", str(first))
            raise InputError("the golden set has fewer cases than the dump", [problem])
        self.tensors = dict(aligned.tensors)
        #: By operator, the profile that its layers are replayed under where it is not the reference's.
        self.arithmetic: Mapping[str, Profile] = {}
        #: By dumped tensor that does not hold what the device went on with: the right codes for each case.
        self.corrected: Mapping[str, Sequence[Array]] = {}
        #: By dumped tensor that a step makes.
        self.segments = self._segments()
        #: By case, what each step makes, see `replay`.
        self.replays: Sequence[Values] = Remembered(self.count, self.replay)

    def under(self, arithmetic: Mapping[str, Profile]) -> Device:
        """Return the same device, replayed under other profiles, which are given by operator."""
        return self._changed(arithmetic=arithmetic)

    def only(self, cases: range) -> Device:
        """Return the same device with some of its cases, which follow one another; itself for all of them."""
        if cases == range(self.count):
            return self
        tensors = {name: replace(t, cases=t.cases[cases.start : cases.stop]) for name, t in self.tensors.items()}
        return self._changed(tensors=tensors, first=self.first + cases.start, count=len(cases))

    def _changed(self, **changes: Any) -> Device:
        """Return a copy with other attributes; it replays anew."""
        made = copy(self)
        for name, value in changes.items():
            setattr(made, name, value)
        made.replays = Remembered(made.count, made.replay)
        return made

    def distrusting(self, name: str, right: Sequence[Array]) -> Device:
        """Return the same device with a dumped tensor replaced by the codes that the device went on with, one array for
        each case."""
        return self._changed(corrected={**self.corrected, name: right})

    def holders(self) -> dict[str, str]:
        """Map each tensor of codes to the dumped tensor that holds them: itself, or its dequantized values."""
        found: dict[str, str] = {}
        for name, tensor in self.tensors.items():
            codes = tensor.target.codes
            if codes == name or codes not in self.tensors:
                found[codes] = name
        return found

    def values(self, case: int) -> Values:
        """Return what the steps of a case start from: dumped codes within their dtype, and the network's inputs."""
        found = dict(self.reference.given[self.first + case])
        for codes, name in self.holders().items():
            target, array = self.tensors[name].target, self.tensors[name].cases[case]
            within = array if target.dtype.kind == "f" else np.clip(array, *target.limits)
            with np.errstate(over="ignore"):
                found[codes] = within.astype(target.dtype)
        right = {self.tensors[name].target.codes: arrays[case] for name, arrays in self.corrected.items()}
        return {**found, **right}

    def profile(self, op: str) -> Profile:
        """Return the profile that an operator is replayed under."""
        return self.arithmetic.get(op, self.reference.profile)

    def steps(self, indices: Iterable[int]) -> Iterator[BoundStep]:
        """Yield the steps under the profiles that they are replayed under. Raises ProfileError as `Reference.step`
        does."""
        for index in indices:
            yield self.reference.step(index, self.profile(self.reference.step(index).step.op))

    def replay(self, case: int) -> Values:
        """Return what each step makes, by tensor name. A step reads the device's own values where it has them, else
        what earlier steps made."""
        steps = self.steps(range(len(self.reference.plan.steps)))
        return made_by(steps, self.reference.given[self.first + case], self.values(case))

    def run_segment(self, name: str, values: Mapping[str, Array]) -> Array:
        """Compute the codes of a dumped tensor from `values` of its segment's starts."""
        return made_by(self.steps(self.segments[name].steps), {}, values)[self.tensors[name].target.codes]

    def _segments(self) -> dict[str, Segment]:
        given = self.reference.given[self.first]
        known = {*self.holders(), *given}
        found: dict[str, Segment] = {}
        for name, tensor in self.tensors.items():
            codes = tensor.target.codes
            leading = None if codes in given else segment(self.reference.plan.program, codes, known)
            if leading is not None:
                found[name] = leading
        return found


def expected(device: Device, target: DumpTarget, case: int, made: Mapping[str, Array]) -> Array:
    """Return what the replay gives for a dumped tensor; for a network input, the reference's value."""
    if target.codes in made:
        return made[target.codes]
    return device.reference.cases[device.first + case][target.codes]
