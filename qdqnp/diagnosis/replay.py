"""Replay: the network run from a device's own tensors, so that a layer's own error is told from what it inherited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from qdqnp.diagnosis.align import Aligned
from qdqnp.diagnosis.rebind import bind
from qdqnp.diagnosis.targets import Target, targets
from qdqnp.errors import InputError, Problem
from qdqnp.executor.plan import BoundStep
from qdqnp.executor.walk import walk
from qdqnp.model import Model, feeds_for
from qdqnp.numerics.profile import Profile
from qdqnp.quant import Array

Values = dict[str, Array]


class Reference:
    """What a device should have made: every tensor of the model under a profile, for each case.

    feeds: network inputs by name for each case. cases: every tensor by name for each case, inputs included.
    """

    def __init__(self, model: Model, profile: Profile, feeds: Sequence[Mapping[str, Array]]) -> None:
        self.profile = profile
        self.plan = model.plan(profile)
        self.given = [feeds_for(self.plan, case) for case in feeds]
        self.cases: list[Values] = [{**given, **walk(self.plan, given, None)} for given in self.given]
        self.targets = targets(self.plan, self.cases[0]) if self.cases else []
        self.target = {target.name: target for target in self.targets}
        self._bound: dict[tuple[int, Profile], BoundStep] = {}

    def step(self, index: int) -> BoundStep:
        return self.plan.steps[index]

    def evaluate(self, index: int, values: Mapping[str, Array], profile: Profile) -> Values:
        """Outputs of one step by name under a profile. Raises ProfileError where it does not define the step."""
        bound = self.step(index)
        if profile is self.profile:
            return bound.evaluate(values)
        key = (index, profile)
        if key not in self._bound:
            self._bound[key] = bind(bound, profile)
        return self._bound[key].evaluate(values)


@dataclass
class Segment:
    """The steps between a dumped tensor and the dumped tensors (or network inputs) that it was made from."""

    steps: list[int] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)


class Device:
    """The dumped tensors of each case as the network's steps see them, and what follows from them.

    dumped: by case, codes by the tensor that holds them. arithmetic: the profile that an operator is replayed under
    where it is not the reference's. untrusted: dumped tensors that do not hold what the device went on with;
    corrected: by case, the codes that it went on with.
    """

    def __init__(self, reference: Reference, aligned: Aligned, first: int = 0) -> None:
        self.reference = reference
        counts = [len(tensor.cases) for tensor in aligned.tensors.values()]
        self.first, self.count = first, max(counts, default=0)
        if first + self.count > len(reference.cases):
            problem = Problem("--case", f"at most {len(reference.cases) - self.count}", str(first))
            raise InputError("the golden set has fewer cases than the dump", [problem])
        self.tensors = dict(aligned.tensors)
        self.arithmetic: dict[str, Profile] = {}
        self.untrusted: set[str] = set()
        self.corrected: list[Values] = [{} for _ in range(self.count)]
        self.segments = self._segments()

    def holders(self) -> dict[str, str]:
        """Tensor of codes -> the dumped tensor that tells them: itself, or its dequantized values."""
        found: dict[str, str] = {}
        for name, tensor in self.tensors.items():
            codes = tensor.target.codes
            if codes == name or codes not in self.tensors:
                found[codes] = name
        return found

    def values(self, case: int) -> Values:
        """What steps of a case start from: dumped codes within their dtype, and the network's inputs."""
        found = dict(self.reference.given[self.first + case])
        for codes, name in self.holders().items():
            if name not in self.untrusted:
                target = self.tensors[name].target
                array = self.tensors[name].cases[case]
                found[codes] = np.clip(array, *target.limits).astype(target.dtype)
        return {**found, **self.corrected[case]}

    def distrust(self, name: str, right: Sequence[Array]) -> None:
        """Go on with these codes, one array for each case, in place of a dumped tensor."""
        self.untrusted.add(name)
        for case, array in enumerate(right):
            self.corrected[case][self.tensors[name].target.codes] = array

    def profile(self, op: str) -> Profile:
        return self.arithmetic.get(op, self.reference.profile)

    def replay(self, case: int) -> Values:
        """What each step makes from the device's own values, where it has them, and else from what earlier steps made;
        by tensor name."""
        known, made = self.values(case), dict[str, Array]()
        for index, bound in enumerate(self.reference.plan.steps):
            step = bound.step
            if all(name in self.reference.given[self.first + case] for name in step.output_names):
                continue
            inputs = {n: known[n] if n in known else made[n] for n in step.input_names if n not in bound.consts}
            made.update(self.reference.evaluate(index, inputs, self.profile(step.op)))
        return made

    def run_segment(self, name: str, values: Mapping[str, Array]) -> Array:
        """The codes of a dumped tensor, from `values` of its segment's starts."""
        known = dict(values)
        target = self.tensors[name].target
        for index in self.segments[name].steps:
            bound = self.reference.step(index)
            made = self.reference.evaluate(index, known, self.profile(bound.step.op))
            known = {**known, **made}
        return known[target.codes]

    def _segments(self) -> dict[str, Segment]:
        """The segment of each dumped tensor that a step makes."""
        holders = self.holders()
        given = self.reference.given[self.first]
        of: dict[str, Segment] = {}
        for index, bound in enumerate(self.reference.plan.steps):
            steps, starts = {index}, dict[str, None]()
            for source in bound.step.input_names:
                if source in holders or source in given:
                    starts[source] = None
                elif source in of:
                    steps |= set(of[source].steps)
                    starts.update(dict.fromkeys(of[source].starts))
            of.update({name: Segment(sorted(steps), list(starts)) for name in bound.step.output_names})
        codes = {name: tensor.target.codes for name, tensor in self.tensors.items()}
        return {name: of[code] for name, code in codes.items() if code in of and code not in given}


def expected(device: Device, target: Target, case: int, made: Mapping[str, Array]) -> Array:
    """What the replay says of a dumped tensor: for a network input, the reference's."""
    if target.codes in made:
        return made[target.codes]
    return device.reference.cases[device.first + case][target.codes]
