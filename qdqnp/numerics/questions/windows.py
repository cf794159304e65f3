"""Windows of codes to codes: AveragePool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from qdqnp.numerics.choices import of_layer
from qdqnp.numerics.questions.question import Question
from qdqnp.numerics.rules.average import AverageFunction, AverageRule
from qdqnp.numerics.values import Index
from qdqnp.quant import Array, Codes, Int64, Quant


@dataclass(frozen=True, eq=False)
class Windows(Question):
    """Asks for the average of each window."""

    label: str
    x: Quant
    #: How the answer's codes are read.
    y: Quant
    #: Codes of the taps, shape (taps, ...), row-major within a window; the answer has the shape of the rest.
    taps: Codes
    #: Whether a tap lies inside the image, broadcastable to `taps`.
    inside: Array
    #: The divisor of each window, broadcastable to the answer.
    count: Int64
    rule: str = "average_pool"

    def bind(self, rule: AverageRule) -> AverageFunction:
        bound: AverageFunction = of_layer(rule, self.label).bind(self.x, self.y)
        return bound

    @property
    def arguments(self) -> tuple[Array, ...]:
        return (self.taps, self.inside, self.count)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.taps.shape[1:])

    def flat(self) -> Self:
        """Return the same windows one after the other: taps (taps, windows)."""
        taps = self.taps.reshape(len(self.taps), -1)
        inside = np.broadcast_to(self.inside, self.taps.shape).reshape(taps.shape)
        return replace(self, taps=taps, inside=inside, count=np.broadcast_to(self.count, self.shape).reshape(-1))

    def made_of(self, at: Index, inputs: Sequence[Array | None]) -> Any:
        taps, inside = (np.moveaxis(array, 0, -1)[at] for array in np.broadcast_arrays(self.taps, self.inside))
        return taps[inside]

    def part(self, elements: slice) -> Self:
        flat = self.flat()
        return replace(flat, taps=flat.taps[:, elements], inside=flat.inside[:, elements], count=flat.count[elements])

    def parameters(self, rule: AverageRule) -> Mapping[str, Any]:
        return self.bind(rule).numbers(np.unique(self.count))
