"""Relu: max(x, 0) on float32 or int8."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.ops.float.elementwise import Elementwise
from qdqnp.quant import Array


class Relu(Elementwise):
    op = "Relu"
    dtypes = (np.float32, np.int8)

    def apply(self, attributes: Any, x: Array) -> Array:
        return np.where(x < 0, x.dtype.type(0), x)  # as ONNX Runtime does, -0.0 and NaN stay what they are
