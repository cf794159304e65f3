"""Biases: dropped, of one channel or of all, or taken from the neighbour."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.quant import Array

DROPPED_ONE = "one channel's bias dropped"
DROPPED_ALL = "all biases dropped"
NEIGHBOUR = "neighbour's bias"
LINEAR_OPS = ("QLinearConv", "QGemm")


def recognize(suspect: Suspect) -> Iterator[Finding]:
    bias = _bias(suspect)
    if bias is None:
        return
    name, values = bias
    wrong = _channels(suspect, name, np.zeros_like(values))
    if wrong:
        bare = [c for c in range(values.shape[-1]) if values.reshape(-1, values.shape[-1])[:, c].any()]
        if len(wrong) > 1 or len(bare) == 1:
            yield Finding(DROPPED_ALL, "" if set(bare) == set(wrong) else _listed(wrong, values.shape[-1]))
        else:
            yield Finding(DROPPED_ONE, _listed(wrong, values.shape[-1]))
    elif suspect.explained(lambda v: suspect.evaluate(v, consts={name: np.zeros_like(values)})):
        yield Finding(DROPPED_ALL)
    for step in (1, -1):
        moved = np.roll(values, step, axis=-1)
        wrong = _channels(suspect, name, moved)
        if wrong:
            which = _listed(wrong, values.shape[-1])
            yield Finding(NEIGHBOUR, f"each from channel {'c - 1' if step == 1 else 'c + 1'}: {which}")


def _bias(suspect: Suspect) -> tuple[str, Array] | None:
    if suspect.step.op not in LINEAR_OPS or len(suspect.step.inputs) < 3 or suspect.step.inputs[2] is None:
        return None
    name = suspect.step.inputs[2].name
    return (name, suspect.bound.consts[name]) if name in suspect.bound.consts else None


def _channels(suspect: Suspect, name: str, values: Array) -> list[int] | None:
    return suspect.channels(lambda v: suspect.evaluate(v, consts={name: values}))


def _listed(channels: list[int], total: int) -> str:
    """'channel 3', 'channels 1, 5', '29 of 32 channels'."""
    if len(channels) > 4:
        return f"{len(channels)} of {total} channels"
    return f"channel{'s' if len(channels) > 1 else ''} {', '.join(map(str, channels))}"
