"""Integer matrix products: what QLinearMatMul and QGemm share once their operands are laid out."""

from __future__ import annotations

import numpy as np

from qdqnp.kernels.pairs import SaturatingPairs
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.sums import multiply
from qdqnp.numerics.profile import Profile
from qdqnp.ops.integer.linear import Linear
from qdqnp.quant import Array, Int64, Quant


def saturating_pairs(profile: Profile, a: Quant, b: Quant, rows: Int64) -> SaturatingPairs | None:
    """What saturation takes from the sums of a with the columns of b. rows: b less its zero points, (N, K)."""
    if not profile.accumulate.saturates(a.dtype, b.dtype, False):
        return None
    raw = rows + b.zero_point.astype(np.int64).reshape(-1, 1)
    return SaturatingPairs.of(raw[None], np.arange(rows.shape[1]))


def product(a: Array, layer: Linear, out: Array, scratch: Scratch) -> None:
    """Codes a (rows, K) times the layer's weights, stored as (1, N, K), to out (rows, N) through its finish."""
    np.copyto(out, layer.finish(_raw(a, layer, scratch), scratch), casting="unsafe")


def exact_sums(a: Array, layer: Linear) -> Int64:
    """The sums of (a - z_a)(b - z_b) as int64, shape (rows, N)."""
    return _raw(a, layer, Scratch()).astype(np.int64) + layer.correction


def _raw(a: Array, layer: Linear, scratch: Scratch) -> Array:
    carrier = a.astype(layer.weights.product_dtype)
    tile = scratch.take("sums", (a.shape[0], layer.weights.array.shape[1]), layer.weights.tile_dtype)
    multiply(carrier, layer.weights.array[0].T, layer.proof, tile, scratch)
    if layer.weights.pairs is not None:
        layer.weights.pairs.correct(carrier.T[None], tile.T[None])
    return tile
