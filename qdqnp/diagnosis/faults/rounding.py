"""Rounding of one layer: another tie rule, or truncation, where the other layers round as they should."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.errors import QdqnpError
from qdqnp.numerics.choices import neighbours
from qdqnp.numerics.profiles.ort import ORT
from qdqnp.numerics.rules.requantize.float_round import Rounded
from qdqnp.numerics.rules.requantize.float_scale import FloatScaled
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.numerics.values import named
from qdqnp.ops.registry import rule_of
from qdqnp.quant import Array, Int64, Quant

TIE = "wrong tie rule"
TRUNCATION = "truncation instead of rounding"
TRUNCATIONS = ("truncate", "floor")
# How near a boundary the arithmetics of real devices part: two roundings add up to 2^-5, narrow multipliers less.
BESIDE_LSB = 2.0**-4
# Steps of one LSB in which a real value is looked at.
FINE = 256


def recognize(suspect: Suspect) -> Iterator[Finding]:
    yield from _float(suspect)
    field = rule_of(suspect.step.op)
    if not field:
        return
    for near in neighbours(getattr(suspect.profile, field)):
        if near.kind != "tie rule":
            continue
        profile = replace(suspect.profile, **{field: near.rule})
        if suspect.explained(lambda v, profile=profile: suspect.evaluate(v, profile=profile)):  # type: ignore[misc]
            yield Finding(TRUNCATION if near.value in TRUNCATIONS else TIE, near.text)
            return


def _float(suspect: Suspect) -> Iterator[Finding]:
    """Rules that round a float product: half away and half up for half to even, truncation and floor."""
    if suspect.sums is None or not all(_rounds_a_product(rule) for asked in suspect.sums.values() for _, rule in asked):
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

        if suspect.from_sums(codes):
            yield Finding(TRUNCATION if rounding in TRUNCATIONS else TIE, rounding)
            return


def rounded(rule: Requantizer, sums: Int64, function: Any) -> Array:
    """Codes of a rule whose stages have a real value, rounded in another way."""
    assert rule.y is not None
    real: Array = named(rule.stages(sums), "real").astype(np.float64)  # float32 values and halves are exact in float64
    return clipped(function(real), rule.y)


def _rounds_a_product(rule: Requantizer) -> bool:
    return rule.y is not None and isinstance(rule, FloatScaled | Rounded)


def at_boundaries(suspect: Suspect) -> bool:
    """Whether every difference is of 1 LSB, where the real value lies beside the boundary of the two codes."""
    y = suspect.step.outputs[0].quant
    if (
        y is None
        or not suspect.alone
        or not rule_of(suspect.step.op)
        or len(suspect.bound.questions(suspect.values[0])) != 1
    ):
        return False
    fine = replace(
        y, dtype=np.dtype(np.int32), scale=np.asarray(y.scale / FINE, np.float32), zero_point=np.zeros((), np.int32)
    )
    step = rebind.with_output(suspect.step, fine)
    for case in suspect.bad_cases:
        bad = suspect.differs[case]
        got, want = (side[bad].astype(np.int64) for side in (suspect.got[case], suspect.want[case]))
        try:
            position = suspect.evaluate(suspect.values[case], step, profile=ORT)[bad] / FINE + int(y.zero_point)
        except QdqnpError:
            return False
        if (np.abs(got - want) != 1).any() or (np.abs(position - (got + want) / 2) > BESIDE_LSB).any():
            return False
    return True


def clipped(value: Array, y: Quant) -> Array:
    low, high = y.range
    return np.clip(value + int(y.zero_point), low, high).astype(y.dtype)
