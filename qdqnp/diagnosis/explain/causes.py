"""Which single cause gives a device's value for one output element: each hypothesis is computed, none is guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import Any

import numpy as np

from qdqnp.diagnosis.explain.terms import Term
from qdqnp.diagnosis.identify.evidence import (
    AverageEvidence,
    BinaryEvidence,
    Evidence,
    LinearEvidence,
    LookupEvidence,
    MeanEvidence,
)
from qdqnp.diagnosis.identify.families import NAMED, describe, variations
from qdqnp.errors import ProfileError
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.rules.requantize import Layer, Narrowed, Undefined
from qdqnp.quant import Int64, Quant


@dataclass(frozen=True)
class Cause:
    """One hypothesis and the code it gives. kind: 'tie rule', 'missing bias', ...; text: in which way."""

    kind: str
    text: str
    code: int


@dataclass(frozen=True, eq=False)
class Element:
    """One element under one rule. one: evidence of this element, of its row where a rule looks at a row; column: where
    in the row it is; terms: the products of a sum, empty for operators that sum no products."""

    one: Evidence
    rule: Any
    column: int = 0
    terms: Sequence[Term] = ()


def _as_it_is(code: int) -> int:
    return code


@dataclass(frozen=True, eq=False)
class Alternative:
    """What may be different: the rule (None: the element's own), fields of its evidence, what happens to the code."""

    kind: str
    text: str
    changed: Mapping[str, Any] = field(default_factory=dict)
    rule: Any = None
    finish: Callable[[int], int] = _as_it_is

    def code(self, element: Element) -> int:
        one: Any = element.one
        codes = replace(one, **self.changed).codes(self.rule if self.rule is not None else element.rule)
        return self.finish(int(codes.reshape(-1)[element.column]))


def causes(element: Element) -> list[Cause]:
    """Every hypothesis about the element, faults before other arithmetics; those outside their domain are left out."""
    found: list[Cause] = []
    for hypothesis in (*_faults(element.one, element), *_finishes(element.one), *_rules(element)):
        try:
            found.append(Cause(hypothesis.kind, hypothesis.text, hypothesis.code(element)))
        except ProfileError:
            continue
    return found


def _rules(element: Element) -> Iterator[Alternative]:
    """The rule's neighbours, then the other named profiles."""
    for kind, text, rule in variations(element.rule):
        yield Alternative(kind, text, rule=rule)
    for profile in NAMED:
        rule = getattr(profile, element.one.field)
        if not isinstance(rule, Undefined) and rule != element.rule:
            yield Alternative("other arithmetic", f"{profile.name}: {describe(rule)}", rule=rule)


def _finishes(one: Any) -> Iterator[Alternative]:
    """What can go wrong after the rounding, whatever the operator."""
    y = _output(one)
    low, high = y.range

    def wrapped(code: int) -> int:
        return (code - low) % (high - low + 1) + low

    yield Alternative(
        "signedness",
        "the sign bit is inverted: uint8 read as int8 or the reverse",
        finish=lambda code: wrapped(code + 128),
    )
    yield Alternative("wrong zero point", "the output's zero point is not added", _with_output(one, _zeroless(y)))
    wide = replace(y, dtype=np.dtype(np.int32), zero_point=y.zero_point.astype(np.int32))
    yield Alternative("saturation", "the result wraps instead of saturating", _with_output(one, wide), finish=wrapped)


def _output(one: Any) -> Quant:
    if isinstance(one, LinearEvidence):
        return one.layer.output
    y: Quant = one.quants[2] if isinstance(one, BinaryEvidence) else one.y
    return y


def _with_output(one: Any, y: Quant) -> dict[str, Any]:
    if isinstance(one, LinearEvidence):
        return {"layer": replace(one.layer, y=y)}
    return {"quants": (*one.quants[:2], y)} if isinstance(one, BinaryEvidence) else {"y": y}


def _zeroless(quant: Quant) -> Quant:
    return replace(quant, zero_point=np.zeros_like(quant.zero_point))


# -- faults of one operator family -------------------------------------------------------------------------------------
@singledispatch
def _faults(one: Any, element: Element) -> Iterator[Alternative]:
    yield from ()


@_faults.register
def _(one: LinearEvidence, element: Element) -> Iterator[Alternative]:
    column, channels = element.column, one.sums.shape[-1]
    if one.layer.bias is not None:
        yield Alternative("missing bias", "the bias is not added", {"layer": replace(one.layer, bias=None)})
    neighbours = [to for to in (column - 1, column + 1) if 0 <= to < channels]
    for to in neighbours if one.layer.bias is not None else ():
        yield Alternative("neighbour's bias", f"the bias of channel {to}", {"layer": _bias_of(one, to)})
    for to in dict.fromkeys([*neighbours, 0]) if one.layer.w.scale.ndim else ():
        yield Alternative("neighbour's scale", f"the weight scale of channel {to}", {"layer": _scale_of(one.layer, to)})
    for kind, text, change in _sum_faults(element.terms):
        yield Alternative(kind, text, {"sums": one.sums + change})
    for bits in (16, 24):
        yield Alternative(
            "accumulator wrap", f"a {bits}-bit accumulator that wraps", {"sums": _narrow(one, _wrap, bits)}
        )
        saturated = _narrow(one, _saturate, bits)
        yield Alternative("accumulator wrap", f"a {bits}-bit accumulator that saturates", {"sums": saturated})
    bound = element.rule.bind(one.layer)
    if isinstance(bound, Narrowed):
        code = int(_narrowed_wrap(bound, one.sums).reshape(-1)[column])
        yield Alternative("saturation", "the first narrowing wraps at 16 bits", finish=lambda _: code)


def _bias_of(one: LinearEvidence, channel: int) -> Layer:
    """The layer with one channel's bias for all."""
    assert one.layer.bias is not None
    row = np.broadcast_to(one.layer.bias, one.sums.shape)[0]
    return replace(one.layer, bias=np.full_like(row, row[channel]))


def _scale_of(layer: Layer, channel: int) -> Layer:
    scale = np.full_like(layer.w.scale, layer.w.scale[channel])
    return replace(layer, w=replace(layer.w, scale=scale))


def _sum_faults(terms: Sequence[Term]) -> Iterator[tuple[str, str, int]]:
    """(kind, text, what is added to the sum)."""
    inside = [term for term in terms if term.x_index is not None]
    outside = [term for term in terms if term.x_index is None]
    forgotten = sum(term.x_zero * (term.w_code - term.w_zero) for term in inside)
    yield "wrong zero point", "the input's zero point is not subtracted", forgotten
    forgotten = sum((term.x_code - term.x_zero) * term.w_zero for term in terms)
    yield "wrong zero point", "the weights' zero point is not subtracted", forgotten
    for code in (0, -128) if outside else ():
        change = sum((code - term.x_zero) * (term.w_code - term.w_zero) for term in outside)
        yield "wrong pad value", f"padding holds code {code} instead of the zero point", change


def _wrap(value: Int64, bits: int) -> Int64:
    half = 1 << (bits - 1)
    return ((value + half) & (2 * half - 1)) - half


def _saturate(value: Int64, bits: int) -> Int64:
    half = 1 << (bits - 1)
    return np.clip(value, -half, half - 1)


def _narrow(one: LinearEvidence, way: Callable[[Int64, int], Int64], bits: int) -> Int64:
    """Sums whose accumulator, bias included, is narrowed; the rule will add the bias again."""
    bias = one.layer.wide_bias
    return way(one.sums, bits) if bias is None else way(one.sums + bias, bits) - bias


def _narrowed_wrap(bound: Narrowed, sums: Int64) -> Int64:
    narrow = _wrap(np.asarray(dict(bound.stages(sums))["narrowed"]), 16)
    low, high = bound.y.range
    return np.clip(ROUNDINGS[bound.rule.tie](bound.a * narrow + bound.bc, bound.s2), low, high)


@_faults.register
def _(one: BinaryEvidence, element: Element) -> Iterator[Alternative]:
    a, b, y = one.quants
    scaled = (replace(a, scale=b.scale), replace(b, scale=a.scale), y)
    for text, quants in (
        ("the operands' scales are exchanged", scaled),
        ("the operands' scales and zero points are exchanged", (b, a, y)),
        ("the first operand's scale and zero point for both", (a, a, y)),
        ("the second operand's scale and zero point for both", (b, b, y)),
    ):
        yield Alternative("neighbour's scale", text, {"quants": quants})
    for which, quants in (("first", (_zeroless(a), b, y)), ("second", (a, _zeroless(b), y))):
        yield Alternative("wrong zero point", f"the {which} operand's is not subtracted", {"quants": quants})
    yield Alternative("missing operand", "the first counts as 0", {"a": np.full_like(one.a, int(a.zero_point))})
    yield Alternative("missing operand", "the second counts as 0", {"b": np.full_like(one.b, int(b.zero_point))})


@_faults.register
def _(one: LookupEvidence, element: Element) -> Iterator[Alternative]:
    copied = int(one.x_codes.reshape(-1)[0])
    yield Alternative("missing rescale", "the input's code is copied", finish=lambda _: copied)
    yield Alternative("wrong zero point", "the input's zero point is not subtracted", {"x": _zeroless(one.x)})


@_faults.register
def _(one: MeanEvidence, element: Element) -> Iterator[Alternative]:
    power = 1 << (one.count - 1).bit_length()
    if power != one.count:
        yield Alternative("wrong divisor", f"{power} instead of {one.count}", {"count": power})
    uncentered = one.sums + int(one.x.zero_point) * one.count
    yield Alternative("wrong zero point", "the input's zero point is not subtracted", {"sums": uncentered})


@_faults.register
def _(one: AverageEvidence, element: Element) -> Iterator[Alternative]:
    every = np.full_like(one.count, len(one.taps))
    inside = np.asarray(one.inside.sum(axis=0), np.int64)
    if (every != one.count).any():
        yield Alternative("wrong divisor", "the padding counts in the divisor", {"count": every})
    if (inside != one.count).any():
        yield Alternative("wrong divisor", "only the image's elements count in the divisor", {"count": inside})
    yield Alternative("wrong zero point", "the input's zero point is not subtracted", {"x": _zeroless(one.x)})
    if not one.inside.all():
        padded = np.where(one.inside, one.taps, 0).astype(one.taps.dtype)
        changed = {"taps": padded, "inside": np.ones_like(one.inside), "count": every}
        yield Alternative("wrong pad value", "padding counts as elements of code 0", changed)
