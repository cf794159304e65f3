"""Min and Max of any number of arrays, element by element, which broadcast together."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from qdqnp.ops.float.elementwise import NUMBERS, Variadic
from qdqnp.ops.geometry.broadcast import innermost_run
from qdqnp.quant import Array

#: Bytes of the vectors in which ONNX Runtime on x86-64 compares; Eigen is compiled for SSE2 there.
VECTOR = 16


class Extreme(Variadic):
    """The largest or the smallest of the elements that meet; a NaN wins."""

    dtypes = (*NUMBERS, np.float16)
    #: np.maximum or np.minimum.
    best: ClassVar[np.ufunc]

    def combine(self, a: Array, b: Array) -> Array:
        chosen = np.asarray(self.best(a, b))
        return _signs_of_zeros(chosen, a, b) if a.dtype.kind == "f" else chosen


class Max(Extreme):
    op = "Max"
    best = np.maximum


class Min(Extreme):
    op = "Min"
    best = np.minimum


def _signs_of_zeros(chosen: Array, a: Array, b: Array) -> Array:
    """Return the choice with the zero that ONNX Runtime takes where 0.0 and -0.0 meet: neither is the larger one.

    Its vectors take the second operand there (MAXPS and MINPS do), and single elements the first, as all of float16 do.
    An array that is repeated is the second operand; vectors begin at multiples of their size in the output, and the
    rest of a run is compared one by one. Measured with onnxruntime 1.32.
    """
    met = (a == 0) & (b == 0) & (np.signbit(a) != np.signbit(b))
    if not met.any():
        return chosen
    run, repeated = innermost_run(a.shape, b.shape)
    first, second = np.broadcast_arrays(b, a) if repeated == 0 else np.broadcast_arrays(a, b)
    lanes = VECTOR // a.dtype.itemsize
    at = np.arange(chosen.size)
    start = at // run * run
    begin, end = -(-start // lanes) * lanes, (start + run) // lanes * lanes
    in_vector = ((at >= begin) & (at < end) & (a.dtype != np.float16)).reshape(chosen.shape)
    return np.where(met, np.where(in_vector, second, first), chosen)
