"""Faults: what may have gone wrong, one recognizer for each. A recognizer names its fault only if it explains every
element of every case; the more a fault leaves open, the later it is asked."""

from __future__ import annotations

from qdqnp.diagnosis.faults import (
    bias,
    bits,
    clamp,
    content,
    extent,
    memory,
    rounding,
    scales,
    shift,
    windows,
    zero_point,
)
from qdqnp.diagnosis.faults.suspect import Finding, Recognizer, Suspect

# In this order: nothing is left open by the first, most by the last.
RECOGNIZERS: tuple[Recognizer, ...] = (
    content.constant,
    content.stale,
    memory.layout,
    memory.sign,
    memory.byte_swapped,
    content.other_layer,
    scales.swapped,
    scales.no_rescale,
    zero_point.pad_zero,
    zero_point.missing,
    windows.stride,
    windows.pad_off,
    clamp.no_relu,
    clamp.no_clamp,
    clamp.narrow_accumulator,
    rounding.recognize,
    bias.recognize,
    scales.per_tensor,
    bits.recognize,
    shift.elements,
    shift.rows,
    extent.padded_rows,
    extent.truncated,
)
# They try thousands of places, or leave elements at the edges unexplained.
OPEN = (bits.recognize, shift.elements, shift.rows, extent.padded_rows, extent.truncated)

KINDS = (
    bits.FLIPPED,
    bias.DROPPED_ONE,
    bias.DROPPED_ALL,
    bias.NEIGHBOUR,
    scales.PER_TENSOR,
    rounding.TIE,
    rounding.TRUNCATION,
    zero_point.MISSING,
    zero_point.PAD_ZERO,
    windows.PAD_OFF,
    windows.STRIDE,
    scales.SWAPPED,
    scales.NO_RESCALE,
    clamp.NO_CLAMP,
    clamp.NARROW,
    clamp.NO_RELU,
    memory.NHWC,
    content.STALE,
    shift.ROWS,
    memory.SIGN,
    content.ALL_ZERO,
    content.CONSTANT,
    content.OTHER_LAYER,
    shift.ELEMENTS,
    extent.TRUNCATED,
    extent.PADDED,
    memory.SWAPPED,
)


def findings(suspect: Suspect) -> list[Finding]:
    """Every fault that explains what the suspect made, the most specific first. Those that leave something open are
    asked only where none explains everything."""
    found: list[Finding] = []
    for recognize in RECOGNIZERS:
        if found and recognize in OPEN:
            break
        for finding in recognize(suspect):
            if finding.kind not in {other.kind for other in found}:
                found.append(finding)
    return found


__all__ = ["KINDS", "RECOGNIZERS", "Finding", "Recognizer", "Suspect", "findings"]
