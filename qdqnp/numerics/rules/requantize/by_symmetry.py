"""A library that has a kernel for symmetric weights only, and another one for the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdqnp.numerics.choices import choice, part
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.requantize.protocol import Requantizer, RequantizeRule, SumContext
from qdqnp.numerics.status import ESTABLISHED, STATUSES


@dataclass(frozen=True)
class BySymmetry(Rule, family="requantize"):
    """One rule where every zero point of the weights, or of the right operand of a product, is 0; another elsewhere.

    XNNPACK multiplies by symmetric matrices only; LiteRT computes the other products itself.
    """

    symmetric: RequantizeRule = part("requantize", "undefined")
    other: RequantizeRule = part("requantize", "undefined")
    status: str = choice(ESTABLISHED, of=STATUSES)

    def bind(self, context: SumContext) -> Requantizer:
        rule = self.other if np.any(context.w.zero_point) else self.symmetric
        return rule.bind(context)
