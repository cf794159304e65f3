"""Zero points: the input's left out of the sums, or code 0 used as padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.diagnosis.faults.windows import padded, resolved_pads
from qdqnp.program import Step
from qdqnp.quant import Array

MISSING = "missing input zero point"
PAD_ZERO = "padding with 0"


def missing(suspect: Suspect) -> Iterator[Finding]:
    """x in place of x - z_x, of the first input or of another; padding stays the zero point's code, or becomes 0."""
    quants = [operand.quant if operand is not None else None for operand in suspect.step.inputs]
    for index, quant in enumerate(quants):
        if quant is None or not quant.zero_point.any() or _is_const(suspect, index):
            continue
        bare = replace(quant, zero_point=np.zeros_like(quant.zero_point))
        step = rebind.with_inputs(suspect.step, [*quants[:index], bare, *quants[index + 1 :]])
        which = "" if index == 0 else f"of input {index}"
        if suspect.explained(lambda v, step=step: suspect.evaluate(v, step)):  # type: ignore[misc]
            yield Finding(MISSING, which)
            return
        pads = resolved_pads(suspect)
        if index == 0 and pads is not None and any(pads):
            code = int(quant.zero_point)
            if suspect.explained(lambda v, step=step, code=code: _padded(suspect, v, step, code)):  # type: ignore[misc]
                yield Finding(MISSING, "padding right")
                return


def pad_zero(suspect: Suspect) -> Iterator[Finding]:
    """Code 0 around the image, where the zero point's code belongs."""
    x = suspect.step.inputs[0].quant if suspect.step.inputs[0] is not None else None
    pads = resolved_pads(suspect)
    if x is None or pads is None or not any(pads) or not x.zero_point.any():
        return
    if suspect.explained(lambda v: _padded(suspect, v, suspect.step, 0)):
        yield Finding(PAD_ZERO, f"the zero point is {int(x.zero_point)}")


def _padded(suspect: Suspect, values: Mapping[str, Array], step: Step, code: int) -> Array:
    """The step on its input with explicit padding of one code."""
    pads = resolved_pads(suspect)
    assert pads is not None and step.inputs[0] is not None
    name = step.inputs[0].name
    attributes = replace(step.attributes, pads=(), auto_pad="NOTSET")
    bare = replace(step, attributes=attributes)
    return suspect.evaluate({**values, name: padded(values[name], pads, code)}, bare)


def _is_const(suspect: Suspect, index: int) -> bool:
    operand = suspect.step.inputs[index]
    return operand is not None and operand.name in suspect.bound.consts
