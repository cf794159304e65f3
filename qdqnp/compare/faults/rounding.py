"""Rounding of one layer: another tie rule, or truncation, where the other layers round as they should."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np

from qdqnp.compare.faults.site import Finding, Site
from qdqnp.compare.inspect import RULE_OF
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.rules.requantize import FloatScaled, Requantizer, Rounded
from qdqnp.quant import Array, Int64, Quant

TIE = "wrong tie rule"
TRUNCATION = "truncation instead of rounding"
TRUNCATIONS = ("truncate", "floor")
# Names of the fields in which rules and stages keep a rounding.
ROUNDING_FIELDS = ("rounding", "tie", "inner")


def recognize(site: Site) -> Iterator[Finding]:
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


def _float(site: Site) -> Iterator[Finding]:
    """Rules that round a float product: half away and half up for half to even, truncation and floor."""
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
    stages = dict(rule.stages(sums))
    y = rule.y
    inner = getattr(rule, "inner", rule)
    if "real" not in stages or y is None or not isinstance(inner, FloatScaled | Rounded):
        return np.full(sums.shape, np.iinfo(np.int64).min)  # no such rounding: equal to nothing
    real: Array = stages["real"].astype(np.float64)  # float32 values and halves are exact in float64
    return clipped(function(real), y)


def clipped(value: Array, y: Quant) -> Array:
    low, high = y.range
    return np.clip(value + int(y.zero_point), low, high).astype(y.dtype)
