"""What the integer operators that sum and requantize have in common: proof, weights, finish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.errors import ProfileError
from qdqnp.kernels.certify import certify
from qdqnp.kernels.finish import CertifiedFinish, FloatFinish, IntegerFinish, float_finish
from qdqnp.kernels.pairs import SaturatingPairs
from qdqnp.kernels.strategy import Proof, prove
from qdqnp.kernels.sums import Weights
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.ops.base import Bound, Evaluate, Sums
from qdqnp.quant import Array, Codes, Int64, Quant, code_range

LayerOf = Callable[[Sequence[Array | None]], "Linear"]


@dataclass(frozen=True)
class Certificate:
    """How the requantization of a layer's channels is computed, and why that is exact.

    kind: 'definition' (ONNX Runtime's float32 expression is the rule), 'float32' or 'float64' (a cheap expression,
    compared at every step), 'int64' (the stages themselves). covered: channels computed by it; the others take int64.
    """

    kind: str
    covered: int
    channels: int

    @property
    def covers(self) -> dict[str, int]:
        """Channels by the kind of computation they take."""
        names = {"definition": "the float32 rule itself", "int64": "int64 stages"}
        first = names.get(self.kind, f"{self.kind} certificates")
        rest = self.channels - self.covered
        return {first: self.covered, **({"int64 stages": rest} if rest else {})}

    def __str__(self) -> str:
        if self.kind in ("definition", "int64"):
            return {"definition": "float32, the rule itself", "int64": "int64 stages"}[self.kind]
        rest = self.channels - self.covered
        return f"{self.kind}, certified for {self.covered} of {self.channels} channels" + (
            ", int64 stages for the others" if rest else ""
        )


@dataclass(frozen=True, eq=False)
class Linear:
    """One linear layer bound to its rule, for one axis of its tiles.

    correction: -zero point of x times the sum of each channel's weights, shape (channels,): raw sum + correction is
    the sum of (x - z_x) * (w - z_w).
    """

    weights: Weights
    correction: Int64
    requantizer: Requantizer
    finish: FloatFinish | IntegerFinish | CertifiedFinish
    certificate: Certificate

    @property
    def proof(self) -> Proof:
        return self.weights.proof


def centered_weights(w: Codes, quant: Quant) -> Int64:
    """w - z_w as int64, the per-channel zero points along quant.axis."""
    zero = quant.zero_point.astype(np.int64)
    if zero.ndim:
        zero = zero.reshape([-1 if axis == quant.axis else 1 for axis in range(w.ndim)])
    return w.astype(np.int64) - zero


def make_layer(
    grouped: Int64,
    x: Quant,
    requantizer: Requantizer,
    channel_axis: int,
    strategy: str,
    pairs: SaturatingPairs | None = None,
) -> Linear:
    """grouped: centered weights (groups, channels per group, K); channel_axis: 0 for tiles (channels, positions),
    1 for (positions, channels). pairs: what keeps the sums from being exact; it only makes them smaller, pair by pair,
    so the proof's bound holds for them too."""
    low, high = code_range(x.dtype)
    proof = prove(grouped, low, high, strategy)
    weights = Weights.of(grouped, proof, pairs)
    correction = -int(x.zero_point) * grouped.sum(axis=-1).reshape(-1)
    channels = correction.size
    exact = IntegerFinish(requantizer, _along(correction, channel_axis), channel_axis)
    # a bias that differs by row (QGemm's (M, N) and (M, 1)) has no per-channel form: exact integers
    bias = requantizer.bias
    if bias is None or bias.size == 1 or (bias.shape[-1] == bias.size == channels):
        fast = _float_finish(weights, correction, requantizer, channel_axis)
        if fast is not None:
            return Linear(weights, correction, requantizer, fast, Certificate("definition", channels, channels))
        try:
            found = _certified(weights, correction, requantizer, channel_axis)
        except ProfileError:
            found = None  # a reachable sum is outside the rule's domain; whether one is met, the stages will tell
        if found is not None:
            finish, certificate = found
            return Linear(weights, correction, requantizer, finish, certificate)
    return Linear(weights, correction, requantizer, exact, Certificate("int64", channels, channels))


def _float_finish(
    weights: Weights, correction: Int64, requantizer: Requantizer, channel_axis: int
) -> FloatFinish | None:
    expression, bias = requantizer.expression, requantizer.bias
    if expression is None:
        return None
    offset = correction if bias is None else correction + bias.reshape(-1)
    return float_finish(
        weights.tile_dtype,
        weights.proof.bound,
        _along(offset, channel_axis),
        _along(expression.multiplier, channel_axis),
        expression.zero_point,
        expression.dtype,
    )


def _certified(
    weights: Weights, correction: Int64, requantizer: Requantizer, channel_axis: int
) -> tuple[CertifiedFinish, Certificate] | None:
    """A cheap expression for as many channels as can be proven: float32 if that is all of them, else float64."""
    slope, bound = requantizer.slope, weights.proof.bound
    y = requantizer.y
    if slope is None or y is None or weights.tile_dtype == np.int64 or correction.size == 0:
        return None
    low, high = correction - bound, correction + bound
    if low.min() < slope.low or high.max() > slope.high:
        return None
    channels = correction.size
    # ravel: of a bias (1, 1) or (1, N), which QGemm takes, the numbers have its axes
    multiplier, offset, *nudges = (
        np.broadcast_to(np.ravel(v), (channels,)) for v in (slope.multiplier, slope.offset, *slope.nudges)
    )
    for carrier in (np.dtype(np.float32), np.dtype(np.float64)):
        if carrier == np.float32 and (weights.tile_dtype != np.float32 or slope.first_shift):
            continue
        # the expression sees raw sums; a first rounding needs the corrected ones
        raw = correction if not slope.first_shift else np.zeros_like(correction)

        def on_raw(sums: Int64, shift: Int64 = raw) -> Codes:
            return requantizer(sums + shift)

        expression, proven = certify(
            on_raw,
            multiplier,
            offset + raw * multiplier,
            tuple(nudges),
            slope.first_shift,
            int(y.zero_point),
            y.dtype,
            low - raw,
            high - raw,
            carrier,
        )
        if proven.all() or (carrier == np.float64 and proven.any()):
            rest = np.flatnonzero(~proven)
            exact = _rest(requantizer, correction, rest, channel_axis) if rest.size else None
            added = _along(correction.astype(carrier), channel_axis) if slope.first_shift else None
            finish = CertifiedFinish(expression.along(channel_axis), added, rest, exact, channel_axis)
            return finish, Certificate(str(carrier), int(proven.sum()), channels)
    return None


def _rest(requantizer: Requantizer, correction: Int64, rest: Int64, channel_axis: int) -> IntegerFinish:
    """The definition for some channels: the others are filled with zeros and dropped again."""

    def some(sums: Int64) -> Codes:
        full = np.zeros((*sums.shape[:-1], correction.size), np.int64)
        full[..., rest] = sums
        return requantizer(full)[..., rest]

    return IntegerFinish(some, _along(correction[rest], channel_axis), channel_axis)


def _along(values: Array, channel_axis: int) -> Array:
    """Per-channel values shaped to broadcast over a 2-D tile; scalars stay scalars."""
    if values.size == 1:
        return values.reshape(())
    return values.reshape(-1, 1) if channel_axis == 0 else values.reshape(1, -1)


def linear_bound(
    evaluate: Evaluate, fixed: Linear | None, layer_of: LayerOf, sums: Sums, accumulators: Sums, channel_axis: int
) -> Bound:
    """The Bound of a linear operator; parameters, proof and certificate are known where its weights are constants.
    layer_of: the layer for given inputs; channel_axis: of the output."""

    def detail(arrays: Sequence[Array | None]) -> tuple[Int64, Requantizer]:
        total = np.atleast_1d(sums(arrays))  # of two vectors, a scalar
        return np.moveaxis(total, channel_axis, -1), layer_of(arrays).requantizer

    bound = Bound(evaluate, sums=sums, accumulators=accumulators, detail=detail)
    if fixed is not None:
        bound.parameters, bound.proof = fixed.requantizer.parameters, fixed.proof
        bound.certificate, bound.covered = str(fixed.certificate), fixed.certificate.covers
    return bound
