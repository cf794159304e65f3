"""Memory that a network needs at least, from its program alone: constants, and the tensors that are alive at once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qdqnp.executor.plan import Plan
from qdqnp.inspection.layers import known_shapes


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that a network needs, each tensor in its own dtype."""

    #: All constants that steps read.
    constants: int
    #: The most bytes of tensors that are alive at once, nothing computed in place.
    peak: int
    #: The label of the step during which that is.
    peak_step: str


def memory_need(plan: Plan) -> MemoryNeed | None:
    """Return what a run in the program's order needs; None where the model leaves sizes open.

    plan: the program under a profile.
    """
    program, shapes = plan.program, known_shapes(plan)
    if shapes is None:
        return None
    size = {
        name: math.prod(shapes[name]) * tensor.dtype.itemsize
        for name, tensor in program.tensors.items()
        if name in shapes and name not in plan.consts
    }
    last = {**plan.last_use, **dict.fromkeys(program.outputs, len(program.steps))}
    alive = {name for name in program.inputs if name in size}
    peak, where = 0, ""
    for index, step in enumerate(program.steps):
        alive |= {name for name in step.output_names if name in size}
        total = sum(size[name] for name in alive)
        if total > peak:
            peak, where = total, step.label
        alive = {name for name in alive if last.get(name, index) > index}
    return MemoryNeed(sum(array.nbytes for array in plan.consts.values()), peak, where)
