"""What one output element is made of, whatever the profile: input elements, products, and the exact real result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from qdqnp.diagnosis.explain.terms import Index, Terms, largest, terms
from qdqnp.executor.plan import BoundStep
from qdqnp.numerics.questions import Means, Pairs, Singles, Windows
from qdqnp.numerics.rational import fraction
from qdqnp.numerics.rules.lookup import IdentityFunction
from qdqnp.ops.integer.asking import Part
from qdqnp.ops.origin import InputElement, Origin
from qdqnp.program import Step
from qdqnp.quant import Array, Quant

SHOWN_TERMS = 8
# Input elements that are listed; a mean may be of a million.
LISTED = 10_000

# What an operator does with the input elements that an output element is made of.
COPIED, CHOSEN, COMPUTED, FILLED = "copied", "chosen", "computed", "filled in"


def facts(
    bound: BoundStep, arrays: Sequence[Array | None], origin: Origin, index: Index, located: tuple[Part, Index] | None
) -> dict[str, Any]:
    """Return the fields of an Explanation that no profile decides, as far as the operator has them.

    arrays: the step's inputs.
    origin: where the element comes from.
    index: where it is in the output.
    located: the question that decides it and where it is in that; None for sums of products, and where none is asked.
    """
    step, numbers = bound.step, origin.elements
    if origin.products is not None:
        return {"origin": COMPUTED, **_sum_facts(terms(step, arrays, origin))}
    real = _real_input(step, arrays, origin, index) if located is None else _real_answer(located[0], located[1])
    return {
        "origin": _done(bound, numbers.size),
        "operands": tuple(_operand(bound, arrays, origin.element(number)) for number in numbers[:LISTED].tolist()),
        "operand_count": numbers.size,
        "real": real,
    }


def _done(bound: BoundStep, count: int) -> str:
    if count == 0:
        return FILLED
    if not bound.operator.only_moves(bound.step):
        return COMPUTED
    return COPIED if count == 1 else CHOSEN


def _sum_facts(found: Terms) -> dict[str, Any]:
    return {
        "terms": tuple(largest(found, SHOWN_TERMS)),
        "term_count": found.products.size,
        "padded": int(np.count_nonzero(found.padded)),
        "total": found.total,
        "bias": found.bias,
    }


def _operand(bound: BoundStep, arrays: Sequence[Array | None], source: InputElement) -> tuple[str, int | float, float]:
    """Return what an input element is called, its code and its real value."""
    operand, array = bound.step.inputs[source.operand], arrays[source.operand]
    assert operand is not None and array is not None
    value, quant = array[source.index].item(), operand.quant or _made_with(bound, operand.name)
    name = f"{operand.name}{list(source.index)}" if source.index else operand.name
    if quant is None or array.dtype.kind == "f":
        return name, value, float(value)
    return name, value, float(real_of(value, quant.at(source.index)))


def _made_with(bound: BoundStep, name: str) -> Quant | None:
    """Return how codes are read that the step itself does not interpret, where all of a tensor are read alike."""
    quant = bound.tensors[name].quant
    return quant if quant is not None and quant.per_tensor else None


# -- the exact real result ---------------------------------------------------------------------------------------------
def _real_answer(part: Part, where: Index) -> Fraction | None:
    """Return the exact answer to a question, in units of the output's scale, zero point included."""
    question = part.question
    if isinstance(question, Pairs):
        codes = (int(question.a[where]), int(question.b[where]))
        return real_pair(question.rule, question.quants, *codes) + int(question.y.zero_point)
    if isinstance(question, Singles) and isinstance(question.function, IdentityFunction):
        return mean_of([question.x_codes[where].item()], 1, question.x, question.y) + int(question.y.zero_point)
    if isinstance(question, Means | Windows):
        count = int(np.broadcast_to(question.count, question.shape)[where])
        codes = question.made_of(where, ()).tolist()
        return mean_of(codes, count, question.x, question.y) + int(question.y.zero_point)
    return None


def _real_input(step: Step, arrays: Sequence[Array | None], origin: Origin, index: Index) -> Fraction | None:
    """Return the real value that is quantized, in units of the output's scale, zero point included."""
    if not step.quantizes:
        return None
    (number,) = origin.elements.tolist()
    source = origin.element(number)
    array = arrays[source.operand]
    assert array is not None
    value, quant = float(array[source.index]), step.y.at(index)
    return Fraction(value) / fraction(quant.scale) + int(quant.zero_point) if math.isfinite(value) else None


def real_pair(field: str, quants: tuple[Quant, Quant, Quant], a: int, b: int) -> Fraction:
    """The real sum or product of two codes, in units of y's scale, without its zero point."""
    x, y = (real_of(code, quant) for code, quant in zip((a, b), quants, strict=False))
    return (x + y if field == "add" else x * y) / fraction(quants[2].scale)


def real_of(code: int, quant: Quant) -> Fraction:
    return (code - int(quant.zero_point)) * fraction(quant.scale)


def mean_of(codes: Sequence[int], divisor: int, x: Quant, y: Quant) -> Fraction:
    """The real mean in units of y's scale, without its zero point."""
    centered = sum(codes) - len(codes) * int(x.zero_point)
    return centered * fraction(x.scale) / divisor / fraction(y.scale)
