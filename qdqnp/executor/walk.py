"""Walk a plan: evaluate its steps in order on one set of inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.executor.events import Events, events
from qdqnp.executor.plan import BoundStep, Plan, accumulators
from qdqnp.quant import Array


@dataclass
class Notes:
    """What a trace wants to know beyond tensors, by the name of each step's first output. None: not asked for."""

    accumulators: dict[str, Array] | None = None
    events: dict[str, Events] | None = None
    parameters: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def add(self, bound: BoundStep, values: Mapping[str, Array]) -> None:
        name = bound.step.output_names[0]
        if self.accumulators is not None:
            found = accumulators(bound, values)
            if found is not None:
                self.accumulators[name] = found
        if self.events is not None:
            counted = events(bound.questions(values), bound.profile)
            if counted is not None:
                self.events[name] = counted
        used = bound.parameters(values)
        if used:
            self.parameters[name] = used


def walk(
    plan: Plan, feeds: Mapping[str, Array], keep: Collection[str] | None, notes: Notes | None = None
) -> dict[str, Array]:
    """Evaluate every step whose outputs are not already in `feeds`, and return the kept tensors by name, in order.

    keep: names to return, None for every tensor that is not a constant. notes: filled
    by the way. What is returned is fresh: it shares no memory with inputs, constants or work memory.
    """
    values: dict[str, Array] = dict(feeds)
    kept: dict[str, Array] = {}
    for name in feeds:
        if keep is None or name in keep:
            kept[name] = feeds[name].copy()
    with plan.scratch.lend() as scratch:
        for index, bound in enumerate(plan.steps):
            names = bound.step.output_names
            if not all(name in feeds for name in names):
                if notes is not None:
                    with np.errstate(all="ignore"):  # as where steps are bound and evaluated
                        notes.add(bound, values)
                for name, array in bound.evaluate(values, scratch).items():
                    values[name] = array
                    if keep is None or name in keep:
                        kept[name] = array.copy() if bound.operator.views else np.asarray(array, order="C")
            for name in bound.step.input_names:
                if plan.last_use[name] == index:
                    values.pop(name, None)
    return kept
