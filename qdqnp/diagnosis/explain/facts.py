"""What one output element is made of, whatever the profile: products, operands, windows, and the exact real result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from qdqnp.diagnosis.explain.terms import Index, largest, terms
from qdqnp.executor.plan import BoundStep
from qdqnp.numerics.questions import Means, Pairs, Singles, Sums, Windows
from qdqnp.numerics.rational import fraction
from qdqnp.numerics.rules.lookup import IdentityFunction
from qdqnp.ops.geometry.pool import PoolAttributes
from qdqnp.ops.geometry.windows import window_for
from qdqnp.ops.integer.asking import Part
from qdqnp.program import Step
from qdqnp.quant import Array, Quant

SHOWN_TERMS = 8


def facts(
    bound: BoundStep, values: Mapping[str, Array], index: Index, located: tuple[Part, Index] | None
) -> dict[str, Any]:
    """Terms, operands, sum, bias and the exact real result, as far as the operator has them.

    values: the step's inputs by name. located: the question that decides the element, and where the element is in it.
    """
    step, arrays = bound.step, bound.arrays(values)
    if located is not None:
        question, at = located[0].question, located[1]
        if isinstance(question, Sums):
            return _sum_facts(question, arrays, at)
        if isinstance(question, Pairs):
            return _pair_facts(step, question, at, located[0])
        if isinstance(question, Singles):
            identity = isinstance(question.function, IdentityFunction)
            out = question.y if identity else None
            return _single_facts(step, question.operand, question.x_codes[at].item(), out)
        if isinstance(question, Windows | Means):
            count = (
                question.count
                if isinstance(question, Means)
                else int(np.broadcast_to(question.count, question.shape)[at])
            )
            return _window_facts(step, arrays[0], index, count)
    if isinstance(step.attributes, PoolAttributes):
        return _window_facts(step, arrays[0], index, None)
    return _source_facts(bound, arrays, index)


def _sum_facts(question: Sums, arrays: list[Array | None], at: Index) -> dict[str, Any]:
    position, channel = at
    x, w = arrays[0], arrays[1]
    assert question.products is not None and x is not None and w is not None
    found = terms(question.products, x, w, position, channel)
    bias = question.context.bias
    return {
        "terms": tuple(largest(found, SHOWN_TERMS)),
        "term_count": len(found),
        "padded": sum(term.x_index is None for term in found),
        "total": sum(term.product for term in found),
        "bias": None if bias is None else int(np.broadcast_to(bias, question.shape)[at]),
    }


def _pair_facts(step: Step, question: Pairs, at: Index, part: Part) -> dict[str, Any]:
    codes = (int(question.a[at]), int(question.b[at]))
    real = real_pair(question.rule, question.quants, *codes) + int(question.y.zero_point)
    pairs = list(zip(codes, question.quants[:2], strict=True))
    if question.quants[0] is not step.quant(0):  # the operator exchanged its operands
        pairs.reverse()
    named = zip(step.input_names if len(step.input_names) == 2 else step.input_names * 2, pairs, strict=True)
    operands = tuple((name, code, float(real_of(code, quant))) for name, (code, quant) in named)
    return {"operands": operands, "real": real}


def _single_facts(step: Step, operand: int, value: int | float, out: Quant | None) -> dict[str, Any]:
    """One input value; out: the output's quantization, where the operator is no more than a rescale to it."""
    x = step.inputs[operand]
    assert x is not None
    if isinstance(value, float):
        operands: tuple[Any, ...] = ((x.name, value, value),)
        if out is None or not out.per_tensor or not math.isfinite(value):
            return {"operands": operands}
        return {"operands": operands, "real": Fraction(value) / fraction(out.scale) + int(out.zero_point)}
    if x.quant is None or not x.quant.per_tensor:
        return {"operands": ((x.name, value, float(value)),)}
    operands = ((x.name, value, float(real_of(value, x.quant))),)
    if out is None:
        return {"operands": operands}
    return {"operands": operands, "real": real_of(value, x.quant) / fraction(out.scale) + int(out.zero_point)}


def _source_facts(bound: BoundStep, arrays: list[Array | None], index: Index) -> dict[str, Any]:
    """The one input element that an output element is, or is made of; nothing where there are more."""
    sources = bound.operator.sources(bound.binding, *arrays)
    if sources is not None:
        return _moved_facts(bound.step, arrays, int(sources[index]))
    (array,) = arrays if len(arrays) == 1 else (None,)
    if array is None or array.ndim != len(index) or any(i >= size for i, size in zip(index, array.shape, strict=True)):
        return {}
    return _single_facts(bound.step, 0, array[index].item(), bound.step.outputs[0].quant)


def _moved_facts(step: Step, arrays: list[Array | None], source: int) -> dict[str, Any]:
    """source: as of `Operator.sources`."""
    for operand, array in zip(step.inputs, arrays, strict=True):
        assert operand is not None and array is not None
        if 0 < source <= array.size:
            place = tuple(int(i) for i in np.unravel_index(source - 1, array.shape))
            value = array[place].item()
            real = value if operand.quant is None or isinstance(value, float) else float(real_of(value, operand.quant))
            return {"operands": ((f"{operand.name}{list(place)}", value, float(real)),)}
        source -= array.size
    return {}


def _window_facts(step: Step, array: Array | None, index: Index, count: int | None) -> dict[str, Any]:
    """The codes of a pooling window that lie in the image, and, for a divisor, their exact mean."""
    operand, out = step.inputs[0], step.outputs[0].quant
    assert array is not None and operand is not None
    places = list(window_places(step, array.shape, index))
    codes = [array[place].item() for place in places]
    quant = operand.quant
    names = [f"{operand.name}{list(place)}" for place in places]
    real = [float(real_of(code, quant)) if quant is not None else code for code in codes]
    found: dict[str, Any] = {"operands": tuple(zip(names, codes, real, strict=True))}
    if quant is not None and out is not None and count is not None:
        found["real"] = mean_of(codes, count, quant, out) + int(out.zero_point)
    return found


def window_places(step: Step, shape: Index, index: Index) -> Iterator[Index]:
    """The input elements under a pool's window, in row-major order; those in the padding left out. A pool without a
    window takes the whole plane."""
    if not isinstance(step.attributes, PoolAttributes):
        yield from ((*index[:2], *place) for place in np.ndindex(*shape[2:]))
        return
    kernel = step.attributes.kernel_shape
    window = window_for(step.attributes, kernel, shape[2:])
    rank = len(kernel)
    strides, dilations, pads = window.strides[-rank:], window.dilations[-rank:], window.pads[:2][-rank:]
    for tap in np.ndindex(*kernel):
        at = [p * s - pad + t * d for p, s, pad, t, d in zip(index[2:], strides, pads, tap, dilations, strict=True)]
        if all(0 <= i < size for i, size in zip(at, shape[2:], strict=True)):
            yield (*index[:2], *at)


# -- the exact real result ---------------------------------------------------------------------------------------------
def real_pair(field: str, quants: tuple[Quant, Quant, Quant], a: int, b: int) -> Fraction:
    """The real sum or product of two codes, in units of y's scale, without its zero point."""
    x, y = (real_of(code, quant) for code, quant in zip((a, b), quants, strict=False))
    return (x + y if field == "add" else x * y) / fraction(quants[2].scale)


def real_of(code: int, quant: Quant) -> Fraction:
    return (code - int(quant.zero_point)) * fraction(quant.scale)


def mean_of(codes: Sequence[int], divisor: int, x: Quant, y: Quant) -> Fraction:
    """The real mean in units of y's scale, without its zero point."""
    return sum((real_of(code, x) for code in codes), Fraction(0)) / divisor / fraction(y.scale)
