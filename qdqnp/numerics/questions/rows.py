"""Rows of codes to codes: Softmax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from qdqnp.numerics.questions.question import Question, rows_of
from qdqnp.numerics.values import Index
from qdqnp.quant import Array, Codes, Quant


@dataclass(frozen=True, eq=False)
class Rows(Question):
    """Asks for the codes of whole rows: a rule looks at a whole row."""

    label: str
    x: Quant
    #: How the answer's codes are read.
    y: Quant
    #: Codes, shape (rows, width).
    rows: Codes
    rule: str = "softmax"

    def bind(self, rule: Any) -> Any:
        return rule.bind(self.x, self.y, self.rows.shape[1])

    @property
    def arguments(self) -> tuple[Array, ...]:
        return (self.rows,)

    def made_of(self, at: Index, inputs: Sequence[Array | None]) -> Any:
        return self.rows[at[0]]

    def part(self, elements: slice) -> Self:
        return replace(self, rows=self.rows[rows_of(elements, self.rows.shape[1])])
