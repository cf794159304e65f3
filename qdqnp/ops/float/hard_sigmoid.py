"""HardSigmoid and HardSwish in float32."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdqnp.quant import Array


@dataclass(frozen=True)
class HardSigmoidAttributes:
    alpha: float = 0.2
    beta: float = 0.5


#: HardSwish is x times HardSigmoid(x) with these, as ONNX defines it.
HARD_SWISH_GATE = HardSigmoidAttributes(alpha=float(np.float32(1 / 6)), beta=0.5)


def hard_sigmoid(x: Array, attributes: HardSigmoidAttributes) -> Array:
    """Compute max(0, min(1, alpha * x + beta))."""
    line = np.float32(attributes.alpha) * x + np.float32(attributes.beta)
    clipped: Array = np.maximum(np.minimum(line, np.float32(1)), np.float32(0))
    return clipped


def hard_swish(x: Array) -> Array:
    return np.multiply(x, hard_sigmoid(x, HARD_SWISH_GATE))
