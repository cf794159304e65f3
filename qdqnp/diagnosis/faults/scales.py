"""Scales: one weight scale for all channels, Add's operands with each other's, Concat's rescale left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, islice

import numpy as np

from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.program import Operand
from qdqnp.quant import Array, Quant

PER_TENSOR = "per-tensor for per-channel scale"
SWAPPED = "swapped operands' scales"
NO_RESCALE = "missing Concat rescale"
# More joined inputs than this are tried one by one and all at once only.
MAX_JOINED = 8


def per_tensor(suspect: Suspect) -> Iterator[Finding]:
    """One scale for all channels: the largest, the mean, or any channel's."""
    if suspect.step.op not in ("QLinearConv", "QGemm", "QLinearMatMul") or suspect.step.inputs[1] is None:
        return
    w = suspect.step.inputs[1].quant
    if w is None or w.per_tensor:
        return
    candidates = _candidates(w.scale)
    for text, scale in candidates if suspect.alone else islice(candidates, 4):
        quant = replace(w, scale=np.full_like(w.scale, scale))
        if suspect.from_sums(lambda sums, _, quant=quant: _requantized(suspect, sums, quant)):  # type: ignore[misc]
            yield Finding(PER_TENSOR, f"{text}, {scale:.6g}")
            return


def _candidates(scales: Array) -> Iterator[tuple[str, np.float32]]:
    yield "the largest", np.max(scales)
    yield "the mean", np.float32(np.mean(scales.astype(np.float64)))
    yield "the smallest", np.min(scales)
    yield "channel 0's", scales.reshape(-1)[0]
    for channel, scale in enumerate(scales.reshape(-1)):
        yield f"channel {channel}'s", scale


def _requantized(suspect: Suspect, sums: Array, weights: Quant) -> Array:
    """The step's codes for its sums under other weight scales."""
    quants = [operand.quant if operand else None for operand in suspect.step.inputs]
    step = rebind.with_inputs(suspect.step, [quants[0], weights, *quants[2:]])
    (part,) = rebind.bind(suspect.bound, suspect.profile, step).questions(suspect.values[0])
    return part.question.bind(getattr(suspect.profile, part.question.rule))(sums)  # type: ignore[no-any-return]


def swapped(suspect: Suspect) -> Iterator[Finding]:
    """Each operand of Add or Mul read with the other's scale, or with its scale and zero point."""
    if suspect.step.op not in ("QLinearAdd", "QLinearMul"):
        return
    a, b = (operand.quant if operand else None for operand in suspect.step.inputs)
    if a is None or b is None or a.same_as(b):
        return
    scales = rebind.with_inputs(suspect.step, [replace(a, scale=b.scale), replace(b, scale=a.scale)])
    if suspect.explained(lambda v: suspect.evaluate(v, scales)):
        yield Finding(SWAPPED)
        return
    whole = rebind.with_inputs(suspect.step, [b, a])
    if suspect.explained(lambda v: suspect.evaluate(v, whole)):
        yield Finding(SWAPPED, "and zero points")


def no_rescale(suspect: Suspect) -> Iterator[Finding]:
    """Concat copies codes whose scale is not the output's."""
    y = suspect.step.outputs[0].quant
    if suspect.step.op != "QLinearConcat" or y is None:
        return
    other = [
        index
        for index, operand in enumerate(suspect.step.inputs)
        if operand is not None and operand.quant is not None and not operand.quant.same_as(y)
    ]
    sizes = range(len(other), 0, -1) if len(other) <= MAX_JOINED else (len(other), 1)
    for chosen in (group for size in sizes for group in combinations(other, size)):
        inputs = tuple(
            Operand(operand.name, y if index in chosen else operand.quant) if operand else None
            for index, operand in enumerate(suspect.step.inputs)
        )
        step = replace(suspect.step, inputs=inputs)
        if suspect.explained(lambda v, step=step: suspect.evaluate(v, step)):  # type: ignore[misc]
            all_of_them = len(chosen) == len(other)
            yield Finding(NO_RESCALE, "" if all_of_them else "inputs " + ", ".join(map(str, chosen)))
            return
