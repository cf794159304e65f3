"""Averages of whole planes: GlobalAveragePool, and an AveragePool whose window is the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.choices import of_layer
from qdqnp.numerics.questions.question import Summed
from qdqnp.numerics.rules.mean import MeanRule
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.numerics.values import Index
from qdqnp.quant import Array, Codes, Int64, Quant


@dataclass(frozen=True, eq=False)
class Means(Summed):
    """Asks for the averages of whole planes, from the sum of (code - zero point) of each plane."""

    label: str
    x: Quant
    #: How the answer's codes are read.
    y: Quant
    #: Elements of a plane.
    count: int
    #: int64, shape (planes,).
    sums: Int64
    #: What is added up, codes, shape (planes, count); None where only the sums are known.
    planes: Codes | None = None
    rule: str = "global_average_pool"
    #: Dimensions of a plane: 2 of an image.
    dims: int = 2

    @property
    def total(self) -> Int64:
        """The accumulators, which are the sums: an average has no bias."""
        return self.sums

    def with_sums(self, sums: Int64) -> Self:
        return replace(self, sums=sums, planes=None)

    def bind(self, rule: MeanRule) -> Requantizer:
        held = getattr(rule, "dims", self.dims)
        if self.dims != held:
            problem = Problem("average", f"over {held} dimensions, as the profile's kernel", f"over {self.dims}")
            raise ProfileError("an average that the profile does not define", [problem])
        bound: Requantizer = of_layer(rule, self.label).bind(self.x, self.y, self.count)
        return bound

    @property
    def arguments(self) -> tuple[Array, ...]:
        return (self.sums,)

    def made_of(self, at: Index, inputs: Sequence[Array | None]) -> Any:
        assert self.planes is not None
        return self.planes[at]

    def part(self, elements: slice) -> Self:
        planes = None if self.planes is None else self.planes[elements]
        return replace(self, sums=self.sums[elements], planes=planes)
