"""Rounding of one layer: another tie rule, or truncation, where the other layers round as they should."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.errors import QdqnpError
from qdqnp.inspection.layers import RULE_OF
from qdqnp.numerics.profiles.ort import ORT
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.rules.requantize import FloatScaled, Requantizer, Rounded
from qdqnp.quant import Array, Int64, Quant

TIE = "wrong tie rule"
TRUNCATION = "truncation instead of rounding"
TRUNCATIONS = ("truncate", "floor")
# How near a boundary the arithmetics of real devices part: two roundings add up to 2^-5, narrow multipliers less.
BESIDE_LSB = 2.0**-4
# Steps of one LSB in which a real value is looked at.
FINE = 256
# Names of the fields in which rules and stages keep a rounding.
ROUNDING_FIELDS = ("rounding", "tie", "inner")


def recognize(site: Suspect) -> Iterator[Finding]:
    yield from _float(site)
    field = RULE_OF.get(site.step.op)
    if field is None:
        return
    for place, rounding, rule in changed(getattr(site.profile, field)):
        profile = replace(site.profile, **{field: rule})
        if site.explained(lambda v, profile=profile: site.evaluate(v, profile=profile)):  # type: ignore[misc]
            yield Finding(TRUNCATION if rounding in TRUNCATIONS else TIE, f"{rounding} in {place}")
            return


def changed(rule: Any, depth: int = 0) -> Iterator[tuple[str, str, Any]]:
    """(where, which rounding, the rule with it) for every rounding that a rule or what it holds may be given: each
    alone, the last first, because that is the one that is written by hand."""
    if depth > 4 or not is_dataclass(rule) or isinstance(rule, type):
        return
    for item in reversed(fields(rule)):
        value = getattr(rule, item.name)
        if item.name in ROUNDING_FIELDS and value in ROUNDINGS:
            for other in ROUNDINGS:
                if other != value:
                    yield f"{type(rule).__name__}", other, replace(rule, **{item.name: other})
        elif isinstance(value, tuple):
            for index in reversed(range(len(value))):
                for place, other, inner in changed(value[index], depth + 1):
                    yield place, other, replace(rule, **{item.name: (*value[:index], inner, *value[index + 1 :])})
        else:
            for place, other, inner in changed(value, depth + 1):
                yield place, other, replace(rule, **{item.name: inner})


def _float(site: Suspect) -> Iterator[Finding]:
    """Rules that round a float product: half away and half up for half to even, truncation and floor."""
    if site.sums is None or not all(_rounds_a_product(rule) for _, rule in site.sums.values()):
        return
    kinds = {
        "half-away": lambda real: np.sign(real) * np.floor(np.abs(real) + 0.5),
        "half-up": lambda real: np.floor(real + 0.5),
        "half-even": np.rint,
        "truncate": np.trunc,
        "floor": np.floor,
    }
    for rounding, function in kinds.items():

        def codes(sums: Int64, rule: Requantizer, function: Any = function) -> Array:
            return rounded(rule, sums, function)

        if site.from_sums(codes):
            yield Finding(TRUNCATION if rounding in TRUNCATIONS else TIE, rounding)
            return


def rounded(rule: Requantizer, sums: Int64, function: Any) -> Array:
    """Codes of a rule whose stages have a real value, rounded in another way."""
    assert rule.y is not None
    real: Array = dict(rule.stages(sums))["real"].astype(np.float64)  # float32 values and halves are exact in float64
    return clipped(function(real), rule.y)


def _rounds_a_product(rule: Requantizer) -> bool:
    return rule.y is not None and isinstance(getattr(rule, "inner", rule), FloatScaled | Rounded)


def at_boundaries(site: Suspect) -> bool:
    """Whether every difference is of 1 LSB, where the real value lies beside the boundary of the two codes."""
    y = site.step.outputs[0].quant
    if y is None or not site.alone or site.step.op not in RULE_OF or site.step.op == "QLinearConcat":
        return False
    fine = replace(
        y, dtype=np.dtype(np.int32), scale=np.asarray(y.scale / FINE, np.float32), zero_point=np.zeros((), np.int32)
    )
    step = rebind.with_output(site.step, fine)
    for case in site.bad_cases:
        bad = site.differs[case]
        got, want = (side[bad].astype(np.int64) for side in (site.got[case], site.want[case]))
        try:
            position = site.evaluate(site.values[case], step, profile=ORT)[bad] / FINE + int(y.zero_point)
        except QdqnpError:
            return False
        if (np.abs(got - want) != 1).any() or (np.abs(position - (got + want) / 2) > BESIDE_LSB).any():
            return False
    return True


def clipped(value: Array, y: Quant) -> Array:
    low, high = y.range
    return np.clip(value + int(y.zero_point), low, high).astype(y.dtype)
