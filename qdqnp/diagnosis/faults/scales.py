"""Weight scales: one for all channels, or the neighbour's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from qdqnp.diagnosis.faults.fault import Changed, fault_of_question
from qdqnp.numerics.questions import Sums
from qdqnp.quant import Array

PER_TENSOR = "per-tensor for per-channel scale"
NEIGHBOUR = "neighbour's scale"


@fault_of_question(NEIGHBOUR, Sums)
def neighbours(question: Sums, rule: Any) -> Iterator[Changed]:
    """Each channel has the weight scale of the channel before or after it."""
    scale = question.context.w.scale
    for step, which in ((1, "c - 1"), (-1, "c + 1")) if scale.size > 1 else ():
        moved = np.roll(scale, step)
        yield Changed(_with_scale(question, moved), f"each from channel {which}", channels=range(scale.size))


@fault_of_question(PER_TENSOR, Sums)
def per_tensor(question: Sums, rule: Any) -> Iterator[Changed]:
    """One scale for all channels: the largest, the mean, the smallest, or any channel's."""
    scales = question.context.w.scale
    if question.context.w.per_tensor:
        return
    yield _one_scale(question, "the largest", np.max(scales))
    yield _one_scale(question, "the mean", np.float32(np.mean(scales.astype(np.float64))))
    yield _one_scale(question, "the smallest", np.min(scales))
    yield _one_scale(question, "channel 0's", scales.reshape(-1)[0])
    for channel, scale in enumerate(scales.reshape(-1).tolist()[1:], start=1):
        yield replace(_one_scale(question, f"channel {channel}'s", np.float32(scale)), many=True)


def _one_scale(question: Sums, which: str, scale: np.float32) -> Changed:
    everywhere = np.full_like(question.context.w.scale, scale)
    return Changed(_with_scale(question, everywhere), f"{which}, {scale:.6g}")


def _with_scale(question: Sums, scale: Array) -> Sums:
    context = question.context
    return replace(question, context=replace(context, w=replace(context.w, scale=scale)))
