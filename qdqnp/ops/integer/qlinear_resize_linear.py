"""Resize of mode linear on codes of one scale, which the lowerings of devices make: the profile's `resize` rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.graph import DEVICES, Shape, Sizes, concrete
from qdqnp.numerics.questions.blends import Blends
from qdqnp.numerics.rules.interpolate import MODES, InterpolatedAxis
from qdqnp.ops.geometry.resizing import LARGEST, ResizeAttributes, resized_axes
from qdqnp.ops.integer.asking import EVERYWHERE, Part
from qdqnp.ops.integer.device_functions import NOT_OF_ORT
from qdqnp.ops.integer.unary import FromOneInput, input_and_output
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred
from qdqnp.program import Step
from qdqnp.quant import EIGHT_BIT, Codes


@dataclass(frozen=True)
class QLinearResizeLinearAttributes:
    """As Resize's; the two axes in order, and their scales or their sizes."""

    coordinate_transformation_mode: str = "half_pixel"
    axes: tuple[int, ...] = (2, 3)
    scales: tuple[float, ...] = ()
    sizes: tuple[int, ...] = ()


class QLinearResizeLinear(FromOneInput):
    op = "QLinearResizeLinear"
    domain = DEVICES
    bytes_per_element = 128  # four corners' places, weights and sums, int64
    Attributes = QLinearResizeLinearAttributes
    asks = Blends
    rule = "resize"
    example = {"sizes": (2, 2), "axes": (2, 3)}  # noqa: RUF012 - is not changed
    example_shapes = ((1, 1, 2, 2),)

    def infer(self, check: NodeCheck, attributes: QLinearResizeLinearAttributes) -> Inferred:
        dtype = check.dtype_in(0, EIGHT_BIT, "x")
        check.rank_in(0, (4,), "x")
        if attributes.coordinate_transformation_mode not in MODES:
            given = attributes.coordinate_transformation_mode
            check.refuse("attribute 'coordinate_transformation_mode'", " or ".join(MODES), repr(given))
        if attributes.axes not in ((1, 2), (2, 3)):
            check.refuse("attribute 'axes'", "(1, 2) or (2, 3)", attributes.axes)
        if sorted(map(len, (attributes.scales, attributes.sizes))) != [0, 2]:
            check.refuse("attributes", "two scales or two sizes", f"{attributes.scales} and {attributes.sizes}")
        if not all(0 < scale < np.inf for scale in attributes.scales):
            check.refuse("attribute 'scales'", "finite numbers > 0", attributes.scales)
        if not all(0 < size <= LARGEST for size in attributes.sizes):
            check.refuse("attribute 'sizes'", f"sizes in [1, {LARGEST}]", attributes.sizes)
        input_and_output(check)
        return ((dtype, self.shapes(attributes, check.value(0).shape)[0]),)

    def check_scales(self, binding: Binding) -> None:
        if not binding.step.quant(0).same_as(binding.step.y):
            problem = Problem("scale and zero point", "those of the input at the output", "others")
            raise ProfileError("an interpolation between two scales", [problem])

    def shapes(self, attributes: QLinearResizeLinearAttributes, x: Shape) -> tuple[Shape, ...]:
        result = list(x)
        for axis in resized_axes(_as_resize(attributes), x):
            result[axis.axis] = axis.size
        return (tuple(result),)

    def questions(self, step: Step, x: Codes) -> Sequence[Part]:
        if x.size == 0:
            return []
        attributes: QLinearResizeLinearAttributes = step.attributes
        last = attributes.axes == (1, 2)
        image = x if last else np.moveaxis(x, 1, -1)
        question = Blends.of(step.label, step.quant(0), step.y, image, _axes(attributes, x.shape))
        return [Part(question, EVERYWHERE, None if last else 1)]

    def doubt(self, binding: Binding) -> str:
        return NOT_OF_ORT if binding.profile.lowering.startswith("ort") else ""


def _as_resize(attributes: QLinearResizeLinearAttributes) -> ResizeAttributes:
    return ResizeAttributes("linear", axes=attributes.axes, _scales=attributes.scales, _sizes=attributes.sizes)


def _axes(attributes: QLinearResizeLinearAttributes, x: Sizes) -> tuple[InterpolatedAxis, InterpolatedAxis]:
    """Return both axes with their sizes; a scale that is given is taken as the float32 number that it is."""
    after = concrete(tuple(axis.size for axis in resized_axes(_as_resize(attributes), x)))
    found: list[Any] = []
    for at, axis in enumerate(attributes.axes):
        scale = Fraction(attributes.scales[at]) if attributes.scales else Fraction(after[at], x[axis])
        found.append(InterpolatedAxis(x[axis], after[at], scale, attributes.coordinate_transformation_mode))
    return found[0], found[1]
