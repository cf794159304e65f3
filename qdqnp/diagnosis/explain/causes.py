"""Which single cause gives a device's value for one output element: each hypothesis is computed, none is guessed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qdqnp.diagnosis.faults import FAULTS
from qdqnp.diagnosis.faults.bounds import CLAMP
from qdqnp.diagnosis.faults.fault import Changed, ChangedQuestions, ElementPlace, Layer, Variant, place
from qdqnp.diagnosis.faults.rounding import TIE, TRUNCATION, kind_of
from qdqnp.diagnosis.identify.families import NAMED, describe, structural
from qdqnp.errors import QdqnpError
from qdqnp.numerics.choices import neighbours
from qdqnp.numerics.rules.undefined import Undefined
from qdqnp.program import Program, Step

Index = tuple[int, ...]


@dataclass(frozen=True)
class Cause:
    """One hypothesis and the code it gives."""

    #: What a fault is called, as `compare` calls it too; or which choice of a rule is another one.
    kind: str
    #: In which way; '' where there is one way only.
    text: str
    code: int | float

    def __str__(self) -> str:
        return f"{self.kind} ({self.text})" if self.text else self.kind


def causes(layer: Layer, index: Index, limits: Sequence[Limit] = ()) -> list[Cause]:
    """Every hypothesis about an element, faults before other arithmetics; those outside their domain are left out.

    limits: the codes at which other layers clamp.
    """
    where, found = place(layer, index), list(_clamps(layer, index, limits))
    for kind, variant in (*_faults(layer), *_rules(layer, where)):
        try:
            code = variant.code(where)
        except QdqnpError:  # outside the arithmetic's domain: then this is not what happened
            continue
        if code is not None:
            found.append(Cause(kind, variant.text, code))
    return found


@dataclass(frozen=True)
class Limit:
    """A code at which a layer clamps."""

    #: The code.
    code: int
    #: Whether it is the highest, else the lowest that the layer makes.
    highest: bool
    #: Whose it is, in words.
    whose: str


def limits_of(program: Program, step: Step) -> list[Limit]:
    """Return the codes at which the layers of a network clamp, those of the step itself and its neighbours first: the
    ends of their codes, which are narrower than the dtype behind a ReLU or a Clip, and their zero points."""
    own = step.outputs[0].quant
    found: dict[tuple[int, bool], Limit] = {}
    place = program.order[step]
    for other in sorted(program.steps, key=lambda one: abs(program.order[one] - place)):
        quant = other.outputs[0].quant
        if quant is None or own is None or quant.dtype != own.dtype or not quant.per_tensor:
            continue
        whose = "the layer's own" if other is step else f"that of layer {other.label}"
        ends = [(code, highest, whose) for code, highest in zip(quant.range, (False, True), strict=True)]
        for code, highest, text in (*ends, (int(quant.zero_point), False, f"the zero point, {whose}")):
            found.setdefault((int(code), highest), Limit(int(code), highest, text))
    return list(found.values())


def _clamps(layer: Layer, index: Index, limits: Sequence[Limit]) -> Iterator[Cause]:
    """A code beyond a limit becomes the limit: one clamp fits any code, so only those are tried that layers have."""
    if not limits:
        return
    name = layer.bound.step.output_names[0]
    code = layer.bound.compute(layer.values)[name][index].item()
    for limit in limits:
        if limit.code != code and (code > limit.code) == limit.highest:
            end = "highest" if limit.highest else "lowest"
            yield Cause(CLAMP, f"the {end} is {limit.code}, {limit.whose}", limit.code)


def _faults(layer: Layer) -> Iterator[tuple[str, Variant]]:
    """What one channel has, all may have: a fault of some channels goes by both names."""
    for fault in FAULTS:
        for variant in fault.variants(layer):
            if not (variant.many or variant.partial):
                yield from ((kind, variant) for kind in fault.kinds)


def _rules(layer: Layer, where: ElementPlace) -> Iterator[tuple[str, Variant]]:
    """The neighbours of the rule that decides the element, then the rules of the other named profiles."""
    if where.part is None:
        return
    number, question = where.part, layer.parts[where.part].question
    rule = layer.rule(question)

    def other(text: str, rule: Any) -> Variant:
        return ChangedQuestions(layer, text, {number: Changed(question, text, rule)})

    for near in neighbours(rule):
        if kind_of(near) not in (TIE, TRUNCATION):  # these are among the faults
            yield near.kind, other(near.text, near.rule)
    for near in structural(rule):
        yield kind_of(near), other(near.text, near.rule)
    for profile in NAMED:
        named = getattr(profile, question.rule)
        if not isinstance(named, Undefined) and named != rule:
            yield "other arithmetic", other(f"{profile.name}: {describe(named)}", named)
