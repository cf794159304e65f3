"""Families of arithmetic: for each operator, the rules that differ from each other in one known free choice.

Besides the named profiles, a family holds what a device's arithmetic may be: every tie rule, every order of the scale
product, every width of the multiplier, one rounding or two. `fit` searches the families, `explain` tries their
neighbours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

from qdqnp.numerics.choices import Neighbour, families_of, neighbours, variants
from qdqnp.numerics.multiplier import FixedShift, PowerOfTwo, QuantizeMultiplier, Scheme, TopMantissa, VelaPooling
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.rule import Rule, kinds
from qdqnp.numerics.rules.add import ThreeRescaleAdd
from qdqnp.numerics.rules.average import DividedAverage, ReciprocalAverage
from qdqnp.numerics.rules.by_requantization import CodeAdd, OperandAdd, RequantizedMean
from qdqnp.numerics.rules.functions import TfliteFunctions
from qdqnp.numerics.rules.lookup import RescaledLookup
from qdqnp.numerics.rules.mean import DividedMean, NarrowMean, RescaleMean, SummedMean
from qdqnp.numerics.rules.mul import RescaledMul
from qdqnp.numerics.rules.raw_mean import RoundedOffsetMean
from qdqnp.numerics.rules.reciprocal_average import FixedReciprocalAverage
from qdqnp.numerics.rules.requantize.by_symmetry import BySymmetry
from qdqnp.numerics.rules.requantize.float_round import FloatRound
from qdqnp.numerics.rules.requantize.float_scale import FloatScale
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine
from qdqnp.numerics.rules.requantize.rational import RationalScale
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.rules.tables import DelegatedLookup, XnnpackFunctions
from qdqnp.numerics.rules.tflite_softmax import FixedSoftmax, FloatSoftmax
from qdqnp.numerics.rules.undefined import Undefined
from qdqnp.numerics.stages import DoubleRound, MultiplyHigh, MultiplyShift, ShiftLeft, ShiftRight, Stage

# The profiles that differ by their rules alone: another lowering may round at other places.
NAMED = tuple(profile for profile in PROFILES.values() if profile.lowers_like(PROFILES["ort"]))
# Left shifts of an Add's wide sum: smaller ones lose bits that the codes need, larger ones leave int32.
LEFT_SHIFTS = tuple(range(8, 23))
# Multipliers of one device each; two of them serve rescales of codes only.
OWN_SCHEMES = (FixedShift, TopMantissa, VelaPooling)
# The two roundings of TFLite.
TWICE: tuple[Stage, ...] = (ShiftLeft(), MultiplyHigh(), ShiftRight("half-away"))


def schemes() -> list[Scheme]:
    """List the ways to make a multiplier's integers that are combined with every rounding.

    Those of one device come with its named profile only.
    """
    return [kind() for kind in kinds("scheme") if kind not in OWN_SCHEMES]  # type: ignore[misc]


def rescales(**given: Iterable[Any]) -> Iterator[Rescale]:
    """Yield the rules with an integer multiplier and shift: one rounding, two, or Ethos-U's doubled one; every
    multiplier, every order. Rules whose sums leave 32 bits are not searched.

        given: values to take for some fields instead, by field name.
    """
    once: list[tuple[Stage, ...]] = [(MultiplyShift(tie),) for tie in ROUNDINGS]
    twice: list[tuple[Stage, ...]] = [
        (ShiftLeft(), MultiplyHigh(high), ShiftRight(right)) for high, right in product(ROUNDINGS, ROUNDINGS)
    ]
    doubled: list[tuple[Stage, ...]] = [(DoubleRound(),), (DoubleRound(signed=False),)]
    for scheme in schemes():
        # only 31-bit multipliers need two roundings: narrower products fit one shift
        stages = (*once, *twice, *doubled) if isinstance(scheme, QuantizeMultiplier) else once
        yield from variants(Rescale, **{"scheme": [scheme], "stages": stages, "accumulator": [32], **given})


def _plain_rescales() -> list[Rescale]:
    """List the rescales of rules that form the ratio of scales themselves; the order of the scale product is not a
    choice there."""
    return list(rescales(precision=["float64"]))


def _additions() -> Iterator[ThreeRescaleAdd]:
    yield from (ThreeRescaleAdd(rescale) for rescale in _plain_rescales())
    own = [profile.add.rescale for profile in NAMED if isinstance(profile.add, ThreeRescaleAdd)]
    yield from (ThreeRescaleAdd(rescale, shift) for rescale, shift in product(dict.fromkeys(own), LEFT_SHIFTS))


def _divides(rule: Any) -> bool:
    return isinstance(rule, DividedMean)


def _averages() -> Iterator[DividedAverage]:
    """Yield every rounding of the quotient with one mean: with equal scales, for which it counts, no mean is asked."""
    named = [profile.average_pool for profile in NAMED if isinstance(profile.average_pool, DividedAverage)]
    yield from (DividedAverage(mean) for kind in kinds("mean") for mean in searched(kind))
    yield from variants(DividedAverage, mean=[named[0].mean])


def _reciprocals() -> Iterator[FixedReciprocalAverage]:
    named = [profile.average_pool for profile in NAMED if isinstance(profile.average_pool, FixedReciprocalAverage)]
    stages: list[Stage] = [*(MultiplyShift(tie) for tie in ROUNDINGS), DoubleRound(), DoubleRound(signed=False)]
    given = {"bits": (30, 31), "centered": (True, False), "rescale": dict.fromkeys(rule.rescale for rule in named)}
    yield from variants(FixedReciprocalAverage, stage=stages, **given)


# The rules for which not every combination of choices is one to try. All others are searched whole.
_SEARCHED: Mapping[type, Callable[[], Iterator[Any]]] = {
    Rescale: rescales,
    RescaleMean: lambda: variants(RescaleMean, rescale=_plain_rescales()),
    # whatever its rescale, it differs from a RescaleMean for equal scales only, and there not by its rescale
    DividedMean: lambda: iter(dict.fromkeys(p.global_average_pool for p in NAMED if _divides(p.global_average_pool))),
    # each half is searched by itself
    DelegatedLookup: lambda: iter(dict.fromkeys(p.lookup for p in NAMED if isinstance(p.lookup, DelegatedLookup))),
    BySymmetry: lambda: iter(dict.fromkeys(p.matmul for p in NAMED if isinstance(p.matmul, BySymmetry))),
    RescaledMul: lambda: variants(RescaledMul, rescale=(*rescales(), *variants(FloatRound))),
    RescaledLookup: lambda: variants(RescaledLookup, rescale=_plain_rescales()),
    TfliteFunctions: lambda: variants(TfliteFunctions, rescale=_plain_rescales()),
    # by the requantization of a convolution, which is searched by itself
    OperandAdd: lambda: iter(dict.fromkeys(p.add for p in NAMED if isinstance(p.add, OperandAdd))),
    CodeAdd: lambda: iter(dict.fromkeys(p.add for p in NAMED if isinstance(p.add, CodeAdd))),
    RequantizedMean: lambda: iter(
        dict.fromkeys(p.global_average_pool for p in NAMED if isinstance(p.global_average_pool, RequantizedMean))
    ),
    XnnpackFunctions: lambda: variants(XnnpackFunctions, conversion=_plain_rescales()),
    FixedSoftmax: lambda: variants(FixedSoftmax, rescale=variants(RescaledLookup, rescale=_plain_rescales())),
    FloatSoftmax: lambda: variants(FloatSoftmax, rescale=variants(RescaledLookup, rescale=_plain_rescales())),
    SummedMean: lambda: variants(SummedMean, rescale=_plain_rescales()),
    RoundedOffsetMean: lambda: variants(RoundedOffsetMean, rescale=_plain_rescales()),
    DividedAverage: lambda: _averages(),
    FixedReciprocalAverage: lambda: _reciprocals(),
    ThreeRescaleAdd: _additions,
    ReciprocalAverage: lambda: variants(ReciprocalAverage, mean=variants(NarrowMean)),
}


def searched(kind: type[Rule]) -> Iterator[Any]:
    """Yield the instances of one class of rules that are tried. A rule that holds a mean is tried with every mean."""
    if kind in _SEARCHED:
        yield from _SEARCHED[kind]()
        return
    held = {
        item.name: [rule for inner in kinds(*families_of(item)) if inner is not Undefined for rule in searched(inner)]
        for item in dataclasses.fields(kind)  # type: ignore[arg-type]
        if families_of(item)
    }
    yield from variants(kind, **held)


def candidates(field: str) -> list[Any]:
    """List every rule to try for a field of a profile, those of the named profiles first, without duplicates."""
    named = [getattr(profile, field) for profile in NAMED]
    item = next(item for item in dataclasses.fields(Profile) if item.name == field)
    family = (rule for kind in kinds(*families_of(item)) if kind is not Undefined for rule in searched(kind))
    rules = (rule for rule in (*named, *family) if not isinstance(rule, Undefined))
    found: dict[Any, Any] = {}
    for rule in rules:
        found.setdefault(replace(rule, status="inferred"), rule)  # a status is not part of the arithmetic
    return list(found.values())


def names_of(field: str, rule: Any) -> list[str]:
    """List the named profiles whose rule for a field equals the given rule."""
    same = replace(rule, status="inferred")
    return [
        profile.name
        for profile in NAMED
        if not isinstance(getattr(profile, field), Undefined)
        and replace(getattr(profile, field), status="inferred") == same
    ]


def describe(rule: Any) -> str:
    """Describe a rule in a few words: its class and its choices."""
    if isinstance(rule, Rescale):
        stages = ", ".join(_stage(stage) for stage in rule.stages)
        return f"Rescale({type(rule.scheme).__name__}; {stages}; {rule.precision} scale product)"
    parts = [
        describe(value) if isinstance(value, Rule) else f"{name}={value}"
        for name, value in vars(rule).items()
        if name not in ("status", "overrides")
    ]
    return f"{type(rule).__name__}({', '.join(parts)})"


def _stage(stage: Stage) -> str:
    return f"{type(stage).__name__}({', '.join(str(value) for value in vars(stage).values())})"


def structural(rule: Any) -> Iterator[Neighbour]:
    """Yield the neighbours of a rule that are made of other parts: one rounding instead of two, or another
    multiplier."""
    if isinstance(rule, Rescale):
        yield from _rebuilt(rule)
    elif isinstance(rule, NarrowThenAffine):
        text = "one rounding of the real value instead of two"
        yield Neighbour("double rounding", text, None, RationalScale())
    elif isinstance(rule, FloatScale | RationalScale | FloatRound):
        yield from _of_real(rule)
    else:
        for name in [name for name in ("rescale", "mean") if hasattr(rule, name)]:
            for near in structural(getattr(rule, name)):
                yield replace(near, rule=replace(rule, **{name: near.rule}))


def _rebuilt(rule: Rescale) -> Iterator[Neighbour]:
    once: tuple[Stage, ...] = (MultiplyShift("half-up"),)
    if any(isinstance(stage, MultiplyHigh | DoubleRound) for stage in rule.stages):
        yield Neighbour("double rounding", "one rounding instead of two", once, replace(rule, stages=once))
    elif isinstance(rule.scheme, QuantizeMultiplier):
        yield Neighbour("double rounding", "two roundings instead of one", TWICE, replace(rule, stages=TWICE))
    for scheme in schemes():
        if scheme != rule.scheme and not isinstance(scheme, PowerOfTwo):
            text = f"multiplier by {type(scheme).__name__}"
            yield Neighbour("multiplier width", text, scheme, replace(rule, scheme=scheme, stages=once))


def _of_real(rule: FloatScale | RationalScale | FloatRound) -> Iterator[Neighbour]:
    """Yield the neighbours of a rule that rounds a real product once: the same rule with a floating-point product, and
    with an integer multiplier."""
    base = rule
    if isinstance(rule, FloatScale):
        base = FloatRound("float32", "float32", "half-even")
    elif isinstance(rule, RationalScale):
        base = FloatRound("float64", "float64", "half-even")
    assert isinstance(base, FloatRound)
    if base is not rule:
        yield from neighbours(base)
    for tie in ROUNDINGS:
        single = Rescale(QuantizeMultiplier(), (MultiplyShift(tie),), base.scale)
        yield Neighbour("tie rule", f"31-bit multiplier, {tie}", tie, single)
    twice = Rescale(QuantizeMultiplier(), TWICE, base.scale)
    yield Neighbour("double rounding", "two roundings instead of one", TWICE, twice)
