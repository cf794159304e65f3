"""Windows: padding off by one, stride 1 in place of another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from qdqnp.diagnosis import rebind
from qdqnp.diagnosis.faults.fault import Changed, Computed, Layer, Variant, fault_of_layer, fault_of_question
from qdqnp.diagnosis.faults.products import bare, padded, pads_of, with_products
from qdqnp.graph import Sizes
from qdqnp.numerics.questions import Sums
from qdqnp.ops.geometry.conv import Convolution
from qdqnp.ops.geometry.windows import WindowAttributes, window_for
from qdqnp.quant import Array

PAD_OFF = "padding off by one"
STRIDE = "stride 1 in place of another"


@fault_of_layer(STRIDE)
def stride(layer: Layer) -> Iterator[Variant]:
    """The first rows and columns of what a stride of 1 gives, or its first elements in memory."""
    step, x = layer.bound.step, layer.bound.arrays(layer.values)[0]
    attributes = step.attributes
    if (
        not isinstance(attributes, WindowAttributes)
        or x is None
        or x.ndim != 4
        or max(attributes.strides, default=1) < 2
    ):
        return
    kernel = _kernel(layer)
    pads = window_for(attributes, kernel, x.shape[2:]).pads
    changed = replace(step, attributes=bare(attributes, pads, strides=()))
    inputs = [None if array is None else array.shape for array in layer.bound.arrays(layer.values)]
    (shape, *_) = layer.bound.operator.shapes(attributes, *inputs)
    sizes = [size for size in shape if isinstance(size, int)]

    @cache
    def dense() -> Array:
        return rebind.evaluate(layer.bound, layer.values, layer.bound.profile, changed)

    yield Computed(f"{attributes.strides[0]}; the first rows and columns", lambda: dense()[..., : sizes[2], : sizes[3]])
    yield Computed(
        f"{attributes.strides[0]}; the first elements in memory",
        lambda: dense().reshape(-1)[: np.prod(sizes)].reshape(sizes),
    )
    yield Computed(
        f"{attributes.strides[0]}; the first elements in memory, NHWC",
        lambda: np.moveaxis(
            np.moveaxis(dense(), 1, -1).reshape(-1)[: np.prod(sizes)].reshape(sizes[0], *sizes[2:], sizes[1]), -1, 1
        ),
    )


def _kernel(layer: Layer) -> Sizes:
    """The spatial sizes of the window: the weights' own, or an attribute."""
    operand = layer.bound.operator.weight_operand
    if operand is None:
        return tuple(layer.bound.step.attributes.kernel_shape)
    weights = layer.bound.arrays(layer.values)[operand]
    assert weights is not None
    return tuple(weights.shape[2:])


@fault_of_question(PAD_OFF, Sums)
def pad_off(question: Sums, rule: Any) -> Iterator[Changed]:
    """The window starts one row or column too early or too late; what lies outside is padding."""
    products = question.products
    if not isinstance(products, Convolution):
        return
    rank = products.image.ndim - 2
    before, after = pads_of(products)[:rank], pads_of(products)[rank:]
    zero = int(products.x.zero_point)
    for moves in product((0, 1, -1), repeat=rank):
        if any(moves):
            starts = [pad + move for pad, move in zip(before, moves, strict=True)]
            ends = [pad - move for pad, move in zip(after, moves, strict=True)]
            text = f"begins {', '.join(map(str, starts))} for {', '.join(map(str, before))}"
            yield Changed(with_products(question, padded(products, [*starts, *ends], zero)), text)
