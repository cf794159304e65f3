"""Memory that a network needs at least, from its program alone: constants, and the tensors that are alive at once."""

from __future__ import annotations

from dataclasses import dataclass

from qdqnp.executor.plan import Plan
from qdqnp.inspection.lifetimes import lifetimes, live_bytes


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
    found = lifetimes(plan)
    if found is None:
        return None
    constants = sum(array.nbytes for array in plan.consts.values())
    if not found.steps:
        return MemoryNeed(constants, 0, "")
    alive = live_bytes(found.tensors, len(found.steps))
    return MemoryNeed(constants, int(alive.max()), found.steps[int(alive.argmax())].step.label)
