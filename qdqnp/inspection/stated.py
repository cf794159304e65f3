"""The numbers that a profile states for a layer, beside those that its rules would choose: a compiled network's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from qdqnp.executor.plan import BoundStep, Plan, bind_step
from qdqnp.numerics.choices import OVERRIDES, of_layer
from qdqnp.numerics.profile import Profile, rule_names
from qdqnp.numerics.rules.accumulate import ExactSum
from qdqnp.quant import Array


@dataclass(frozen=True)
class StatedNumber:
    """One number of a layer, or one for each channel."""

    name: str
    #: What the profile states.
    stated: int | list[int]
    #: What the rule chooses; None where it has no such number.
    chosen: int | list[int] | None
    #: Channels in which the two differ, and by how much at most.
    differing: int
    largest: int


@dataclass(frozen=True)
class StatedLayer:
    """A layer for which the profile states numbers."""

    label: str
    op: str
    numbers: tuple[StatedNumber, ...]

    @property
    def differs(self) -> bool:
        return any(number.differing for number in self.numbers)


def stated_layers(plan: Plan, shapes: Mapping[str, tuple[int, ...]] | None) -> list[StatedLayer]:
    """Return the layers for which the plan's profile states numbers, in the order of the steps.

    shapes: of all tensors, without which averages are left out.
    """
    plain = _without(plan.profile)
    found = []
    for bound in plan.steps:
        numbers = _stated(plan.profile, bound)
        if not numbers:
            continue
        chosen = _chosen(plan, bound, plain, shapes)
        compared = tuple(_number(name, value, chosen.get(name)) for name, value in numbers.items())
        found.append(StatedLayer(bound.step.label, bound.step.op, compared))
    return found


def stated_json(layers: list[StatedLayer]) -> list[dict[str, Any]]:
    """Return the layers as plain values."""
    return [{**asdict(layer), "differs": layer.differs} for layer in layers]


def _without(profile: Profile) -> Profile:
    """Return the profile without the numbers that it states, whose sums are exact."""
    rules = {name: getattr(profile, name) for name in rule_names()}
    plain = {name: replace(rule, overrides=()) for name, rule in rules.items() if getattr(rule, OVERRIDES, ())}
    return replace(profile, **{**plain, "accumulate": ExactSum()})


def _stated(profile: Profile, bound: BoundStep) -> dict[str, Any]:
    """Return the numbers stated for a step: those of its rule, and those of the accumulation of its sums."""
    if not bound.operator.rule:
        return {}
    fields = (bound.operator.rule, "accumulate")
    given = [dict(getattr(of_layer(getattr(profile, field), bound.step.label), OVERRIDES, ())) for field in fields]
    return {name: value for numbers in reversed(given) for name, value in numbers.get("", ())}


def _chosen(
    plan: Plan, bound: BoundStep, plain: Profile, shapes: Mapping[str, tuple[int, ...]] | None
) -> Mapping[str, Any]:
    """Return the numbers that the rules choose."""
    again = bind_step(bound.step, bound.consts, plain)
    if again.kernel.numbers is not None:
        return again.kernel.numbers
    if shapes is None:
        return {}
    tensors = plan.program.tensors
    names = [name for name in bound.step.input_names if name and name not in bound.consts]
    return again.parameters({name: np.zeros(shapes[name], tensors[name].dtype) for name in names})


def _number(name: str, stated: Any, chosen: Any) -> StatedNumber:
    given: Array = np.asarray(stated, np.int64)
    if chosen is None:
        return StatedNumber(name, _plain(given), None, 1, 0)
    ours = np.asarray(chosen, np.int64)
    one, other = np.broadcast_arrays(given, ours) if given.size == 1 or ours.size in (1, given.size) else (given, given)
    distance = np.abs(one - other)
    return StatedNumber(name, _plain(given), _plain(ours), int((distance > 0).sum()), int(distance.max(initial=0)))


def _plain(value: Array) -> int | list[int]:
    found: int | list[int] = value.tolist() if value.ndim else int(value)
    return found
