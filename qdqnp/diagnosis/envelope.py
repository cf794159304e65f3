"""Envelope: the codes that an element may have when a profile's parameters are known only in part.

Every admissible combination of the unknown parameters is computed on the device's own inputs; an element's lowest and
highest code over them bound what this arithmetic can give. What lies outside is not explainable by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.replay import Device
from qdqnp.executor.walk import made_by
from qdqnp.inspection.layers import RULE_OF
from qdqnp.numerics.rules.average import ReciprocalAverage
from qdqnp.numerics.rules.binary import AlignedAdd
from qdqnp.numerics.rules.lookup import AffineLookup
from qdqnp.numerics.rules.mean import NarrowMean, ReciprocalMean
from qdqnp.numerics.rules.requantize import Narrowed, Requantizer
from qdqnp.quant import Array, Int64

# What nobody has stated of Neural-ART: the tie rule of each stage, the inner shifts of Add, what happens past 24 bits,
# and BC, seen within -6 to +4 units of 2^-S2 of the formula.
TIES = ("half-up", "half-away", "half-even")
INNER = ("floor", "half-up")
BC_OFFSETS = (-6, 4)  # codes are monotone in BC: the ends bound what lies between
ACCUMULATORS = ("exact", "saturate-24", "wrap-24")
# Operators that move or select codes: they map bounds to bounds.
MONOTONE = ("MaxPool", "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity")


def admissible_rules(rule: Any) -> Iterator[Any]:
    """Every rule that a partly known one of codes to codes may be; itself alone where nothing is unknown."""
    if isinstance(rule, AlignedAdd):
        yield from (replace(rule, tie=tie, inner=inner) for tie, inner in product(TIES, INNER))
    elif isinstance(rule, ReciprocalAverage):
        for tie, mean in product(TIES, admissible_rules(rule.mean)):
            yield replace(rule, tie=tie, mean=mean)
    elif isinstance(rule, NarrowMean | AffineLookup):
        yield from (replace(rule, tie=tie) for tie in TIES)
    else:
        yield rule


def admissible_requantizers(bound: Requantizer, sums: Int64) -> Iterator[Requantizer]:
    """The same for a bound rule of sums: multipliers and shifts are known, so that only these are varied."""
    inner = bound.inner if isinstance(bound, rebind.PlainRequantizer) else bound
    if isinstance(inner, Narrowed):
        past = bool(np.abs(sums).max(initial=0) >= 2**23)
        accumulators = ACCUMULATORS if past else (inner.rule.accumulator,)
        for tie, first, accumulator, offset in product(TIES, TIES, accumulators, BC_OFFSETS):
            rule = replace(inner.rule, tie=tie, first_tie=first, accumulator=accumulator)
            yield replace(inner, rule=rule, bc=inner.bc + offset)
    elif isinstance(inner, ReciprocalMean):
        yield from (replace(inner, rule=rule) for rule in admissible_rules(inner.rule))
    else:
        yield inner


@dataclass
class Envelope:
    """Of one dumped tensor. elements: compared; wide: those that may have more than one code; outside: those whose code
    no admissible combination gives. note: why it could not be computed, if so."""

    elements: int = 0
    wide: int = 0
    outside: int = 0
    note: str = ""

    @property
    def inside(self) -> bool:
        return not self.outside and not self.note

    def as_json(self) -> dict[str, Any]:
        return {"elements": self.elements, "wide": self.wide, "outside": self.outside, "note": self.note}


def envelope(device: Device, name: str) -> Envelope:
    """The envelope of a dumped tensor, from the device's own inputs of the layer that makes it."""
    tensor, found = device.tensors[name], Envelope()
    for case in range(device.count):
        bounds = _bounds(device, name, case)
        if isinstance(bounds, str):
            return Envelope(note=bounds)
        low, high = bounds
        got = tensor.cases[case]
        found.elements += got.size
        found.wide += int(np.count_nonzero(low != high))
        found.outside += int(np.count_nonzero((got < low) | (got > high)))
    return found


def _bounds(device: Device, name: str, case: int) -> tuple[Array, Array] | str:
    """Lowest and highest codes; or why there are none: one layer that computes may lie in the segment, and after it
    only such that move codes."""
    known, steps, codes = device.values(case), device.segments[name].steps, device.tensors[name].target.codes
    computing = [bound.step for bound in map(device.reference.step, steps) if bound.step.op not in MONOTONE]
    if len(computing) > 1:
        return f"not every layer was dumped: {computing[0].label} and {computing[1].label} both lie between"
    if not computing:
        moved = made_by(device.steps(steps), {}, known)[codes]
        return moved, moved
    at, output = device.reference.plan.program.order[computing[0]], computing[0].output_names[0]
    known = {**made_by(device.steps(index for index in steps if index < at), {}, known), **known}
    sides = [{**known, output: side} for side in _step_bounds(device, at, known)]
    after = [index for index in steps if index > at]
    low, high = ({**side, **made_by(device.steps(after), {}, side)}[codes] for side in sides)
    return low, high


def _step_bounds(device: Device, index: int, values: Mapping[str, Array]) -> tuple[Array, Array]:
    bound = device.reference.step(index)
    profile = device.profile(bound.step.op)
    made = rebind.bind(bound, profile)
    if made.detail is not None:
        sums, requantizer = made.detail(bound.arrays(values))
        codes = [rule(sums) for rule in admissible_requantizers(requantizer, sums)]
        shape = device.reference.cases[device.first][bound.step.output_names[0]].shape
        axis = -1 if bound.step.op == "QLinearMatMul" else 1
        low, high = (np.moveaxis(side(codes), -1, axis).reshape(shape) for side in (_lowest, _highest))
        return low, high
    field = RULE_OF.get(bound.step.op)
    if field is None:
        exact = rebind.evaluate(bound, values, profile)
        return exact, exact
    rules = admissible_rules(getattr(profile, field))
    codes = [rebind.evaluate(bound, values, replace(profile, **{field: rule})) for rule in rules]
    return _lowest(codes), _highest(codes)


def _lowest(codes: list[Array]) -> Array:
    return np.min(codes, axis=0)  # type: ignore[no-any-return]


def _highest(codes: list[Array]) -> Array:
    return np.max(codes, axis=0)  # type: ignore[no-any-return]
