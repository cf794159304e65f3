"""What steps make of constants alone, as weights that are dequantized: computed when a schedule is compiled."""

from __future__ import annotations

from collections.abc import Mapping

from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.executor.walk import made_by
from qdqnp.graph import Sizes
from qdqnp.limits import SCHEDULE_BYTES, bytes_needed
from qdqnp.quant import Array


def fixed_tensors(plan: Plan, shapes: Mapping[str, Sizes]) -> dict[str, Array]:
    """Return the tensors that do not depend on the inputs, by name, but for constants; as many as may be kept.

    shapes: of every tensor.
    """
    room, steps, known = SCHEDULE_BYTES, list[BoundStep](), set(plan.consts)
    for bound in plan.steps:
        step, tensors = bound.step, plan.program.tensors
        need = sum(bytes_needed(tensors[name].dtype, shapes[name]) for name in step.output_names)
        if step.input_names and known.issuperset(step.input_names) and need <= room:
            room -= need
            steps.append(bound)
            known.update(step.output_names)
    return made_by(steps, {}) if steps else {}
