"""The rule that stands where nobody has defined an arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.choices import choice
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.status import STATUSES, UNKNOWN

HINT = "Give the profile a rule of its own for this operator, or let the host compute it in float32 (--host-float)."


@dataclass(frozen=True)
class Undefined(Rule, family="undefined"):
    """An operator whose arithmetic under the profile is not known. Binding it lists the layer as a problem."""

    reason: str
    status: str = choice(UNKNOWN, of=STATUSES)

    def bind(self, *arguments: Any, **keywords: Any) -> Any:
        problem = Problem(
            "arithmetic",
            "a rule",
            self.reason,
            HINT,
        )
        raise ProfileError("an operator that the profile does not define", [problem])
