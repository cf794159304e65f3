"""HardSigmoid in float32: max(0, min(1, alpha x + beta)), product and sum each rounded."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdqnp.ops.float.elementwise import Elementwise
from qdqnp.quant import Array


@dataclass(frozen=True)
class HardSigmoidAttributes:
    alpha: float = 0.2
    beta: float = 0.5


class HardSigmoid(Elementwise):
    op = "HardSigmoid"
    Attributes = HardSigmoidAttributes

    def apply(self, attributes: HardSigmoidAttributes, x: Array) -> Array:
        line = np.float32(attributes.alpha) * x + np.float32(attributes.beta)
        return np.maximum(np.minimum(line, np.float32(1)), np.float32(0))
