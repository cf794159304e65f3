"""Values between the codes of planes: Resize of mode linear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from qdqnp.numerics.choices import of_layer
from qdqnp.numerics.questions.question import Question
from qdqnp.numerics.rules.interpolate import (
    InterpolatedAxis,
    InterpolateRule,
    Interpolation,
    RationalInterpolate,
    TfliteInterpolate,
)
from qdqnp.numerics.values import Index
from qdqnp.quant import Array, Codes, Int64, Quant


@dataclass(frozen=True, eq=False)
class Blends(Question):
    """Asks for codes between those of each plane; flat in the order (N, H', W', C)."""

    label: str
    x: Quant
    #: How the answer's codes are read.
    y: Quant
    #: Codes, shape (N, H, W, C).
    image: Codes
    #: Its height and its width.
    axes: tuple[InterpolatedAxis, InterpolatedAxis]
    #: Which elements of the output are asked about, flat.
    places: Int64
    rule: str = "resize"

    @classmethod
    def of(cls, label: str, x: Quant, y: Quant, image: Codes, axes: tuple[InterpolatedAxis, InterpolatedAxis]) -> Self:
        """Ask about every element of the output."""
        count = image.shape[0] * axes[0].after * axes[1].after * image.shape[3]
        return cls(label, x, y, image, axes, np.arange(count))

    def bind(self, rule: InterpolateRule) -> Interpolation:
        bound: Interpolation = of_layer(rule, self.label).bind(self.x, self.y, self.axes)
        return bound

    @property
    def arguments(self) -> tuple[Array, ...]:
        return (self.places, self.image)

    def made_of(self, at: Index, inputs: Sequence[Array | None]) -> Any:
        """Return the corners by ONNX's places, and by those of TFLite, which may lie one beside."""
        pictures, _, _, channels = self.image.shape
        first, i, j, c = np.unravel_index(self.places[at], (pictures, *(axis.after for axis in self.axes), channels))
        rows, columns = (
            sorted({number for found in _both(axis) for number in (found.first[place], found.second[place])})
            for axis, place in zip(self.axes, (i, j), strict=True)
        )
        return self.image[first][np.ix_(rows, columns)][..., c].reshape(-1)

    def part(self, elements: slice) -> Self:
        return replace(self, places=self.places[elements])


def _both(axis: InterpolatedAxis) -> list[Any]:
    found = [RationalInterpolate().neighbours(axis)]
    if axis.by_sizes and axis.mode != "pytorch_half_pixel":
        found.append(TfliteInterpolate().neighbours(axis))
    return found
