"""Biases: dropped, of one channel or of all, or taken from the neighbour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from qdqnp.diagnosis.faults.fault import Changed, fault_of_question
from qdqnp.numerics.questions import Sums
from qdqnp.quant import Codes

DROPPED_ONE = "one channel's bias dropped"
DROPPED_ALL = "all biases dropped"
NEIGHBOUR = "neighbour's bias"


@fault_of_question(DROPPED_ALL, Sums, in_one_channel=DROPPED_ONE)
def dropped(question: Sums, rule: Any) -> Iterator[Changed]:
    """The bias is not added, in all channels that have one or in some."""
    bias = question.context.bias
    if bias is not None and bias.any():
        rows = np.broadcast_to(bias, question.shape)
        biased = [int(channel) for channel in np.flatnonzero(rows.any(axis=0))]
        yield Changed(_with_bias(question, np.zeros_like(bias)), channels=biased)


@fault_of_question(NEIGHBOUR, Sums)
def neighbours(question: Sums, rule: Any) -> Iterator[Changed]:
    """Each channel has the bias of the channel before or after it, the first that of the last or the other way."""
    bias, channels = question.context.bias, range(question.shape[-1])
    if bias is None or bias.shape[-1:] != (len(channels),):
        return
    for step, which in ((1, "c - 1"), (-1, "c + 1")):
        moved = np.roll(bias, step, axis=-1)
        yield Changed(_with_bias(question, moved), f"each from channel {which}", channels=channels)


def _with_bias(question: Sums, bias: Codes) -> Sums:
    return replace(question, context=replace(question.context, bias=bias))
