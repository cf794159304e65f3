"""Which single cause gives a device's value for one output element: each hypothesis is computed, none is guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any

import numpy as np

from qdqnp.diagnosis.explain.terms import Term
from qdqnp.diagnosis.identify.families import NAMED, describe, structural
from qdqnp.errors import ProfileError
from qdqnp.numerics.choices import neighbours
from qdqnp.numerics.questions import Means, Pairs, Question, Singles, Sums, Windows
from qdqnp.numerics.rules.requantize.narrow import Narrowed
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.numerics.rules.undefined import Undefined
from qdqnp.numerics.values import named
from qdqnp.numerics.width import saturate, wrap
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

    one: Question
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
    changed: Question | None = None
    rule: Any = None
    finish: Callable[[int], int] = _as_it_is

    def code(self, element: Element) -> int:
        codes = (self.changed or element.one).codes(self.rule if self.rule is not None else element.rule)
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
    for near in (*neighbours(element.rule), *structural(element.rule)):
        yield Alternative(near.kind, near.text, rule=near.rule)
    for profile in NAMED:
        rule = getattr(profile, element.one.rule)
        if not isinstance(rule, Undefined) and rule != element.rule:
            yield Alternative("other arithmetic", f"{profile.name}: {describe(rule)}", rule=rule)


def _finishes(one: Any) -> Iterator[Alternative]:
    """What can go wrong after the rounding, whatever the operator."""
    y: Quant | None = one.y
    if y is None:
        return
    low, high = y.range

    def wrapped(code: int) -> int:
        return (code - low) % (high - low + 1) + low

    yield Alternative(
        "signedness",
        "the sign bit is inverted: uint8 read as int8 or the reverse",
        finish=lambda code: wrapped(code + 128),
    )
    yield Alternative("wrong zero point", "the output's zero point is not added", one.with_y(_zeroless(y)))
    wide = replace(y, dtype=np.dtype(np.int32), zero_point=y.zero_point.astype(np.int32))
    yield Alternative("saturation", "the result wraps instead of saturating", one.with_y(wide), finish=wrapped)


def _zeroless(quant: Quant) -> Quant:
    return replace(quant, zero_point=np.zeros_like(quant.zero_point))


# -- faults of one operator family -------------------------------------------------------------------------------------
@singledispatch
def _faults(one: Any, element: Element) -> Iterator[Alternative]:
    yield from ()


@_faults.register
def _(one: Sums, element: Element) -> Iterator[Alternative]:
    column, channels = element.column, one.sums.shape[-1]
    if one.context.bias is not None:
        yield Alternative(
            "missing bias", "the bias is not added", replace(one, context=replace(one.context, bias=None))
        )
    neighbours = [to for to in (column - 1, column + 1) if 0 <= to < channels]
    for to in neighbours if one.context.bias is not None else ():
        yield Alternative("neighbour's bias", f"the bias of channel {to}", replace(one, context=_bias_of(one, to)))
    for to in dict.fromkeys([*neighbours, 0]) if one.context.w.scale.ndim else ():
        yield Alternative(
            "neighbour's scale", f"the weight scale of channel {to}", replace(one, context=_scale_of(one.context, to))
        )
    for kind, text, change in _sum_faults(element.terms):
        yield Alternative(kind, text, one.with_sums(one.sums + change))
    for bits in (16, 24):
        yield Alternative(
            "accumulator wrap", f"a {bits}-bit accumulator that wraps", one.with_sums(_narrow(one, wrap, bits))
        )
        saturated = _narrow(one, saturate, bits)
        yield Alternative("accumulator wrap", f"a {bits}-bit accumulator that saturates", one.with_sums(saturated))
    bound = element.rule.bind(one.context)
    if isinstance(bound, Narrowed):
        code = int(_narrowed_wrap(bound, one.sums).reshape(-1)[column])
        yield Alternative("saturation", "the first narrowing wraps at 16 bits", finish=lambda _: code)


def _bias_of(one: Sums, channel: int) -> SumContext:
    """The layer with one channel's bias for all."""
    assert one.context.bias is not None
    row = np.broadcast_to(one.context.bias, one.sums.shape)[0]
    return replace(one.context, bias=np.full_like(row, row[channel]))


def _scale_of(layer: SumContext, channel: int) -> SumContext:
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


def _narrow(one: Sums, way: Callable[[Int64, int], Int64], bits: int) -> Int64:
    """Sums whose accumulator, bias included, is narrowed; the rule will add the bias again."""
    bias = one.context.wide_bias
    return way(one.sums, bits) if bias is None else way(one.sums + bias, bits) - bias


def _narrowed_wrap(bound: Narrowed, sums: Int64) -> Int64:
    return bound.second(wrap(named(bound.first(sums), "narrowed"), 16))[-1].array


@_faults.register
def _(one: Pairs, element: Element) -> Iterator[Alternative]:
    a, b, y = one.quants
    scaled = (replace(a, scale=b.scale), replace(b, scale=a.scale), y)
    for text, quants in (
        ("the operands' scales are exchanged", scaled),
        ("the operands' scales and zero points are exchanged", (b, a, y)),
        ("the first operand's scale and zero point for both", (a, a, y)),
        ("the second operand's scale and zero point for both", (b, b, y)),
    ):
        yield Alternative("neighbour's scale", text, replace(one, quants=quants))
    for which, quants in (("first", (_zeroless(a), b, y)), ("second", (a, _zeroless(b), y))):
        yield Alternative("wrong zero point", f"the {which} operand's is not subtracted", replace(one, quants=quants))
    yield Alternative(
        "missing operand", "the first counts as 0", replace(one, a=np.full_like(one.a, int(a.zero_point)))
    )
    yield Alternative(
        "missing operand", "the second counts as 0", replace(one, b=np.full_like(one.b, int(b.zero_point)))
    )


@_faults.register
def _(one: Singles, element: Element) -> Iterator[Alternative]:
    copied = int(one.x_codes.reshape(-1)[0])
    yield Alternative("missing rescale", "the input's code is copied", finish=lambda _: copied)
    yield Alternative("wrong zero point", "the input's zero point is not subtracted", replace(one, x=_zeroless(one.x)))


@_faults.register
def _(one: Means, element: Element) -> Iterator[Alternative]:
    power = 1 << (one.count - 1).bit_length()
    if power != one.count:
        yield Alternative("wrong divisor", f"{power} instead of {one.count}", replace(one, count=power))
    uncentered = one.sums + int(one.x.zero_point) * one.count
    yield Alternative("wrong zero point", "the input's zero point is not subtracted", one.with_sums(uncentered))


@_faults.register
def _(one: Windows, element: Element) -> Iterator[Alternative]:
    every = np.full_like(one.count, len(one.taps))
    inside = np.asarray(one.inside.sum(axis=0), np.int64)
    if (every != one.count).any():
        yield Alternative("wrong divisor", "the padding counts in the divisor", replace(one, count=every))
    if (inside != one.count).any():
        yield Alternative("wrong divisor", "only the image's elements count in the divisor", replace(one, count=inside))
    yield Alternative("wrong zero point", "the input's zero point is not subtracted", replace(one, x=_zeroless(one.x)))
    if not one.inside.all():
        padded = np.where(one.inside, one.taps, 0).astype(one.taps.dtype)
        changed = replace(one, taps=padded, inside=np.ones_like(one.inside), count=every)
        yield Alternative("wrong pad value", "padding counts as elements of code 0", changed)
