"""Operands: another one's scale, a rescale left out, or an operand left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from qdqnp.quant import Array

SWAPPED = "swapped operands' scales"
ONE_FOR_BOTH = "one operand's scale for both"
NO_OPERAND = "missing operand"
NO_RESCALE = "missing Concat rescale"
COPIED = "input copied"
ALIASED = "aliased operand"
EXCHANGED = "exchanged operands"


# -- of several inputs -------------------------------------------------------------------------------------------------
@fault_of_layer(ALIASED)
def aliased(layer: Layer) -> Iterator[Variant]:
    """One input holds what another one holds: both pointers lead to one buffer. Not where sizes follow from values."""
    for here, other, (mine, theirs), read in _alike(layer):
        yield _reading(layer, f"input {here} holds what input {other} does", {**read, mine: read[theirs]})


@fault_of_layer(EXCHANGED)
def exchanged(layer: Layer) -> Iterator[Variant]:
    """Two inputs hold what the other should. Of operands with equal zero points, which a rule adds or multiplies as
    pairs, it is their scales that are swapped."""
    for here, other, (mine, theirs), read in _alike(layer):
        a, b = (layer.bound.step.inputs[place].quant for place in (here, other))  # type: ignore[union-attr] # present
        paired = any(isinstance(part.question, Pairs) and not part.question.subtracted for part in layer.parts)
        if here < other and not (paired and a and b and np.array_equal(a.zero_point, b.zero_point)):
            text = f"inputs {here} and {other}"
            yield _reading(layer, text, {**read, mine: read[theirs], theirs: read[mine]})


def _alike(layer: Layer) -> Iterator[tuple[int, int, tuple[str, str], dict[str, Array]]]:
    """Two inputs of one shape and dtype, in either order: their places, their names, and all that the layer reads."""
    if not layer.sized:
        return
    arrays, names = layer.bound.arrays(layer.values), [None if o is None else o.name for o in layer.bound.step.inputs]
    changing = [i for i, name in enumerate(names) if name is not None and not layer.bound.binding.constant(i)]
    for here, other in permutations(changing[:MAX_JOINED], 2):
        mine, theirs, name, named = arrays[here], arrays[other], names[here], names[other]
        assert mine is not None and theirs is not None and name is not None and named is not None
        if mine.shape == theirs.shape and mine.dtype == theirs.dtype and named != name:
            yield here, other, (name, named), dict(layer.values)


def _reading(layer: Layer, text: str, read: Mapping[str, Array]) -> Variant:
    return Computed(text, lambda: rebind.evaluate(layer.bound, read, layer.bound.profile))


# -- of two operands ---------------------------------------------------------------------------------------------------
@fault_of_question(SWAPPED, Pairs)
def swapped(question: Pairs, rule: Any) -> Iterator[Changed]:
    """Each operand read with the other's scale."""
    a, b, y = question.quants
    if not a.same_as(b):
        yield Changed(replace(question, quants=(replace(a, scale=b.scale), replace(b, scale=a.scale), y)))


@fault_of_question(EXCHANGED, Pairs)
def exchanged_quants(question: Pairs, rule: Any) -> Iterator[Changed]:
    """Each operand read with the other's scale and zero point; with equal zero points it is their scales that are
    swapped."""
    a, b, y = question.quants
    if not a.same_as(b) and not np.array_equal(a.zero_point, b.zero_point):
        yield Changed(replace(question, quants=(b, a, y)), "each with the other's scale and zero point")


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
