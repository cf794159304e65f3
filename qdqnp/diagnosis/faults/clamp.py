"""Clamps: no saturation at all, or only the lower one, which is a fused ReLU, left out. And a narrow accumulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.numerics.width import saturate, wrap
from qdqnp.program import Step
from qdqnp.quant import Array, Int64, Quant

NO_CLAMP = "missing clamp"
NO_RELU = "ReLU missing"
NARROW = "16-bit accumulator"
# (sums, bits) -> what a register of so many bits keeps
Keep = Callable[[Int64, int], Int64]


def no_clamp(suspect: Suspect) -> Iterator[Finding]:
    """Codes beyond the dtype keep their low bits."""
    wide = _unclipped(suspect)
    if wide is None:
        return
    y = _output(suspect)
    assert y is not None
    if suspect.explained(lambda v: suspect.evaluate(v, wide).astype(y.dtype)):
        yield Finding(NO_CLAMP, "codes beyond the dtype wrap")


def no_relu(suspect: Suspect) -> Iterator[Finding]:
    """The zero point is the lowest code, so that the lower clamp is the ReLU: negative values appear, wrapped in an
    integer dump and as themselves in a float one."""
    wide, y = _unclipped(suspect), _output(suspect)
    if wide is None or y is None or int(y.zero_point) != y.range[0]:
        return
    high = y.range[1]
    if suspect.explained(lambda v: np.minimum(suspect.evaluate(v, wide), high).astype(y.dtype)):
        yield Finding(NO_RELU, "negative values wrap")
    elif suspect.alone and (
        suspect.explained(lambda v: np.minimum(suspect.evaluate(v, wide), high))
        or suspect.explained(lambda v: suspect.evaluate(v, wide))
    ):
        yield Finding(NO_RELU, "negative values stand in the dump")


def _output(suspect: Suspect) -> Quant | None:
    return suspect.step.outputs[0].quant


def _unclipped(suspect: Suspect) -> Step | None:
    """The step with so wide an output that nothing is clipped; None where it does not requantize."""
    y = _output(suspect)
    if y is None or not suspect.step.op.startswith(("QLinear", "QGemm")) or suspect.step.op == "QLinearConcat":
        return None
    return rebind.with_output(suspect.step, replace(y, dtype=np.dtype(np.int32)))


def narrow_accumulator(suspect: Suspect) -> Iterator[Finding]:
    """Sums kept in 16 bits: wrapped or saturated; with the bias, before it, or before the zero point's correction."""
    if suspect.sums is None:
        return
    correction = _correction(suspect)
    for text, keep in (("wraps", wrap), ("saturates", saturate)):
        for place in ("with the bias", "before the bias", "before the zero point's correction"):
            if place == "before the zero point's correction" and correction is None:
                continue

            def codes(sums: Int64, rule: Requantizer, place: str = place, keep: Keep = keep) -> Array:
                bias = rule.bias if rule.bias is not None else np.int64(0)
                if place == "with the bias":
                    return rule(keep(sums + bias, 16) - bias)
                if place == "before the bias":
                    return rule(keep(sums, 16))
                assert correction is not None
                return rule(keep(sums - correction, 16) + correction)

            if suspect.from_sums(codes):
                yield Finding(NARROW, f"{text}, {place}")
                return


def _correction(suspect: Suspect) -> Int64 | None:
    """What the input's zero point adds to each channel's raw sum, by channel."""
    if suspect.step.op != "QLinearConv" or suspect.step.inputs[0] is None or suspect.step.inputs[1] is None:
        return None
    x, w = suspect.step.inputs[0].quant, suspect.step.inputs[1].quant
    weights = suspect.bound.consts.get(suspect.step.inputs[1].name)
    if weights is None or x is None or w is None:
        return None
    zero = w.zero_point.astype(np.int64).reshape(-1, *(1,) * (weights.ndim - 1))
    total: Int64 = (weights.astype(np.int64) - zero).reshape(weights.shape[0], -1).sum(axis=1)
    return -int(x.zero_point) * total
