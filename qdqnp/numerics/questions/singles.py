"""Single codes to codes through a real function: the inputs of a Concat, LeakyRelu, Sigmoid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from qdqnp.numerics.questions.question import Question
from qdqnp.numerics.rules.lookup import IdentityFunction, RealFunction
from qdqnp.numerics.values import Index
from qdqnp.quant import Array, Codes, Quant, all_codes


@dataclass(frozen=True, eq=False)
class Singles(Question):
    """Asks for a code for each code of x, through a real function."""

    rule: str
    label: str
    x: Quant
    #: How the answer's codes are read.
    y: Quant
    function: RealFunction
    #: Codes of x, flat.
    x_codes: Codes
    #: Which input of the layer this is.
    operand: int = 0

    @property
    def copied(self) -> bool:
        """Whether the codes stay what they are; then nothing is computed, and no rule is asked."""
        same = isinstance(self.function, IdentityFunction) and self.x.same_as(self.y)
        return same and self.y.limits is None

    def codes(self, rule: Any) -> Codes:
        return self.x_codes if self.copied else super().codes(rule)

    def bind(self, rule: Any) -> Any:
        return rule.bind(self.x, self.y, self.function)

    @property
    def arguments(self) -> tuple[Array, ...]:
        return (self.x_codes,)

    def made_of(self, at: Index, inputs: Sequence[Array | None]) -> Any:
        return self.x_codes[at]

    def part(self, elements: slice) -> Self:
        return replace(self, x_codes=self.x_codes[elements])

    def everything(self) -> Self:
        """Ask about all codes, in the order of their bytes."""
        return replace(self, x_codes=all_codes(self.x.dtype))

    def table(self, rule: Any) -> Mapping[str, Any]:
        """Return the rule's parameters, and its answer to every code as a table by the byte of x."""
        return {**self.parameters(rule), "table": self.everything().codes(rule)}
