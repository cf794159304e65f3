"""Bounds: a clamp at other codes than the layer's."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdqnp.diagnosis.faults.suspect import Finding, Suspect

CLAMP = "wrong clamp"


def recognize(suspect: Suspect) -> Iterator[Finding]:
    """Every element is the right one, or the bound that the right one lies beyond."""
    low, high = _bound(suspect, True), _bound(suspect, False)
    told = [(text, bound) for text, bound in (("lowest", low), ("highest", high)) if bound is not None]
    if not told or not suspect.bears(256 ** len(told)) or low == high:
        return  # of 256 bounds one fits an element or two by chance
    for got, want in zip(suspect.got, suspect.want, strict=True):
        if not np.array_equal(np.clip(want.astype(got.dtype), low, high), got):
            return
    quant = suspect.target.quant
    zero = int(quant.zero_point) if quant is not None and quant.per_tensor else None
    words = [f"the {text} is {bound:g}{_whose(suspect, bound, zero)}" for text, bound in told]
    yield Finding(CLAMP, ", ".join(words))


def _whose(suspect: Suspect, bound: int | float, zero: int | None) -> str:
    """Whose bound it is: the layer's own zero point, or the zero point or a limit of the nearest layer that has it."""
    if bound == zero:
        return ", the zero point"
    for other in suspect.others():
        quant = other.step.outputs[0].quant
        if quant is not None and quant.per_tensor:
            if quant.limits is not None and bound in quant.limits:
                return f", a limit of layer {other.step.label}"
            if bound == int(quant.zero_point):
                return f", the zero point of layer {other.step.label}"
    return ""


def _bound(suspect: Suspect, lower: bool) -> int | float | None:
    """The only value of the elements that are above the right ones (below them, of the upper bound); None where none
    are, or where they have several values."""
    values = [
        got[got > want if lower else got < want]
        for got, want in ((suspect.got[case], suspect.want[case]) for case in suspect.bad_cases)
    ]
    found = np.unique(np.concatenate(values))
    value: int | float | None = found[0].item() if found.size == 1 else None
    return value
