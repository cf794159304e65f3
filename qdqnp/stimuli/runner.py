"""Run a network on inputs and measure what each layer meets, wherever the engine has it done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np

from qdqnp.engine import Shard, Workplace, digest, opened
from qdqnp.engine.run import Run
from qdqnp.executor.plan import Plan
from qdqnp.executor.walk import walk
from qdqnp.model import Model, feeds_for
from qdqnp.numerics.profile import Profile
from qdqnp.quant import Array
from qdqnp.stimuli.coverage import Coverage, measured
from qdqnp.stimuli.result import Stimulus
from qdqnp.stimuli.subject import met_by

Inputs = Mapping[str, Array]


@dataclass(frozen=True)
class StimulusJob:
    """Runs a network on one input: finds each layer's coverage by label, and how many elements two profiles make
    differently."""

    #: The network.
    model: Model
    #: The arithmetic.
    profile: Profile
    #: The two profiles to tell apart; empty without such profiles.
    pair: tuple[Profile, ...] = ()

    def identity(self) -> Mapping[str, Any]:
        profiles = [digest(profile) for profile in (self.profile, *self.pair)]
        return {"stimulate": digest(self.model.graph), "profiles": profiles}

    def blobs(self) -> Mapping[str, bytes]:
        return {}

    def prepare(self, blobs: Mapping[str, bytes]) -> Callable[[Inputs], Any]:
        plan = self.model.plan(self.profile)
        pair = tuple(self.model.plan(other, self.profile.lowering) for other in self.pair)
        labels = _labels(plan)

        def met(inputs: Inputs) -> list[Any]:
            feeds = feeds_for(plan, inputs, keep_all=True)
            values = {**feeds, **walk(plan, feeds, None)}
            coverage = [
                [label, measured(met_by(bound, values), values[bound.step.output_names[0]]).as_partial()]
                for label, bound in zip(labels, plan.steps, strict=True)
                if bound.operator.rule
            ]
            return [coverage, _differing(pair, feeds)]

        return met


def _labels(plan: Plan) -> list[str]:
    """Name each step: its label, or what it makes where two steps have the same label."""
    labels = [bound.step.label for bound in plan.steps]
    return [
        label if labels.count(label) == 1 else bound.step.output_names[0]
        for label, bound in zip(labels, plan.steps, strict=True)
    ]


def _differing(pair: Sequence[Plan], feeds: Inputs) -> int | None:
    """Count the elements, over all tensors, on which the two profiles differ."""
    if not pair:
        return None
    first, second = (walk(plan, feeds, None) for plan in pair)
    return sum(int(np.count_nonzero(first[name] != second[name])) for name in first)


@dataclass(frozen=True, eq=False)
class Runner:
    """Runs the network on inputs and measures every layer."""

    #: Computes shards.
    run: Run
    #: How many inputs may be computed before it is known whether they are of use.
    ahead: int
    #: Called after each run.
    notify: Callable[[], None]

    def each(self, kind: str, method: str, inputs: Sequence[Inputs]) -> Iterator[Stimulus]:
        """Yield the stimulus of each of the inputs, in order."""
        shards = (Shard(index, dict(one), digest(one)) for index, one in enumerate(inputs))
        for one, (coverage, differing) in zip(inputs, self.run(shards, None), strict=True):
            self.notify()
            found = {label: Coverage.from_partial(partial) for label, partial in coverage}
            yield Stimulus(kind, method, one, found, differing=differing)


#: How many inputs are computed ahead where it is not known how many workers there are.
AHEAD = 8


@contextmanager
def runner(job: StimulusJob, notify: Callable[[], None], **where: Unpack[Workplace]) -> Iterator[Runner]:
    """Open a runner.

    where: keyword arguments of qdqnp.engine.run_shards; this process without them.
    """
    chosen = Workplace(**{"workers": 1, **where})
    with opened(job, **chosen) as run:
        yield Runner(run, chosen["workers"] if chosen.get("scheduler") is None and chosen["workers"] else AHEAD, notify)
