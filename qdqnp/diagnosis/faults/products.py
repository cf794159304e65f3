"""Changed products: what a layer sums, over another image or with other zero points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qdqnp.numerics.questions import Products, Sums
from qdqnp.ops.geometry.conv import Convolution


def with_products(question: Sums, products: Products) -> Sums:
    """The same question about other products, whose sums are yet to be computed."""
    context = replace(question.context, x=products.x, w=products.w, weights=products.weights.rows)
    return replace(question, context=context, products=products, known=None)


def pads_of(products: Convolution) -> tuple[int, ...]:
    """Padding before each spatial axis, then after each."""
    return tuple(axis[side] for side in (2, 3) for axis in products.axes)


def padded(products: Convolution, pads: Sequence[int], code: int) -> Convolution:
    """The products over an image with explicit padding of one code, as `pads_of` has it; a negative size cuts off."""
    image = products.image
    before, after = pads[: image.ndim - 2], pads[image.ndim - 2 :]
    grow = [(max(b, 0), max(a, 0)) for b, a in zip(before, after, strict=True)]
    made = np.pad(image, [(0, 0), (0, 0), *grow], constant_values=code)
    kept = [slice(max(-b, 0), size - max(-a, 0)) for b, a, size in zip(before, after, made.shape[2:], strict=True)]
    return replace(products, image=made[(slice(None), slice(None), *kept)], attributes=bare(products.attributes))


def bare(attributes: Any, pads: Sequence[int] = (), **changed: Any) -> Any:
    """The attributes of a window with explicit padding, by default none."""
    return replace(attributes, pads=tuple(pads), auto_pad="NOTSET", **changed)
