"""The schedules of a plan: one for each set of shapes and wanted tensors, compiled when first needed, few kept."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from qdqnp.executor.plan import Plan
from qdqnp.executor.walk import walk
from qdqnp.graph import Sizes
from qdqnp.kernels.strategy import AUTO
from qdqnp.limits import SCHEDULE_BYTES, SCHEDULES_KEPT
from qdqnp.quant import Array
from qdqnp.schedule.compile import compile_plan
from qdqnp.schedule.schedule import Schedule

Key = tuple[tuple[tuple[str, Sizes], ...], frozenset[str]]


class Schedules:
    """A plan, and what was compiled of it. Threads may share it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._kept: dict[Key, Schedule | None] = {}

    def run(self, feeds: Mapping[str, Array], wanted: Collection[str], threads: int | None) -> dict[str, Array]:
        """Return the wanted tensors by name, as `walk` does: by a schedule where there is one, else step by step.

        Arguments and errors are those of `walk`.
        """
        schedule = self.schedule({name: array.shape for name, array in feeds.items()}, wanted)
        if schedule is None:
            return walk(self._plan, feeds, wanted, threads=threads)
        return schedule.run(feeds, threads)

    def schedule(self, feeds: Mapping[str, Sizes], wanted: Collection[str]) -> Schedule | None:
        """Return the schedule for feeds of these shapes; None where the steps are better computed one by one.

        wanted: the names of the tensors that a run returns.
        """
        key = (tuple(sorted(feeds.items())), frozenset(wanted))
        if key not in self._kept:
            made = self._compiled(feeds, wanted)
            if len(self._kept) >= SCHEDULES_KEPT:
                self._kept.clear()
            self._kept[key] = made
        return self._kept[key]

    def _compiled(self, feeds: Mapping[str, Sizes], wanted: Collection[str]) -> Schedule | None:
        plan = self._plan
        if plan.strategy != AUTO or plan.size_inputs:  # a forced strategy is asked for by name
            return None
        inputs = {name: feeds[name] for name in plan.program.inputs if name in feeds}
        for step in plan.program.steps:  # codes in place of what a quantizer makes of an input have the input's shape
            if step.quantizes and step.output_names[0] in feeds:
                inputs.setdefault(step.input_names[0], feeds[step.output_names[0]])
        if len(inputs) < len(plan.program.inputs):
            return None
        schedule = compile_plan(plan, plan.shapes(inputs), feeds, wanted)
        return schedule if schedule is not None and schedule.nbytes <= SCHEDULE_BYTES else None
