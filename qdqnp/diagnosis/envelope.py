"""Envelope: the codes that an element may have when a profile's parameters are known only in part.

Every admissible combination of the unknown parameters is computed on the device's own inputs. The lowest and the
highest code of an element over all combinations bound what this arithmetic can give; it cannot explain a code outside
of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.replay import Device
from qdqnp.executor.walk import made_by
from qdqnp.numerics.choices import admissible
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.questions import Question, Summed
from qdqnp.numerics.rules.requantize.narrow import Narrowed
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.quant import Array, Int64

# Unknown parameters are declared at the fields of a rule. In addition, BC of Neural-ART was observed
# within -6 to +4 units of 2^-S2 of the formula; codes are monotone in BC, so the two ends bound what lies between.
BC_OFFSETS = (-6, 4)


def admissible_requantizers(bound: Requantizer, sums: Int64) -> Iterator[Any]:
    """Yield every bound rule of sums that a partly known rule may be; only the rule itself where everything is known.
    Multipliers and shifts count as known."""
    inner: Any = bound
    if not hasattr(inner, "rule"):
        yield inner
        return
    # a narrower accumulator shows in larger sums only
    known = () if np.abs(sums).max(initial=0) >= 2**23 else ("accumulator",)
    for rule in admissible(inner.rule, known):
        made = replace(inner, rule=rule)
        if isinstance(made, Narrowed):
            yield from (replace(made, bc=made.bc + offset) for offset in BC_OFFSETS)
        else:
            yield made


@dataclass
class Envelope:
    """The envelope of one dumped tensor, compared with the device's codes."""

    #: Elements compared.
    elements: int = 0
    #: Elements that may have more than one code.
    wide: int = 0
    #: Elements whose code no admissible combination gives.
    outside: int = 0
    #: Why the envelope could not be computed; '' if it could.
    note: str = ""

    @property
    def inside(self) -> bool:
        return not self.outside and not self.note

    def as_json(self) -> dict[str, Any]:
        return {"elements": self.elements, "wide": self.wide, "outside": self.outside, "note": self.note}


def envelope(device: Device, name: str) -> Envelope:
    """Compute the envelope of a dumped tensor from the device's own inputs of the layer that makes it."""
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
    """Return the lowest and highest codes, or in words why they cannot be computed. The segment may have one layer that
    computes, followed only by layers that move codes."""
    known, steps, codes = device.values(case), device.segments[name].steps, device.tensors[name].target.codes
    computing = [bound.step for bound in map(device.reference.step, steps) if not bound.operator.only_moves(bound.step)]
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
    right = device.reference.cases[device.first][bound.step.output_names[0]]
    parts = rebind.bind(bound, profile).questions(values)
    if not parts:
        exact = rebind.evaluate(bound, values, profile)
        return exact, exact
    low, high = np.empty_like(right), np.empty_like(right)
    for part in parts:
        codes = list(_admissible_codes(part.question, profile))
        part.put(low, _lowest(codes))
        part.put(high, _highest(codes))
    return low, high


def _admissible_codes(question: Question, profile: Profile) -> Iterator[Array]:
    rule = getattr(profile, question.rule)
    if isinstance(question, Summed):
        yield from (bound(question.sums) for bound in admissible_requantizers(question.bind(rule), question.sums))
    else:
        yield from (question.codes(other) for other in admissible(rule))


def _lowest(codes: list[Array]) -> Array:
    return np.min(codes, axis=0)  # type: ignore[no-any-return]


def _highest(codes: list[Array]) -> Array:
    return np.max(codes, axis=0)  # type: ignore[no-any-return]
