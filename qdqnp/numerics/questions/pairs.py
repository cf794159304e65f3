"""Pairs of codes to codes: Add, Mul."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.choices import of_layer
from qdqnp.numerics.questions.question import Question
from qdqnp.numerics.values import Index
from qdqnp.quant import Array, Codes, Quant, all_codes


@dataclass(frozen=True, eq=False)
class Pairs(Question):
    """Asks for a code for each pair of codes of a and b."""

    rule: str
    label: str
    #: The quantizations of a, of b and of the answer.
    quants: tuple[Quant, Quant, Quant]
    #: Codes, flat, in the order in which the operator hands them to its rule; those of b likewise.
    a: Codes
    b: Codes
    #: Which inputs of the layer a and b are.
    operands: tuple[int, int] = (0, 1)
    #: Whether b is subtracted, which not every rule of additions defines.
    subtracted: bool = False

    def bind(self, rule: Any) -> Any:
        rule = of_layer(rule, self.label)
        if not self.subtracted:
            return rule.bind(*self.quants)
        if not hasattr(rule, "bind_difference"):
            reason = getattr(rule, "reason", "a rule of sums alone")
            problem = Problem("arithmetic", "a rule of differences", reason)
            raise ProfileError("an operator that the profile does not define", [problem])
        return rule.bind_difference(*self.quants)

    @property
    def arguments(self) -> tuple[Array, ...]:
        return (self.a, self.b)

    @property
    def y(self) -> Quant:  # type: ignore[override]
        return self.quants[2]

    def with_y(self, y: Quant) -> Self:
        return replace(self, quants=(*self.quants[:2], y))

    def made_of(self, at: Index, inputs: Sequence[Array | None]) -> Any:
        return self.a[at], self.b[at]

    def part(self, elements: slice) -> Self:
        return replace(self, a=self.a[elements], b=self.b[elements])

    def everything(self) -> Self:
        """Ask about every pair of 8-bit codes, 65,536 elements: a slower than b, each in the order of its bytes."""
        a, b = (all_codes(quant.dtype) for quant in self.quants[:2])
        return replace(self, a=np.repeat(a, b.size), b=np.tile(b, a.size))
