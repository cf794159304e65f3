"""Finds what a device's profile does not define, so that it can be left in float for a host."""

from __future__ import annotations

from qdqnp.errors import ProfileError
from qdqnp.executor.plan import bind_step
from qdqnp.graph import Graph
from qdqnp.lowering import lower
from qdqnp.lowering.base import Lowering
from qdqnp.lowering.device.levels import ROUNDED, device
from qdqnp.numerics.profile import Profile


def settled(graph: Graph, profile: Profile, lowering: Lowering) -> Lowering:
    """Return the lowering that leaves in float what the profile does not define, where its floats run on a host.

    Other lowerings than a device's are returned as they are, and so are those of profiles without a host. Raises
    ModelError where the model cannot be lowered.
    """
    left: dict[str, str] = {}
    while profile.host_float and lowering.name in ROUNDED:
        program = lower(graph, lowering)
        consts = {name: tensor.const for name, tensor in program.tensors.items() if tensor.const is not None}
        more: dict[str, str] = {}
        for step in program.steps:
            try:
                bind_step(step, consts, profile, certified=False)
            except ProfileError as error:
                more[step.label] = f"the profile '{profile.name}' does not define it: {_reason(error)}"
        more = {label: reason for label, reason in more.items() if label not in left}
        if not more:
            break
        left |= more
        lowering = device(lowering.name, frozenset(left.items()))
    return lowering


def _reason(error: ProfileError) -> str:
    return "; ".join(f"{problem.where} is {problem.got}" for problem in error.problems[:3]) or error.title
