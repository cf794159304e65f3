"""Walk a plan: evaluate its steps in order on one set of inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from qdqnp.executor.plan import Plan, accumulators
from qdqnp.quant import Array


def walk(
    plan: Plan, feeds: Mapping[str, Array], keep: Collection[str] | None, accs: dict[str, Array] | None = None
) -> dict[str, Array]:
    """Evaluate every step whose outputs are not already in `feeds`, and return the kept tensors by name, in order.

    keep: names to return, None for every tensor that is not a constant. accs: filled with the accumulators of the
    steps that have them. What is returned is fresh: it shares no memory with inputs, constants or work memory.
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
                if accs is not None:
                    found = accumulators(bound, values)
                    if found is not None:
                        accs[names[0]] = found
                for name, array in bound.evaluate(values, scratch).items():
                    values[name] = array
                    if keep is None or name in keep:
                        kept[name] = array.copy() if bound.bound.views else np.ascontiguousarray(array)
            for name in bound.step.input_names:
                if plan.last_use[name] == index:
                    values.pop(name, None)
    return kept
