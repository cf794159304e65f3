"""Families of arithmetic: for each operator, the rules that differ from each other in one known free choice.

What a device's arithmetic may be, beyond the profiles that have a name: every tie rule, every order of the scale
product, every width of the multiplier, one rounding or two. `fit` searches them, `explain` tries their neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from qdqnp.numerics.multiplier import Mantissa24, PowerOfTwo, QuantizeMultiplier, Reduced16, Scheme, Truncated16
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.rules.average import DividedAverage, FloatAverage, MeanAverage, ReciprocalAverage
from qdqnp.numerics.rules.binary import (
    AlignedAdd,
    FloatAdd,
    FloatMul,
    RationalAdd,
    RationalMul,
    RescaledMul,
    ThreeRescaleAdd,
)
from qdqnp.numerics.rules.lookup import AffineLookup, FloatLookup, RationalLookup, RescaledLookup
from qdqnp.numerics.rules.mean import FloatMean, NarrowMean, RationalMean, RescaleMean
from qdqnp.numerics.rules.requantize import FloatRound, FloatScale, NarrowThenAffine, RationalScale, Rescale, Undefined
from qdqnp.numerics.stages import DoubleRound, MultiplyHigh, MultiplyShift, ShiftLeft, ShiftRight, Stage

TIES = tuple(ROUNDINGS)
# The profiles that their rules alone tell apart: another lowering may round elsewhere, whatever its rules.
NAMED = tuple(profile for profile in PROFILES.values() if profile.lowering == PROFILES["ort"].lowering)
PRECISIONS = ("float64", "float32-product", "float32")
SCHEMES: tuple[Scheme, ...] = (QuantizeMultiplier(), Reduced16(), Mantissa24(), Truncated16(), PowerOfTwo())
# Of the wide sum of an Add: fewer bits lose what the codes need, more leave int32.
LEFT_SHIFTS = tuple(range(8, 23))
ACCUMULATORS = ("exact", "saturate-24", "wrap-24")


def rescales() -> Iterator[Rescale]:
    """Integer multiplier and shift: one rounding, two, or Ethos-U's doubled one; every multiplier, every order."""
    once: list[tuple[Stage, ...]] = [(MultiplyShift(tie),) for tie in TIES]
    twice: list[tuple[Stage, ...]] = [
        (ShiftLeft(), MultiplyHigh(high), ShiftRight(right)) for high, right in product(TIES, TIES)
    ]
    doubled: list[tuple[Stage, ...]] = [(DoubleRound(),), (DoubleRound(signed=False),)]
    for precision, scheme in product(PRECISIONS, SCHEMES):
        full = isinstance(scheme, QuantizeMultiplier)
        # two roundings are a matter of 31-bit multipliers: narrower products fit one shift
        for stages in (*once, *twice, *doubled) if full else once:
            yield Rescale(scheme, stages, precision)


def requantizations() -> Iterator[Any]:
    yield FloatScale()
    yield RationalScale()
    for scale, precision, tie in product(PRECISIONS, ("float32", "float64"), ("half-even", "half-away")):
        yield FloatRound(scale, precision, tie)
    yield from rescales()
    yield from (NarrowThenAffine(tie, accumulator) for accumulator, tie in product(ACCUMULATORS, TIES))
    for accumulator, tie, first in product(ACCUMULATORS, TIES, TIES):
        if first != tie:
            yield NarrowThenAffine(tie, accumulator, first_tie=first)


def means() -> Iterator[Any]:
    yield from (FloatMean(), RationalMean())
    yield from (RescaleMean(rescale) for rescale in _plain_rescales())
    yield from (NarrowMean(tie) for tie in TIES)


def averages() -> Iterator[Any]:
    yield FloatAverage()
    for mean in means():
        yield MeanAverage(mean)
        yield DividedAverage(mean)
    yield from (ReciprocalAverage(NarrowMean(inner), tie) for tie, inner in product(TIES, TIES))


def additions() -> Iterator[Any]:
    yield from (FloatAdd(), RationalAdd())
    yield from (ThreeRescaleAdd(rescale) for rescale in _plain_rescales())
    yield from (ThreeRescaleAdd(rescale, shift) for rescale, shift in product(_named_rescales(), LEFT_SHIFTS))
    yield from (AlignedAdd(tie, inner) for tie, inner in product(TIES, TIES))


def products() -> Iterator[Any]:
    yield from (FloatMul(), RationalMul())
    yield from (RescaledMul(rescale) for rescale in _plain_rescales())


def rescalings() -> Iterator[Any]:
    """Of Concat's inputs."""
    yield from (FloatLookup(), RationalLookup())
    yield from (RescaledLookup(rescale) for rescale in _plain_rescales())
    yield from (AffineLookup(tie) for tie in TIES)


def lookups() -> Iterator[Any]:
    yield from (FloatLookup(), RationalLookup())


def _named_rescales() -> Iterator[Rescale]:
    """Those of the profiles that add by three of them."""
    rules = (profile.add for profile in NAMED)
    yield from dict.fromkeys(rule.rescale for rule in rules if isinstance(rule, ThreeRescaleAdd))


def _plain_rescales() -> Iterator[Rescale]:
    """These rules form the ratio themselves: the order of a scale product is none of their choices."""
    return (rescale for rescale in rescales() if rescale.precision == "float64")


_FAMILIES = {
    "conv": requantizations,
    "matmul": requantizations,
    "gemm": requantizations,
    "add": additions,
    "mul": products,
    "concat": rescalings,
    "lookup": lookups,
    "average_pool": averages,
    "global_average_pool": means,
}


def candidates(field: str) -> list[Any]:
    """Every rule to try for a field of a profile, those of the named profiles first; no rule twice."""
    named = [getattr(profile, field) for profile in NAMED]
    family = _FAMILIES[field]() if field in _FAMILIES else ()
    rules = (rule for rule in (*named, *family) if not isinstance(rule, Undefined))
    found: dict[Any, Any] = {}
    for rule in rules:
        found.setdefault(replace(rule, status="inferred"), rule)  # a status is no arithmetic
    return list(found.values())


def names_of(field: str, rule: Any) -> list[str]:
    """The named profiles whose rule for a field is this one."""
    same = replace(rule, status="inferred")
    return [
        profile.name
        for profile in NAMED
        if not isinstance(getattr(profile, field), Undefined)
        and replace(getattr(profile, field), status="inferred") == same
    ]


def describe(rule: Any) -> str:
    """A rule in a few words: its class and what it chooses."""
    if isinstance(rule, Rescale):
        stages = ", ".join(_stage(stage) for stage in rule.stages)
        return f"Rescale({type(rule.scheme).__name__}; {stages}; {rule.precision} scale product)"
    parts = [
        describe(value) if isinstance(value, Rescale | NarrowMean | RescaleMean) else f"{name}={value}"
        for name, value in vars(rule).items()
        if name not in ("status", "overrides")
    ]
    return f"{type(rule).__name__}({', '.join(parts)})"


def _stage(stage: Stage) -> str:
    return f"{type(stage).__name__}({', '.join(str(value) for value in vars(stage).values())})"


def variations(rule: Any) -> Iterator[tuple[str, str, Any]]:
    """The neighbours of a rule: (what is different, in which way, the other rule)."""
    if isinstance(rule, Rescale):
        yield from _rescale_variations(rule)
    elif isinstance(rule, FloatScale | RationalScale | FloatRound):
        yield from _real_variations(rule)
    elif isinstance(rule, NarrowThenAffine):
        for tie in _others(TIES, rule.tie):
            yield "tie rule", f"both roundings {tie}", replace(rule, tie=tie, first_tie="same")
            yield "tie rule", f"second rounding {tie}", replace(rule, tie=tie, first_tie=rule.inner_tie)
        for tie in _others(TIES, rule.inner_tie):
            yield "tie rule", f"first rounding {tie}", replace(rule, first_tie=tie)
        for accumulator in _others(ACCUMULATORS, rule.accumulator):
            yield "accumulator wrap", f"accumulator {accumulator}", replace(rule, accumulator=accumulator)
        yield "double rounding", "one rounding of the real value instead of two", RationalScale()
    else:
        yield from _inner_variations(rule)


def _others(options: Sequence[str], current: str) -> list[str]:
    return [option for option in options if option != current]


def _rescale_variations(rule: Rescale) -> Iterator[tuple[str, str, Rescale]]:
    for index, stage in enumerate(rule.stages):
        for tie in _others(TIES, getattr(stage, "rounding", "")) if hasattr(stage, "rounding") else ():
            stages = (*rule.stages[:index], replace(stage, rounding=tie), *rule.stages[index + 1 :])  # type: ignore[type-var]
            yield "tie rule", f"{type(stage).__name__} {tie}", replace(rule, stages=stages)
    if any(isinstance(stage, MultiplyHigh | DoubleRound) for stage in rule.stages):
        yield "double rounding", "one rounding instead of two", replace(rule, stages=(MultiplyShift("half-up"),))
    elif isinstance(rule.scheme, QuantizeMultiplier):
        stages = (ShiftLeft(), MultiplyHigh(), ShiftRight("half-away"))
        yield "double rounding", "two roundings instead of one", replace(rule, stages=stages)
    for precision in _others(PRECISIONS, rule.precision):
        yield "scale order", f"scale product in {precision}", replace(rule, precision=precision)
    for scheme in SCHEMES:
        if scheme != rule.scheme and not isinstance(scheme, PowerOfTwo):
            single = replace(rule, scheme=scheme, stages=(MultiplyShift("half-up"),))
            yield "multiplier width", f"multiplier by {type(scheme).__name__}", single


def _real_variations(rule: Any) -> Iterator[tuple[str, str, Any]]:
    """Of rules that round a real product once."""
    base = rule
    if isinstance(rule, FloatScale):
        base = FloatRound("float32", "float32", "half-even")
    elif isinstance(rule, RationalScale):
        base = FloatRound("float64", "float64", "half-even")
    for tie in _others(("half-even", "half-away"), base.ties_to):
        yield "tie rule", tie, replace(base, ties_to=tie)
    for tie in TIES:
        single = Rescale(QuantizeMultiplier(), (MultiplyShift(tie),), base.scale)
        yield "tie rule", f"31-bit multiplier, {tie}", single
    twice = (ShiftLeft(), MultiplyHigh(), ShiftRight("half-away"))
    yield "double rounding", "two roundings instead of one", Rescale(QuantizeMultiplier(), twice, base.scale)
    for precision in _others(PRECISIONS, base.scale):
        yield "scale order", f"scale product in {precision}", replace(base, scale=precision)
    for precision in _others(("float32", "float64"), base.precision):
        yield "scale order", f"product with the accumulator in {precision}", replace(base, precision=precision)


def _inner_variations(rule: Any) -> Iterator[tuple[str, str, Any]]:
    """Of rules that hold a tie, an inner tie, or another rule that has them; else the kinds of the same operator."""
    for name in ("tie", "inner"):
        for tie in _others(TIES, getattr(rule, name)) if hasattr(rule, name) else ():
            yield "tie rule", f"{name} {tie}", replace(rule, **{name: tie})
    for name in ("rescale", "mean"):
        if hasattr(rule, name):
            for cause, text, inner in variations(getattr(rule, name)):
                if cause != "scale order":
                    yield cause, text, replace(rule, **{name: inner})
