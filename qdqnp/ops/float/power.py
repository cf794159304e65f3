"""Pow in float32. Squares and cubes are products; every other power is the C library's."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics import libm
from qdqnp.ops.float.elementwise import Broadcast
from qdqnp.ops.geometry.broadcast import broadcast_shapes, first_is_scalar
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred
from qdqnp.quant import Array

EXPONENTS = (np.float32, np.int32, np.int64)


class Pow(Broadcast):
    """x to the power of y. Where ONNX Runtime goes along x with one y, it computes x * x for 2 and x * x * x for 3."""

    op = "Pow"

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        dtype = check.dtype_in(0, (np.float32,), "x")
        check.dtype_in(1, EXPONENTS, "y")
        return ((dtype, broadcast_shapes([check.value(0).shape, check.value(1).shape])),)

    def apply(self, a: Array, b: Array) -> Array:
        with np.errstate(all="ignore"):
            # the C++ library takes integer powers in float64
            found = libm.power(a, b) if b.dtype == a.dtype else np.power(a.astype(np.float64), b).astype(np.float32)
            if _along(a.shape, b.shape):
                square = a * a
                found = np.where(b == 2, square, np.where(b == 3, square * a, found))
        return np.asarray(found, np.float32)

    def doubt(self, binding: Binding) -> str:
        exponent = binding.step.inputs[1]
        assert exponent is not None
        value = binding.consts.get(exponent.name)
        if value is None or value.dtype == np.float32 or (value.size == 1 and value.reshape(-1)[0] in (2, 3)):
            return ""
        return "the C library takes integer powers in float64, whose last bits are not known"


def _along(a: Shape, b: Shape) -> bool:
    """Tell whether the innermost span goes along x with one y."""
    return not first_is_scalar(a, b) and first_is_scalar(b, a)
