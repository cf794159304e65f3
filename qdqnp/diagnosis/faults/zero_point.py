"""Zero points: of an input, of the weights or of the output, left out; or another code as padding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.faults.fault import Changed, Computed, Layer, Variant, fault_of_layer, fault_of_question
from qdqnp.diagnosis.faults.products import padded, pads_of, with_products
from qdqnp.numerics.questions import Means, Pairs, Question, Singles, Sums, Windows
from qdqnp.ops.geometry.conv import Convolution
from qdqnp.quant import Quant, code_range

MISSING = "missing input zero point"
MISSING_WEIGHT = "missing weight zero point"
MISSING_OUTPUT = "missing output zero point"
OFF_BY_ONE = "zero point off by one"
PAD_ZERO = "padding with 0"
PAD_LOWEST = "padding with the lowest code"


def without(quant: Quant) -> Quant:
    return replace(quant, zero_point=np.zeros_like(quant.zero_point))


# -- padding -----------------------------------------------------------------------------------------------------------
@fault_of_question(PAD_ZERO, Sums)
def pad_zero(question: Sums, rule: Any) -> Iterator[Changed]:
    """Code 0 around the image, where the zero point's code belongs."""
    yield from _padding(question, 0)


@fault_of_question(PAD_LOWEST, Sums)
def pad_lowest(question: Sums, rule: Any) -> Iterator[Changed]:
    """The lowest code around the image, as a pool for maxima has it."""
    if isinstance(question.products, Convolution) and question.products.x.dtype.kind == "i":
        yield from _padding(question, code_range(question.products.x.dtype)[0])


def _padding(question: Sums, code: int) -> Iterator[Changed]:
    products = question.products
    if isinstance(products, Convolution) and any(pads_of(products)) and int(products.x.zero_point) != code:
        held = f"the zero point is {int(products.x.zero_point)}"
        yield Changed(with_products(question, padded(products, pads_of(products), code)), held)


@fault_of_question(PAD_ZERO, Windows)
def pad_window_zero(question: Windows, rule: Any) -> Iterator[Changed]:
    """The padding counts, as elements of code 0."""
    if not question.inside.all() and question.x.zero_point.any():
        every = np.ones_like(question.inside)
        taps = np.where(question.inside, question.taps, 0).astype(question.taps.dtype)
        count = np.full_like(question.count, len(question.taps))
        changed = replace(question, taps=taps, inside=every, count=count)
        yield Changed(changed, f"the zero point is {int(question.x.zero_point)}")


# -- of an input -------------------------------------------------------------------------------------------------------
@fault_of_question(MISSING, Sums)
def missing_in_sums(question: Sums, rule: Any) -> Iterator[Changed]:
    """x in place of x - z_x; the padding adds nothing, or stays the zero point's code."""
    products: Any = question.products
    if products is None or not products.x.zero_point.any():
        return
    yield Changed(with_products(question, replace(products, x=without(products.x))))
    if isinstance(products, Convolution) and any(pads_of(products)):
        explicit = padded(products, pads_of(products), int(products.x.zero_point))
        yield Changed(with_products(question, replace(explicit, x=without(products.x))), "padding right")


@fault_of_question(MISSING, Pairs)
def missing_in_pairs(question: Pairs, rule: Any) -> Iterator[Changed]:
    a, b, y = question.quants
    for operand, quants in zip(question.operands, ((without(a), b, y), (a, without(b), y)), strict=True):
        yield Changed(replace(question, quants=quants), f"of input {operand}")


@fault_of_question(MISSING, Singles)
def missing_in_singles(question: Singles, rule: Any) -> Iterator[Changed]:
    yield Changed(replace(question, x=without(question.x)))


@fault_of_question(MISSING, Means)
def missing_in_means(question: Means, rule: Any) -> Iterator[Changed]:
    uncentered = question.sums + int(question.x.zero_point) * question.count
    yield Changed(replace(question, x=without(question.x), sums=uncentered))


@fault_of_question(MISSING, Windows)
def missing_in_windows(question: Windows, rule: Any) -> Iterator[Changed]:
    yield Changed(replace(question, x=without(question.x)))


@fault_of_layer(MISSING)
def missing_without_a_question(layer: Layer) -> Iterator[Variant]:
    """Of operators that no rule answers but that look behind the codes."""
    step = layer.bound.step
    quants = [operand.quant if operand is not None else None for operand in step.inputs]
    for index, quant in enumerate(() if layer.parts else quants):
        if quant is not None and quant.zero_point.any() and not layer.bound.binding.constant(index):
            changed = rebind.with_inputs(step, [*quants[:index], without(quant), *quants[index + 1 :]])
            yield Computed(
                "" if index == 0 else f"of input {index}",
                lambda changed=changed: rebind.evaluate(layer.bound, layer.values, layer.bound.profile, changed),  # type: ignore[misc]
            )


# -- of the weights and of the output ----------------------------------------------------------------------------------
@fault_of_question(MISSING_WEIGHT, Sums)
def missing_in_weights(question: Sums, rule: Any) -> Iterator[Changed]:
    """w in place of w - z_w."""
    products: Any = question.products
    if products is not None and products.w.zero_point.any():
        yield Changed(with_products(question, replace(products, w=without(products.w))))


@fault_of_question(MISSING_OUTPUT)
def missing_in_output(question: Question, rule: Any) -> Iterator[Changed]:
    """The zero point is not added to the rounded value."""
    if question.y is not None and question.y.zero_point.any():
        yield Changed(question.with_y(without(question.y)))


# -- off by one --------------------------------------------------------------------------------------------------------
def moved(quant: Quant, by: int) -> Quant | None:
    """The quantization with another zero point; None where that is no code."""
    low, high = code_range(quant.dtype)
    wide = quant.zero_point.astype(np.int64) + by
    if (wide < low).any() or (wide > high).any():
        return None
    return replace(quant, zero_point=wide.astype(quant.zero_point.dtype))


def _either_way(quant: Quant) -> Iterator[tuple[str, Quant]]:
    for by in (1, -1):
        changed = moved(quant, by)
        if changed is not None:
            yield f"{by:+d}", changed


@fault_of_question(OFF_BY_ONE, Sums)
def off_in_sums(question: Sums, rule: Any) -> Iterator[Changed]:
    """Of the input, with which the padding goes or does not; or of the weights."""
    products: Any = question.products
    if products is None:
        return
    for by, x in _either_way(products.x):
        yield Changed(with_products(question, replace(products, x=x)), f"{by}, of the input")
        if isinstance(products, Convolution) and any(pads_of(products)):
            explicit = padded(products, pads_of(products), int(products.x.zero_point))
            yield Changed(with_products(question, replace(explicit, x=x)), f"{by}, of the input, padding right")
    for by, w in _either_way(products.w):
        yield Changed(with_products(question, replace(products, w=w)), f"{by}, of the weights")


@fault_of_question(OFF_BY_ONE, Pairs)
def off_in_pairs(question: Pairs, rule: Any) -> Iterator[Changed]:
    a, b, y = question.quants
    for by, quant in _either_way(a):
        yield Changed(replace(question, quants=(quant, b, y)), f"{by}, of input {question.operands[0]}")
    for by, quant in _either_way(b):
        yield Changed(replace(question, quants=(a, quant, y)), f"{by}, of input {question.operands[1]}")


@fault_of_question(OFF_BY_ONE, Singles)
def off_in_singles(question: Singles, rule: Any) -> Iterator[Changed]:
    for by, quant in _either_way(question.x):
        yield Changed(replace(question, x=quant), f"{by}, of the input")


@fault_of_question(OFF_BY_ONE, Means)
def off_in_means(question: Means, rule: Any) -> Iterator[Changed]:
    for by, quant in _either_way(question.x):
        sums = question.sums - int(by) * question.count
        yield Changed(replace(question, x=quant, sums=sums), f"{by}, of the input")


@fault_of_question(OFF_BY_ONE, Windows)
def off_in_windows(question: Windows, rule: Any) -> Iterator[Changed]:
    for by, quant in _either_way(question.x):
        yield Changed(replace(question, x=quant), f"{by}, of the input")


@fault_of_question(OFF_BY_ONE)
def off_in_output(question: Question, rule: Any) -> Iterator[Changed]:
    for by, quant in _either_way(question.y) if question.y is not None else ():
        yield Changed(question.with_y(quant), f"{by}, of the output")
