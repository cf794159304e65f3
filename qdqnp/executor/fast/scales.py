"""Codes to real numbers and back with one scale: the operations of `numerics/float32.py` in their order, in place.

A piece stays in cache from the first operation to the last. No operation is another than the definition's: nothing is
to be proven, and the tests hold every code and every kind of float against it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qdqnp.executor.fast.kernel import Definition
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.float32 import clamp_limits
from qdqnp.numerics.rules.convert import FloatConvert
from qdqnp.ops.integer.dequantize_linear import DequantizeLinear
from qdqnp.ops.integer.quantize_linear import QuantizeLinear
from qdqnp.ops.operator import Binding, Operator
from qdqnp.quant import EIGHT_BIT, Array, Quant

#: Elements of a piece. The number was measured and decides speed only.
PIECE = 32 * 1024


def scaled_kernel(operator: Operator, binding: Binding) -> Definition | None:
    """Return the fast form of a QuantizeLinear or DequantizeLinear; None for other steps, and where it does not fit."""
    if type(binding.profile.convert) is not FloatConvert:
        return None
    step = binding.step
    if isinstance(operator, QuantizeLinear):
        plain = step.outputs[0].quant is not None and step.attributes._divided_in == np.float32
        return Quantized(operator, binding) if plain and _one_scale(step.y) else None
    if isinstance(operator, DequantizeLinear):
        read = step.inputs[0]
        plain = read is not None and read.quant is not None and step.attributes._made == np.float32
        return Dequantized(operator, binding) if plain and _one_scale(step.quant(0)) else None
    return None


def _one_scale(quant: Quant) -> bool:
    return quant.scale.ndim == quant.zero_point.ndim == 0 and quant.dtype in EIGHT_BIT and quant.limits is None


class Quantized(Definition):
    """rint(clip(x / scale)) + zero point; a NaN becomes the lowest code."""

    def __init__(self, operator: Operator, binding: Binding) -> None:
        super().__init__(operator, binding)
        y = binding.step.y
        self._scale, self._dtype, self._zero = y.scale, y.dtype, np.float32(int(y.zero_point))
        self._limits = clamp_limits(y.dtype, y.zero_point)

    def __call__(self, arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
        (x,) = arrays
        if x is None or x.dtype != np.float32 or not x.flags.c_contiguous:
            return super().__call__(arrays, scratch)
        made, flat = np.empty(x.shape, self._dtype), x.reshape(-1)
        out, work = made.reshape(-1), scratch.take("scaled", (min(PIECE, x.size),), np.float32)
        for start in range(0, x.size, PIECE):
            piece = flat[start : start + PIECE]
            real = work[: piece.size]
            self.centered(piece, real)
            if self._zero:
                np.add(real, self._zero, out=real)
            np.copyto(out[start : start + PIECE], real, casting="unsafe")
        return (made,)

    def centered(self, x: Array, out: Array) -> None:
        """Write the codes of float32 values, less their zero point, to float32 memory without gaps."""
        low, high = self._limits
        np.divide(x, self._scale, out=out)
        out.clip(low, high, out=out)
        flat = out.reshape(-1)
        if np.isnan(np.dot(flat, flat)):  # the squares of what is clipped are finite: a NaN is one of the elements
            flat[np.isnan(flat)] = low
        np.rint(out, out=out)


class Dequantized(Definition):
    """(code - zero point) * scale."""

    def __init__(self, operator: Operator, binding: Binding) -> None:
        super().__init__(operator, binding)
        x = binding.step.quant(0)
        self._scale, self._zero = x.scale, np.float32(int(x.zero_point))

    def __call__(self, arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
        (codes,) = arrays
        if codes is None or not codes.flags.c_contiguous:
            return super().__call__(arrays, scratch)
        made, flat = np.empty(codes.shape, np.float32), codes.reshape(-1)
        out = made.reshape(-1)
        for start in range(0, codes.size, PIECE):
            real = out[start : start + PIECE]
            np.copyto(real, flat[start : start + PIECE])
            if self._zero:
                np.subtract(real, self._zero, out=real)
            np.multiply(real, self._scale, out=real)
        return (made,)
