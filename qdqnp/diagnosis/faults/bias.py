"""Biases: dropped, of one channel or of all, or taken from the neighbour; and whether any other would do as well."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from qdqnp.diagnosis.faults.fault import Changed, changing, fault_of_question
from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.numerics.questions import Sums
from qdqnp.quant import Codes

DROPPED_ONE = "one channel's bias dropped"
DROPPED_ALL = "all biases dropped"
NEIGHBOUR = "neighbour's bias"
ANOTHER = "another bias"
# What is added to the bias, times powers of two: none of it is a power itself, which would be a flipped bit. A bias is
# seldom so near 0 by chance that steps of an eighth do not tell; that it is near one of 32 powers takes steps of 1/64.
BETWEEN = (9, 11, 13, 15, 63, 65)
POWERS = range(20)


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


def another(suspect: Suspect) -> Iterator[Finding]:
    """Some bias that no fault makes. Where one explains the only channel that differs, the evidence does not say which
    bias it is."""
    channel = suspect.only_channel
    if channel is not None:
        yield from suspect.ask(changing(ANOTHER, partial(_others, channel), Sums))


def _others(channel: int, question: Sums, rule: Any) -> Iterator[Changed]:
    bias, channels = question.context.wide_bias, range(question.shape[-1])
    if bias is None or bias.shape != (len(channels),):
        return
    named = {0, *(int(np.roll(bias, step)[channel]) for step in (1, -1))}
    for added in (sign * step << power for power in POWERS for step in BETWEEN for sign in (1, -1)):
        if int(bias[channel]) + added not in named:
            yield Changed(_with_bias(question, bias + added), f"{added:+d}", channels=channels)


def _with_bias(question: Sums, bias: Codes) -> Sums:
    return replace(question, context=replace(question.context, bias=bias))
