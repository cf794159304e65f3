"""What one output element is made of, whatever the profile: products, operands, windows, and the exact real result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from qdqnp.diagnosis.explain.terms import Index, largest, terms
from qdqnp.errors import InputError, Problem
from qdqnp.executor.plan import BoundStep
from qdqnp.inspection.layers import RULE_OF
from qdqnp.numerics.rational import fraction
from qdqnp.ops.geometry.windows import window_for
from qdqnp.program import Step
from qdqnp.quant import Array, Quant

SHOWN_TERMS = 8


def facts(bound: BoundStep, arrays: Sequence[Array | None], index: Index, shape: Index) -> dict[str, Any]:
    """Terms, operands, sum, bias and the exact real result, as far as the operator has them."""
    op = bound.step.op
    if op in ("QLinearConv", "QGemm", "QLinearMatMul"):
        return _sum_facts(bound, arrays, index, shape)
    if op in ("QLinearAdd", "QLinearMul"):
        return _pair_facts(bound, arrays, index)
    if op == "QLinearConcat":
        operand, inner, _ = concat_part(bound.step, arrays, index)
        return _unary_facts(bound.step, arrays, operand, inner)
    if op in ("MaxPool", "QLinearAveragePool", "QLinearGlobalAveragePool"):
        return _window_facts(bound.step, arrays, index)
    if len(arrays) == 1 and arrays[0] is not None and arrays[0].ndim == len(index):
        return _unary_facts(bound.step, arrays, 0, index)
    return {}


def _sum_facts(bound: BoundStep, arrays: Sequence[Array | None], index: Index, shape: Index) -> dict[str, Any]:
    found = list(terms(bound, arrays, index))
    total = sum(term.product for term in found)
    bias, own = arrays[2] if len(arrays) > 2 else None, None
    if bias is not None:
        own = int(bias[index[1]] if bound.step.op == "QLinearConv" else np.broadcast_to(bias, shape)[index])
    return {
        "terms": tuple(largest(found, SHOWN_TERMS)),
        "term_count": len(found),
        "padded": sum(term.x_index is None for term in found),
        "total": total,
        "bias": own,
    }


def _pair_facts(bound: BoundStep, arrays: Sequence[Array | None], index: Index) -> dict[str, Any]:
    x, y = bound.step.inputs[0], bound.step.inputs[1]
    out = bound.step.outputs[0].quant
    assert x is not None and y is not None and x.quant is not None and y.quant is not None and out is not None
    left, right = np.broadcast_arrays(*(array for array in arrays if array is not None))
    a, b = int(left[index]), int(right[index])
    field = RULE_OF[bound.step.op]
    real = real_pair(field, (x.quant, y.quant, out), a, b) + int(out.zero_point)
    operands = tuple(
        (operand.name, code, float(real_of(code, operand.quant)))
        for operand, code in ((x, a), (y, b))
        if operand.quant is not None
    )
    return {"operands": operands, "real": real}


def _unary_facts(step: Step, arrays: Sequence[Array | None], operand: int, index: Index) -> dict[str, Any]:
    """One input value; the exact result where the operator is no more than a rescale."""
    x, array, out = step.inputs[operand], arrays[operand], step.outputs[0].quant
    assert x is not None and array is not None
    value = array[index].item()
    if array.dtype.kind == "f":
        if out is None or not out.per_tensor or not np.isfinite(value):
            return {"operands": ((x.name, value, value),)}
        return {
            "operands": ((x.name, value, value),),
            "real": Fraction(value) / fraction(out.scale) + int(out.zero_point),
        }
    if x.quant is None or not x.quant.per_tensor:
        return {"operands": ((x.name, value, float(value)),)}
    operands = ((x.name, value, float(real_of(value, x.quant))),)
    if step.op != "QLinearConcat" or out is None:
        return {"operands": operands}
    return {"operands": operands, "real": real_of(value, x.quant) / fraction(out.scale) + int(out.zero_point)}


def _window_facts(step: Step, arrays: Sequence[Array | None], index: Index) -> dict[str, Any]:
    """The codes of a pooling window that lie in the image, and their exact mean."""
    array, operand, out = arrays[0], step.inputs[0], step.outputs[0].quant
    assert array is not None and operand is not None
    places = list(window_places(step, array.shape, index))
    codes = [array[place].item() for place in places]
    quant = operand.quant
    names = [f"{operand.name}{list(place)}" for place in places]
    real = [float(real_of(code, quant)) if quant is not None else code for code in codes]
    found: dict[str, Any] = {"operands": tuple(zip(names, codes, real, strict=True))}
    if quant is not None and out is not None:
        found["real"] = mean_of(codes, _divisor(step, array.shape, index, len(codes)), quant, out) + int(out.zero_point)
    return found


def window_places(step: Step, shape: Index, index: Index) -> Iterator[Index]:
    """The input elements under a pool's window, in row-major order; those in the padding left out."""
    if step.op == "QLinearGlobalAveragePool":
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


def _divisor(step: Step, shape: Index, index: Index, inside: int) -> int:
    counts_all = step.op == "QLinearAveragePool" and step.attributes.count_include_pad
    return int(np.prod(step.attributes.kernel_shape)) if counts_all else inside


def concat_part(step: Step, arrays: Sequence[Array | None], index: Index) -> tuple[int, Index, Index]:
    """Which operand of a Concat an element comes from, its index there, and that operand's shape."""
    axis = step.attributes.axis % len(index)
    rest = index[axis]
    for operand, array in enumerate(arrays):
        assert array is not None
        if rest < array.shape[axis]:
            return operand, (*index[:axis], rest, *index[axis + 1 :]), array.shape
        rest -= array.shape[axis]
    raise InputError("no such element", [Problem("index", "an element of the Concat", str(index))])


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
