"""com.microsoft.QLinearLeakyRelu: a table of quantize(leaky_relu(dequantize(x)))."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from qdqnp.numerics.rules.lookup import LeakyRelu, RealFunction
from qdqnp.ops.base import Site
from qdqnp.ops.lookup import QLinearUnary


@dataclass(frozen=True)
class LeakyReluAttributes:
    alpha: float = 0.01


class QLinearLeakyRelu(QLinearUnary):
    op = "QLinearLeakyRelu"
    Attributes = LeakyReluAttributes

    def attributes(self, site: Site) -> Any:
        given = super().attributes(site)
        if not math.isfinite(given.alpha):
            site.refuse("attribute 'alpha'", "a finite number", given.alpha)
        return given

    def function(self, attributes: LeakyReluAttributes) -> RealFunction:
        return LeakyRelu(attributes.alpha)
