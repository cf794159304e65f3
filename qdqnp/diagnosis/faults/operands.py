"""Operands: another one's scale, a rescale left out, or an operand left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.faults.fault import (
    MAX_JOINED,
    Changed,
    Computed,
    Layer,
    Variant,
    fault_of_layer,
    fault_of_question,
)
from qdqnp.numerics.questions import Pairs, Singles
from qdqnp.numerics.rules.lookup import IdentityFunction

SWAPPED = "swapped operands' scales"
ONE_FOR_BOTH = "one operand's scale for both"
NO_OPERAND = "missing operand"
NO_RESCALE = "missing Concat rescale"
COPIED = "input copied"
ALIASED = "aliased operand"


# -- of several inputs -------------------------------------------------------------------------------------------------
@fault_of_layer(ALIASED)
def aliased(layer: Layer) -> Iterator[Variant]:
    """One input holds what another one holds: both pointers lead to one buffer. Not where sizes follow from values."""
    if not layer.sized:
        return
    arrays, names = layer.bound.arrays(layer.values), [None if o is None else o.name for o in layer.bound.step.inputs]
    changing = [i for i, name in enumerate(names) if name is not None and not layer.bound.binding.constant(i)]
    for here, other in permutations(changing[:MAX_JOINED], 2):
        mine, theirs, name = arrays[here], arrays[other], names[here]
        assert mine is not None and theirs is not None and name is not None
        if mine.shape == theirs.shape and mine.dtype == theirs.dtype and names[other] != name:
            read = {**layer.values, name: theirs}
            yield Computed(
                f"input {here} holds what input {other} does",
                lambda read=read: rebind.evaluate(layer.bound, read, layer.bound.profile),  # type: ignore[misc]
            )


# -- of two operands ---------------------------------------------------------------------------------------------------
@fault_of_question(SWAPPED, Pairs)
def swapped(question: Pairs, rule: Any) -> Iterator[Changed]:
    """Each operand read with the other's scale, or with its scale and zero point."""
    a, b, y = question.quants
    if not a.same_as(b):
        yield Changed(replace(question, quants=(replace(a, scale=b.scale), replace(b, scale=a.scale), y)))
        yield Changed(replace(question, quants=(b, a, y)), "and zero points")


@fault_of_question(ONE_FOR_BOTH, Pairs)
def one_for_both(question: Pairs, rule: Any) -> Iterator[Changed]:
    """Both operands read with the scale and zero point of one."""
    a, b, y = question.quants
    if not a.same_as(b):
        for operand, quant in zip(question.operands, (a, b), strict=True):
            yield Changed(replace(question, quants=(quant, quant, y)), f"of input {operand}, with its zero point")


@fault_of_question(NO_OPERAND, Pairs)
def no_operand(question: Pairs, rule: Any) -> Iterator[Changed]:
    """One operand counts as 0."""
    first, second = question.operands
    a, b, _ = question.quants
    yield Changed(replace(question, a=np.full_like(question.a, int(a.zero_point))), f"input {first} counts as 0")
    yield Changed(replace(question, b=np.full_like(question.b, int(b.zero_point))), f"input {second} counts as 0")


# -- of one input ------------------------------------------------------------------------------------------------------
@fault_of_question(NO_RESCALE, Singles)
def no_rescale(question: Singles, rule: Any) -> Iterator[Changed]:
    """Codes whose scale is not the output's are copied."""
    if isinstance(question.function, IdentityFunction):
        yield from _copied(question)


@fault_of_question(COPIED, Singles)
def copied(question: Singles, rule: Any) -> Iterator[Changed]:
    """The function is left out."""
    if not isinstance(question.function, IdentityFunction):
        yield from _copied(question)


def _copied(question: Singles) -> Iterator[Changed]:
    if not question.copied:
        yield Changed(replace(question, function=IdentityFunction(), y=question.x))
