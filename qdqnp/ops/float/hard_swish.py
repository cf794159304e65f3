"""HardSwish in float32: x times HardSigmoid(x) with alpha = 1/6, as ONNX defines it."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.ops.float.elementwise import Elementwise
from qdqnp.ops.float.hard_sigmoid import HardSigmoid, HardSigmoidAttributes
from qdqnp.quant import Array

GATE = HardSigmoidAttributes(alpha=float(np.float32(1 / 6)), beta=0.5)


class HardSwish(Elementwise):
    op = "HardSwish"

    def apply(self, attributes: Any, x: Array) -> Array:
        return np.multiply(x, HardSigmoid().apply(GATE, x))
