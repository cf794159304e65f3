"""Faults: what may have gone wrong, each named only if it explains every element of every case, and all that do.

A fault that changes a layer's arithmetic is registered in one of the modules of `MODULES` (or anywhere else) and is
asked by `compare` and by `explain --got`. A recognizer looks at the dumped tensor as a whole, and `compare` alone has
these: what stands in the buffer, in which order, how much of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import import_module
from typing import TypeVar

import numpy as np

from qdqnp.diagnosis.faults import (
    bias,
    bits,
    bounds,
    cache,
    channels,
    constants,
    content,
    extent,
    memory,
    part,
    shift,
    zeros,
)
from qdqnp.diagnosis.faults.evidence import ENOUGH
from qdqnp.diagnosis.faults.fault import FAULTS, kinds
from qdqnp.diagnosis.faults.suspect import Finding, Recognizer, Suspect
from qdqnp.errors import QdqnpError, shorten

T = TypeVar("T")

# In the order in which their faults are asked: nothing is left open by the first, most by the last.
MODULES = (
    "operands",
    "zero_point",
    "windows",
    "kernel",
    "channels",
    "clamp",
    "divisor",
    "pooling",
    "accumulator",
    "rounding",
    "addition",
    "bias",
    "scales",
    "multiplier",
)
for _module in MODULES:
    import_module(f"{__name__}.{_module}")

# They leave nothing open: whatever the layer computes, this is what the buffer holds.
CERTAIN: tuple[Recognizer, ...] = (
    content.constant,
    content.stale,
    zeros.real_values,
    memory.layout,
    memory.sign,
    memory.byte_swapped,
    content.other_layer,
    bounds.recognize,
    bits.in_bias,
    constants.recognize,
)
# They try thousands of places, or leave elements at the edges unexplained.
OPEN: tuple[Recognizer, ...] = (
    bits.recognize,
    channels.recognize,
    part.recognize,
    cache.last_line,
    shift.elements,
    shift.rows,
    extent.padded_rows,
    extent.truncated,
    content.other_input,
)
# Where one of these is found it is asked whether any other bias would do as well.
OF_BIAS = frozenset({bias.DROPPED_ONE, bias.DROPPED_ALL, bias.NEIGHBOUR, bits.FLIPPED})
#: What is named beside the faults, where few elements differ and each by one code.
SMALL = "rounding or another small error"


@dataclass
class Findings:
    """What explains a suspect."""

    #: Every fault that explains everything, the most specific first.
    found: list[Finding] = field(default_factory=list)
    #: Whether the evidence is so little that it is to be said.
    few: bool = False
    #: The recognizers that failed, and how.
    failed: list[str] = field(default_factory=list)


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
        zeros.MISREAD,
        cache.STALE_LINE,
        shift.ROWS,
        shift.ELEMENTS,
        extent.TRUNCATED,
        extent.PADDED,
        bounds.CLAMP,
        part.ALIASED,
        channels.PERMUTED,
        constants.OTHER,
        bias.ANOTHER,
        SMALL,
    )
    return list(dict.fromkeys([*kinds(), *recognized]))


def findings(suspect: Suspect) -> Findings:
    """Return every fault that explains what the suspect made.

    Recognizers that leave something open are asked where none of the others explains everything, and where the evidence
    is little. One that fails is reported and takes nothing with it.
    """
    made = Findings(few=suspect.bits < ENOUGH)
    found: dict[str, Finding] = {}

    def ask(name: str, recognize: Callable[[], Iterable[Finding]]) -> None:
        asked, failure = guarded(name, lambda: list(recognize()))
        made.failed += [failure] if failure else []
        for finding in asked or ():
            found.setdefault(finding.kind, finding)

    for recognize in CERTAIN:
        ask(_name(recognize), lambda: recognize(suspect))  # noqa: B023 # called at once
    for fault in FAULTS:
        ask(fault.kind, lambda: suspect.ask(fault))  # noqa: B023
    for recognize in OPEN:
        if not found or made.few:
            ask(_name(recognize), lambda: recognize(suspect))  # noqa: B023
    if found.keys() & OF_BIAS:
        ask("bias.another", lambda: bias.another(suspect))
    if found and made.few and suspect.largest == 1:
        found = {SMALL: Finding(SMALL), **found}  # the likeliest first
    made.found = list(found.values())
    return made


def guarded(name: str, ask: Callable[[], T]) -> tuple[T | None, str]:
    """Return what is answered and '', or None and how it failed. An error of qdqnp's own is no answer: what was asked
    lies outside an arithmetic's domain."""
    try:
        with np.errstate(all="ignore"):
            return ask(), ""
    except QdqnpError:
        return None, ""
    except Exception as error:
        return None, f"'{name}' failed: {type(error).__name__}: {shorten(str(error), 120)}"


def _name(recognize: Recognizer) -> str:
    return f"{recognize.__module__.rpartition('.')[2]}.{recognize.__name__}"


__all__ = ["FAULTS", "SMALL", "Finding", "Findings", "Recognizer", "Suspect", "all_kinds", "findings", "guarded"]
