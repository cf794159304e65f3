"""Bind one step under another profile, or changed: what recognizers of faults and of arithmetics evaluate.

A step that is evaluated once does not need a certificate: its sums are computed fast, and the rule itself makes the
codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from qdqnp.executor.plan import BoundStep, bind_step
from qdqnp.numerics.profile import Profile
from qdqnp.program import Operand, Step
from qdqnp.quant import Array, Quant


def bind(
    bound: BoundStep, profile: Profile, step: Step | None = None, consts: Mapping[str, Array] | None = None
) -> BoundStep:
    """Bind the step again: under a profile, changed, or with other constants. Raises ProfileError where the profile
    does not define it."""
    if step is None and not consts:
        return bound.under(profile)
    return bind_step(step or bound.step, {**bound.consts, **(consts or {})}, profile, certified=False)


def evaluate(
    bound: BoundStep,
    values: Mapping[str, Array],
    profile: Profile,
    step: Step | None = None,
    consts: Mapping[str, Array] | None = None,
) -> Array:
    """Compute the first output of the step, changed as in `bind`, on input arrays by name."""
    made = bind(bound, profile, step, consts)
    return next(iter(made.compute({**values, **(consts or {})}).values()))


def with_inputs(step: Step, quants: Sequence[Quant | None]) -> Step:
    """Return the step with other quantizations of its inputs, in the operands' order."""
    inputs = tuple(
        None if operand is None else Operand(operand.name, quant)
        for operand, quant in zip(step.inputs, quants, strict=True)
    )
    return replace(step, inputs=inputs)
