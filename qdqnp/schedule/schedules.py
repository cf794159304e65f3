"""The schedules of a plan: one for each set of shapes and wanted tensors, compiled when first needed, few kept."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import numpy as np

from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.executor.threads import checked_threads
from qdqnp.executor.walk import Notes, walk
from qdqnp.graph import Sizes
from qdqnp.kernels.strategy import AUTO
from qdqnp.limits import SCHEDULE_BYTES, SCHEDULES_KEPT
from qdqnp.quant import Array
from qdqnp.schedule.actions import Defined
from qdqnp.schedule.batch import Batch
from qdqnp.schedule.compile import compile_plan
from qdqnp.schedule.fixed import fixed_tensors
from qdqnp.schedule.pictures import picture_steps
from qdqnp.schedule.schedule import Schedule

Key = tuple[tuple[tuple[str, Sizes], ...], frozenset[str]]


#: A batch is divided where each picture takes as many products, at least. Measured; it decides speed only.
FEWEST_PRODUCTS = 2_000_000


class Schedules:
    """A plan, and what was compiled of it. Threads may share it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._kept: dict[Key, Schedule | Batch | None] = {}
        #: By the names of a trace's feeds: the steps that are evaluated, and the names of all tensors in their order.
        self._traced: dict[tuple[str, ...], tuple[list[BoundStep], list[str]]] = {}

    def run(self, feeds: Mapping[str, Array], wanted: Collection[str], threads: int | None) -> dict[str, Array]:
        """Return the wanted tensors by name, as `walk` does: by a schedule where there is one, else step by step.

            threads: how many compute at a time, the pictures of a batch or rows of one picture; None for as many as
                there are processors. Step by step, None leaves BLAS as it is, which is held to one thread otherwise.

        Other arguments and errors are those of `walk`.
        """
        checked_threads(threads)
        schedule = self.schedule({name: array.shape for name, array in feeds.items()}, wanted)
        if schedule is None:
            return walk(self._plan, feeds, wanted, hold_blas=threads is not None)
        return self._run(schedule, feeds, threads)

    @staticmethod
    def _run(schedule: Schedule | Batch, feeds: Mapping[str, Array], threads: int | None) -> dict[str, Array]:
        if isinstance(schedule, Batch):
            return schedule.run(feeds, threads)
        return schedule.run(feeds, checked_threads(threads), threads is not None or schedule.compiled)

    def trace(self, feeds: Mapping[str, Array], notes: Notes, threads: int | None) -> dict[str, Array]:
        """Return every tensor that is not a constant, by name: the feeds, then all in the order in which they are made.

        notes: filled in.

        Other arguments and errors are those of `run`.
        """
        checked_threads(threads)
        steps, names = self._traced.get(tuple(feeds)) or self._of_trace(tuple(feeds))
        schedule = self.schedule({name: array.shape for name, array in feeds.items()}, names)
        if schedule is None:
            return walk(self._plan, feeds, None, notes, hold_blas=threads is not None)
        found = self._run(schedule, feeds, threads)
        with np.errstate(all="ignore"):  # as when steps are bound and evaluated
            for bound in steps:
                notes.add(bound, found)
        return {name: found[name] for name in names}

    def _of_trace(self, feeds: tuple[str, ...]) -> tuple[list[BoundStep], list[str]]:
        """Return the steps that a trace evaluates, and the names of all its tensors in order."""
        given = set(feeds)
        steps = [bound for bound in self._plan.steps if not given.issuperset(bound.step.output_names)]
        names = list(dict.fromkeys((*feeds, *(name for bound in steps for name in bound.step.output_names))))
        if len(self._traced) >= SCHEDULES_KEPT:
            self._traced.clear()
        self._traced[feeds] = steps, names
        return steps, names

    def schedule(self, feeds: Mapping[str, Sizes], wanted: Collection[str]) -> Schedule | Batch | None:
        """Return what is done for feeds of these shapes; None where the steps are better computed one by one.

        wanted: the names of the tensors that a run returns.
        """
        key = (tuple(sorted(feeds.items())), frozenset(wanted))
        if key not in self._kept:
            made = self._compiled(feeds, wanted)
            if len(self._kept) >= SCHEDULES_KEPT:
                self._kept.clear()
            self._kept[key] = made
        return self._kept[key]

    def _compiled(self, feeds: Mapping[str, Sizes], wanted: Collection[str]) -> Schedule | Batch | None:
        plan = self._plan
        if plan.strategy != AUTO or plan.size_inputs:  # a forced strategy is asked for by name
            return None
        inputs = {name: feeds[name] for name in plan.program.inputs if name in feeds}
        for step in plan.program.steps:  # codes in place of what a quantizer makes of an input have the input's shape
            if step.quantizes and step.output_names[0] in feeds:
                inputs.setdefault(step.input_names[0], feeds[step.output_names[0]])
        if len(inputs) < len(plan.program.inputs):
            return None
        shapes = plan.shapes(inputs)
        batch = next((sizes[0] for sizes in feeds.values() if sizes), 1)
        if batch > 1:
            return self._batch(batch, shapes, feeds, wanted)
        fixed = fixed_tensors(plan, shapes)
        schedule = compile_plan(plan, plan.steps, shapes, feeds, wanted, fixed)
        if schedule is not None and schedule.nbytes <= SCHEDULE_BYTES:
            return schedule
        return _of_steps(plan.steps, feeds, wanted, fixed) if fixed else None

    def _batch(
        self, batch: int, shapes: Mapping[str, Sizes], feeds: Mapping[str, Sizes], wanted: Collection[str]
    ) -> Batch | None:
        """Return how the pictures of a batch are computed; None where they are too small, or not apart."""
        plan = self._plan
        fixed = fixed_tensors(plan, shapes)
        steps = [bound for bound in plan.steps if bound.step.output_names[0] not in fixed]
        apart, together, single = picture_steps(steps, batch, shapes, feeds, {*plan.consts, *fixed})
        shapes = {**shapes, **single}
        if sum(plan.macs(bound, shapes) for bound in apart) < FEWEST_PRODUCTS:
            return None
        read = {name for bound in together for name in bound.step.input_names}
        made = {name for bound in apart for name in bound.step.output_names}
        needed = made & (read | set(wanted))
        one = compile_plan(plan, apart, shapes, feeds, needed, fixed)
        if one is None or one.nbytes > SCHEDULE_BYTES:
            one = _of_steps(apart, feeds, needed, fixed)
        return Batch(one, batch, single, together, wanted, fixed)


def _of_steps(
    steps: Iterable[BoundStep], given: Collection[str], wanted: Collection[str], fixed: Mapping[str, Array]
) -> Schedule:
    """Return a schedule that computes on codes, without what is given and what does not depend on the inputs."""
    there = {*given, *fixed}
    actions = [Defined(bound) for bound in steps if not there.issuperset(bound.step.output_names)]
    return Schedule(actions, {}, 0, 0, wanted, fixed)
