"""What the integer operators that sum and requantize have in common: proof, weights, finish."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdqnp.kernels.finish import FloatFinish, IntegerFinish, float_finish
from qdqnp.kernels.strategy import Proof, prove
from qdqnp.kernels.sums import Weights
from qdqnp.numerics.rules.requantize import Requantizer
from qdqnp.quant import Array, Codes, Int64, Quant, code_range


@dataclass(frozen=True, eq=False)
class Layer:
    """Weights, zero-point correction and finish of one linear layer, for one axis of its tiles.

    correction: -zero point of x times the sum of each channel's weights, shape (channels,): raw sum + correction is
    the sum of (x - z_x) * (w - z_w).
    """

    weights: Weights
    correction: Int64
    finish: FloatFinish | IntegerFinish

    @property
    def proof(self) -> Proof:
        return self.weights.proof


def centered_weights(w: Codes, quant: Quant) -> Int64:
    """w - z_w as int64, the per-channel zero points along quant.axis."""
    zero = quant.zero_point.astype(np.int64)
    if zero.ndim:
        zero = zero.reshape([-1 if axis == quant.axis else 1 for axis in range(w.ndim)])
    return w.astype(np.int64) - zero


def make_layer(grouped: Int64, x: Quant, requantizer: Requantizer, channel_axis: int, strategy: str) -> Layer:
    """grouped: centered weights (groups, channels per group, K); channel_axis: 0 for tiles (channels, positions),
    1 for (positions, channels)."""
    low, high = code_range(x.dtype)
    proof = prove(grouped, low, high, strategy)
    weights = Weights.of(grouped, proof)
    correction = -int(x.zero_point) * grouped.sum(axis=-1).reshape(-1)
    finish = _finish(weights, correction, requantizer, channel_axis)
    return Layer(weights, correction, finish)


def _finish(
    weights: Weights, correction: Int64, requantizer: Requantizer, channel_axis: int
) -> FloatFinish | IntegerFinish:
    channels = correction.size
    expression = requantizer.expression
    bias = requantizer.bias
    # a bias that differs by row (QGemm's (M, N) and (M, 1)) has no per-channel form: exact integers
    if expression is not None and (bias is None or bias.size == 1 or bias.shape in ((channels,), (1, channels))):
        offset = correction if bias is None else correction + bias.reshape(-1)
        fast = float_finish(
            weights.tile_dtype,
            weights.proof.bound,
            _along(offset, channel_axis),
            _along(expression.multiplier, channel_axis),
            expression.zero_point,
            expression.dtype,
        )
        if fast is not None:
            return fast
    return IntegerFinish(requantizer, _along(correction, channel_axis), channel_axis)


def _along(values: Array, channel_axis: int) -> Array:
    """Per-channel values shaped to broadcast over a 2-D tile; scalars stay scalars."""
    if values.size == 1:
        return values.reshape(())
    return values.reshape(-1, 1) if channel_axis == 0 else values.reshape(1, -1)
