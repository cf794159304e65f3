"""Bits: one bit flipped, of the tensor, or of one of the layer's weights or biases."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdqnp.diagnosis.faults.boundary import at_boundaries
from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.numerics.questions import Sums
from qdqnp.quant import Array

FLIPPED = "one flipped bit"
# Weights of a channel that are tried, each in every bit.
MAX_TRIED = 8192


def recognize(suspect: Suspect) -> Iterator[Finding]:
    if at_boundaries(suspect):
        return  # one LSB beside a rounding boundary is a matter of rounding, not of a bit
    found = _in_tensor(suspect)
    if found:
        yield Finding(FLIPPED, found)
        return
    yield from _of_constants(suspect, "bias", "weight")


def in_bias(suspect: Suspect) -> Iterator[Finding]:
    """A bias has few bits: all are tried, whatever else explains the channel. A power of two that is dropped is a bit
    that is flipped."""
    yield from _of_constants(suspect, "bias")


def _of_constants(suspect: Suspect, *kinds: str) -> Iterator[Finding]:
    channel = suspect.only_channel
    for what, name, places in _constants(suspect, channel) if channel is not None else ():
        found = _in_constant(suspect, what, name, places) if what in kinds else ""
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


def _constants(suspect: Suspect, channel: int) -> Iterator[tuple[str, str, list[int]]]:
    """Of the bias and of the weights, where they are constants: what it is, its name, and the flat indices of those of
    its elements that the channel reads."""
    operator, consts = suspect.bound.operator, suspect.bound.consts
    parts = suspect.layers[suspect.bad_cases[0]].parts
    if len(parts) != 1 or not isinstance(parts[0].question, Sums) or parts[0].question.products is None:
        return
    terms = list(parts[0].question.products.terms(0, channel))
    for what, operand in (("bias", operator.bias_operand), ("weight", operator.weight_operand)):
        if operand is None or not suspect.bound.binding.constant(operand):
            continue
        name = suspect.step.inputs[operand].name  # type: ignore[union-attr] # constant: it is there
        shape = consts[name].shape
        if what == "weight":
            yield what, name, [int(np.ravel_multi_index(at, shape)) for _, at in terms]
        elif shape and channel < shape[-1]:
            yield what, name, np.arange(consts[name].size).reshape(shape)[..., channel].reshape(-1).tolist()


def _in_constant(suspect: Suspect, what: str, name: str, places: list[int]) -> str:
    """A bit of one of these elements of a constant that explains the channel."""
    values = suspect.bound.consts[name]
    bits = values.dtype.itemsize * 8
    if len(places) * bits > MAX_TRIED or not suspect.bears(len(places) * bits):
        return ""  # of thousands of bits some explains any few elements
    for index in places:
        for bit in range(bits):
            flipped = _flipped(values, index, bit)
            if suspect.explained(lambda v, flipped=flipped: suspect.evaluate(v, consts={name: flipped})):  # type: ignore[misc]
                where = [int(i) for i in np.unravel_index(index, values.shape)]
                return f"bit {bit} of {what} {where}"
    return ""


def _flipped(values: Array, index: int, bit: int) -> Array:
    made = values.copy()
    unsigned = made.reshape(-1).view(np.dtype(f"u{values.dtype.itemsize}"))
    unsigned[index] ^= unsigned.dtype.type(1 << bit)
    return made
