"""Which single cause gives a device's value for one output element: each hypothesis is computed, none is guessed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qdqnp.diagnosis.faults import FAULTS
from qdqnp.diagnosis.faults.fault import Changed, ChangedQuestions, ElementPlace, Layer, Variant, place
from qdqnp.diagnosis.faults.rounding import TIE, TRUNCATION, kind_of
from qdqnp.diagnosis.identify.families import NAMED, describe, structural
from qdqnp.errors import QdqnpError
from qdqnp.numerics.choices import neighbours
from qdqnp.numerics.rules.undefined import Undefined

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


def causes(layer: Layer, index: Index) -> list[Cause]:
    """Every hypothesis about an element, faults before other arithmetics; those outside their domain are left out."""
    where, found = place(layer, index), []
    for kind, variant in (*_faults(layer), *_rules(layer, where)):
        try:
            code = variant.code(where)
        except QdqnpError:  # outside the arithmetic's domain: then this is not what happened
            continue
        if code is not None:
            found.append(Cause(kind, variant.text, code))
    return found


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
