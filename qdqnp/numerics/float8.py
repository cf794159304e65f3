"""Float8 and float4 are numbers with a sign, 2 to 5 bits of exponent and 1 to 3 of fraction; here float32 becomes one.

Each value goes to the nearest, ties to the even one. What is too large becomes the largest number, or, where it is not
to saturate, an infinity or a NaN. Source: ONNX's specification of Cast; where nothing saturates ONNX Runtime 1.32,
include/onnxruntime/core/framework/float8.h, compared on all of float16 and random float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from qdqnp.element_types import FLOAT4, FLOAT8, Dtype
from qdqnp.quant import Array, Float32

E4M3FN, _, E5M2, _ = FLOAT8

# Where ONNX Runtime's casts that do not saturate leave the specification: from, up to, and what it makes there. The
# number has the exponent of the largest ones, and no fraction that fits.
ODD: Mapping[Dtype, tuple[float, float, float]] = {E4M3FN: (480, 496, 448), E5M2: (61440, 65536, np.nan)}


def to_small_float(x: Float32, dtype: Dtype, saturate: bool) -> Array:
    """Round float32 to float8 or float4; a NaN stays one where the type has it.

        saturate: whether numbers too large for float8 become the largest; float4 has nothing else to offer.

    >>> to_small_float(np.array([0.3, 1e6], np.float32), FLOAT8[0], saturate=True).astype(np.float32)
    array([3.125e-01, 4.480e+02], dtype=float32)
    """
    most = largest(dtype)
    with np.errstate(all="ignore"):
        if saturate:
            return np.clip(x, -most, most).astype(dtype)
        rounded = x.astype(dtype)
        if dtype in ODD:
            first, end, made = ODD[dtype]
            odd = (np.abs(x) >= first) & (np.abs(x) < end)
            rounded[odd] = np.copysign(np.float32(made), x[odd]).astype(dtype)
    return rounded


@cache
def largest(dtype: Dtype) -> np.float32:
    """Return the largest number of a float8 or float4 type.

    >>> float(largest(FLOAT8[2]))
    57344.0
    """
    every = np.arange(256 >> 4 * (dtype == FLOAT4), dtype=np.uint8).view(dtype).astype(np.float32)
    return np.float32(every[np.isfinite(every)].max())
