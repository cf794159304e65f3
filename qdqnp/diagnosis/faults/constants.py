"""Constants of another layer: its weights, its biases, or its scales."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.program import Step
from qdqnp.quant import Array

OTHER = "another layer's constants"


def recognize(suspect: Suspect) -> Iterator[Finding]:
    """The layer has the weights or the bias of another layer, as large or larger; or its weights' scales."""
    if not suspect.alone:
        return
    for what in ("weights", "bias"):
        tried = list(_arrays(suspect, what))
        for label, consts in tried if suspect.bears(len(tried)) else ():
            if suspect.explained(lambda v, consts=consts: suspect.evaluate(v, consts=consts)):  # type: ignore[misc]
                yield Finding(OTHER, f"{what} of layer {label}")
                return
    scaled = list(_scaled(suspect))
    for label, step in scaled if suspect.bears(len(scaled)) else ():
        if suspect.explained(
            lambda v, step=step: rebind.evaluate(suspect.bound, v, suspect.profile, step)  # type: ignore[misc]
        ):
            yield Finding(OTHER, f"scales of layer {label}")
            return


def _arrays(suspect: Suspect, what: str) -> Iterator[tuple[str, Mapping[str, Array]]]:
    """Other layers' arrays in place of the own one: the first elements of larger ones."""
    operator = suspect.bound.operator
    operand = operator.weight_operand if what == "weights" else operator.bias_operand
    if operand is None or not suspect.bound.binding.constant(operand):
        return
    held = suspect.step.inputs[operand]
    assert held is not None
    own = suspect.bound.consts[held.name]
    for other in suspect.others():
        theirs = other.operator.weight_operand if what == "weights" else other.operator.bias_operand
        if theirs is None or not other.binding.constant(theirs):
            continue
        array = other.consts[other.step.inputs[theirs].name]  # type: ignore[union-attr] # constant: it is there
        if array.dtype == own.dtype and array.size >= own.size > 1:
            made = np.ascontiguousarray(array).reshape(-1)[: own.size].reshape(own.shape)
            if not np.array_equal(made, own):
                yield other.step.label, {held.name: made}


def _scaled(suspect: Suspect) -> Iterator[tuple[str, Step]]:
    """The step with other layers' scales of as many weights' channels."""
    operand = suspect.bound.operator.weight_operand
    held = None if operand is None else suspect.step.inputs[operand]
    if operand is None or held is None or held.quant is None:
        return
    for other in suspect.others():
        theirs = other.operator.weight_operand
        weights = None if theirs is None else other.step.inputs[theirs]
        if weights is None or weights.quant is None or weights.quant.scale.shape != held.quant.scale.shape:
            continue
        if not np.array_equal(weights.quant.scale, held.quant.scale):
            quants = [o.quant if o is not None else None for o in suspect.step.inputs]
            quants[operand] = replace(held.quant, scale=weights.quant.scale)
            yield other.step.label, rebind.with_inputs(suspect.step, quants)
