"""Bits: one bit flipped, of the tensor, or of one of the layer's weights or biases."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdqnp.diagnosis.faults.rounding import at_boundaries
from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.quant import Array

FLIPPED = "one flipped bit"
# Weights of a channel that are tried, each in every bit.
MAX_TRIED = 8192
# Of thousands of bits some explains any single element.
LEAST_SEEN = 2


def recognize(suspect: Suspect) -> Iterator[Finding]:
    if at_boundaries(suspect):
        return  # one LSB beside a rounding boundary is a matter of rounding, not of a bit
    found = _in_tensor(suspect)
    if found:
        yield Finding(FLIPPED, found)
        return
    channel = _only_channel(suspect)
    if channel is None or sum(int(np.count_nonzero(mask)) for mask in suspect.differs) < LEAST_SEEN:
        return
    for operand, what in ((2, "bias"), (1, "weight")):
        found = _in_constant(suspect, operand, what, channel)
        if found:
            yield Finding(FLIPPED, found)
            return


def _in_tensor(suspect: Suspect) -> str:
    """One element of one case (or the same element in all) in which one bit differs."""
    places = set()
    for case in suspect.bad_cases:
        at = np.flatnonzero(suspect.differs[case])
        if len(at) != 1 or suspect.got[case].dtype != suspect.target.dtype:
            return ""
        kind = np.dtype(f"u{suspect.target.dtype.itemsize}")
        changed = int(
            suspect.got[case].reshape(-1).view(kind)[at[0]] ^ suspect.want[case].reshape(-1).view(kind)[at[0]]
        )
        if changed.bit_count() != 1:
            return ""
        places.add((int(at[0]), changed.bit_length() - 1))
    if len(places) != 1:
        return ""
    index, bit = places.pop()
    where = tuple(int(i) for i in np.unravel_index(index, suspect.want[0].shape))
    return f"bit {bit} of element {list(where)}"


def _only_channel(suspect: Suspect) -> int | None:
    if not suspect.alone or suspect.want[0].ndim < 2 or suspect.step.op not in ("QLinearConv", "QGemm"):
        return None
    axes = tuple(axis for axis in range(suspect.want[0].ndim) if axis != 1)
    bad = np.flatnonzero(np.any([mask.any(axis=axes) for mask in suspect.differs], axis=0))
    return int(bad[0]) if len(bad) == 1 else None


def _in_constant(suspect: Suspect, operand: int, what: str, channel: int) -> str:
    """A bit of one of the channel's weights or of its bias that explains the channel."""
    if len(suspect.step.inputs) <= operand or suspect.step.inputs[operand] is None:
        return ""
    name = suspect.step.inputs[operand].name  # type: ignore[union-attr]
    if name not in suspect.bound.consts:
        return ""
    values = suspect.bound.consts[name]
    mine = _of_channel(suspect, operand, values, channel)
    bits = values.dtype.itemsize * 8
    if len(mine) * bits > MAX_TRIED:
        return ""
    for index in mine:
        for bit in range(bits):
            flipped = _flipped(values, index, bit)
            if suspect.explained(lambda v, flipped=flipped: suspect.evaluate(v, consts={name: flipped})):  # type: ignore[misc]
                where = [int(i) for i in np.unravel_index(index, values.shape)]
                return f"bit {bit} of {what} {where}"
    return ""


def _of_channel(suspect: Suspect, operand: int, values: Array, channel: int) -> list[int]:
    """Flat indices of the constant's elements that belong to an output channel."""
    axis = 0
    if suspect.step.op == "QGemm":
        axis = values.ndim - 1 if operand == 2 else (0 if suspect.step.attributes.transB else 1)
    if values.shape[axis] <= channel:
        return []
    indices = np.arange(values.size).reshape(values.shape)
    return [int(i) for i in np.take(indices, channel, axis=axis).reshape(-1)]


def _flipped(values: Array, index: int, bit: int) -> Array:
    made = values.copy()
    unsigned = made.reshape(-1).view(np.dtype(f"u{values.dtype.itemsize}"))
    unsigned[index] ^= unsigned.dtype.type(1 << bit)
    return made
