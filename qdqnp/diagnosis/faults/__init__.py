"""Faults: what may have gone wrong, each named only if it explains every element of every case.

A fault that changes a layer's arithmetic is registered in one of the modules of `MODULES` (or anywhere else) and is
asked by `compare` and by `explain --got`. A recognizer looks at the dumped tensor as a whole, and `compare` alone has
these: what stands in the buffer, in which order, how much of it.
"""

from __future__ import annotations

from importlib import import_module
from itertools import chain

from qdqnp.diagnosis.faults import bits, content, extent, memory, shift
from qdqnp.diagnosis.faults.fault import FAULTS, kinds
from qdqnp.diagnosis.faults.suspect import Finding, Recognizer, Suspect

# In the order in which their faults are asked: nothing is left open by the first, most by the last.
MODULES = ("operands", "zero_point", "windows", "clamp", "divisor", "accumulator", "rounding", "bias", "scales")
for _module in MODULES:
    import_module(f"{__name__}.{_module}")

# They leave nothing open: whatever the layer computes, this is what the buffer holds.
CERTAIN: tuple[Recognizer, ...] = (
    content.constant,
    content.stale,
    memory.layout,
    memory.sign,
    memory.byte_swapped,
    content.other_layer,
)
# They try thousands of places, or leave elements at the edges unexplained.
OPEN: tuple[Recognizer, ...] = (bits.recognize, shift.elements, shift.rows, extent.padded_rows, extent.truncated)


def all_kinds() -> list[str]:
    """What a fault may be called, none twice."""
    recognized = (
        bits.FLIPPED,
        memory.NHWC,
        memory.SIGN,
        memory.SWAPPED,
        content.STALE,
        content.ALL_ZERO,
        content.CONSTANT,
        content.OTHER_LAYER,
        shift.ROWS,
        shift.ELEMENTS,
        extent.TRUNCATED,
        extent.PADDED,
    )
    return list(dict.fromkeys([*kinds(), *recognized]))


def findings(suspect: Suspect) -> list[Finding]:
    """Every fault that explains what the suspect made, the most specific first. Those that leave something open are
    asked only where none explains everything."""
    found: dict[str, Finding] = {}
    asked = (recognize(suspect) for recognize in CERTAIN)
    for finding in chain(*asked, *(suspect.ask(fault) for fault in FAULTS)):
        found.setdefault(finding.kind, finding)
    for recognize in OPEN:
        if not found:
            found.update((finding.kind, finding) for finding in recognize(suspect))
    return list(found.values())


__all__ = ["FAULTS", "Finding", "Recognizer", "Suspect", "all_kinds", "findings"]
