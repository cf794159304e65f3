"""Questions about sums: an exact product in floating point, and a cheap expression of its result, both proven.

The zero points of the input are not subtracted before the product: raw sums of codes with centered weights differ from
the sums of the question by a constant for each channel, which the finish adds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.errors import ProfileError
from qdqnp.executor.fast.certificate import Certificate
from qdqnp.executor.fast.kernel import Kernel
from qdqnp.kernels.certify import CertifiedLine, Real, Steps, certify
from qdqnp.kernels.finish import CertifiedFinish, FloatFinish, IntegerFinish, float_finish
from qdqnp.kernels.pairs import SaturatingPairs
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.strategy import Proof, prove
from qdqnp.kernels.sums import Finish, Weights, convolve, multiply
from qdqnp.numerics.choices import of_layer
from qdqnp.numerics.questions import Products, Sums, SumWeights
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.ops.geometry.conv import Convolution, planar
from qdqnp.ops.geometry.matrix import MatrixProduct
from qdqnp.ops.integer.asking import Part, SumOperator
from qdqnp.ops.operator import Binding
from qdqnp.quant import Array, Codes, Int64, Quant, code_range


@dataclass(frozen=True, eq=False)
class Linear:
    """The weights of a layer, ready for a proven product and bound to a rule."""

    weights: Weights
    #: -zero point of x times the sum of each channel's weights, shape (channels,); raw sum + correction is the sum of
    #: (x - z_x) * (w - z_w).
    correction: Int64
    requantizer: Requantizer
    #: Turns a tile of raw sums into codes.
    finish: FloatFinish | IntegerFinish | CertifiedFinish
    certificate: Certificate

    @property
    def proof(self) -> Proof:
        return self.weights.proof


class FastSums(Kernel):
    """Computes products by BLAS where that is proven to be exact.

    The layer is made only once where its weights are constants.
    """

    def __init__(self, operator: SumOperator, binding: Binding, strategy: str, certified: bool) -> None:
        super().__init__(operator, binding)
        self.operator: SumOperator = operator
        self._strategy = strategy
        self._certified = certified
        self._fixed = self._constant_layer()
        if self._fixed is not None:
            self.proof, self.certificate = self._fixed.proof, self._fixed.certificate
            self.numbers = self._fixed.requantizer.parameters

    def __call__(self, arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
        step = self.binding.step
        quant = step.outputs[0].quant
        output = np.empty(self.operator.output_shape(step, arrays), np.float32 if quant is None else quant.dtype)
        for placed in self.operator.products(step, *arrays):
            layer = self._fixed or self._layer(placed.products.weights, _bias(arrays))
            _multiply(placed.products, layer, layer.finish, output[placed.where], scratch)
        return (output,)

    @property
    def layer(self) -> Linear | None:
        """The layer, where its weights are constants."""
        return self._fixed

    def questions(self, arrays: Sequence[Array | None]) -> Sequence[Part]:
        """Return the operator's questions, with the sums computed."""
        step, found = self.binding.step, []
        accumulate = of_layer(self.binding.profile.accumulate, step.label)
        sums = np.empty(self.operator.output_shape(step, arrays), np.int64)  # each part has its own place in it
        for part in self.operator.questions(step, *arrays):
            question = part.question
            assert isinstance(question, Sums) and question.products is not None
            layer = self._fixed or self._layer(question.products.weights, _bias(arrays))
            _multiply(question.products, layer, _exact_sums(question.products, layer), sums[part.where], Scratch())
            view, channels = part.view(sums), layer.correction.size
            positions = view.size // channels if channels else math.prod(view.shape[:-1])
            known = np.ascontiguousarray(view).reshape(positions, channels)
            found.append(replace(part, question=replace(question, known=known, accumulate=accumulate)))
        return found

    def _constant_layer(self) -> Linear | None:
        """Make the layer where weights and bias are constants."""
        step, consts = self.binding.step, self.binding.consts
        weights = self._constant_weights() if self.operator.fixed(self.binding) else None
        if weights is None:
            return None
        bias = step.inputs[2] if len(step.inputs) > 2 else None

        def again() -> Array:
            found = self._constant_weights()
            assert found is not None
            return found.narrow()

        return self._layer(weights, consts[bias.name] if bias is not None else None, again)

    def _constant_weights(self) -> SumWeights | None:
        step = self.binding.step
        return self.operator.weights(step, self.binding.consts[step.input_names[1]])

    def _layer(self, weights: SumWeights, bias: Codes | None, again: Callable[[], Array] | None = None) -> Linear:
        step, profile = self.binding.step, self.binding.profile
        context = self.operator.context(step, weights, bias)
        requantizer = getattr(profile, self.operator.rule).bind(context)
        pairs = None
        if of_layer(profile.accumulate, step.label).saturates(context.x.dtype, context.w.dtype, weights.depthwise):
            pairs = SaturatingPairs.of(weights.raw, weights.pairing)
        return make_layer(
            weights.centered,
            context.x,
            requantizer,
            CHANNEL_AXIS[self.operator.sums_over],
            self._strategy,
            pairs,
            self._certified,
            again,
        )


def _bias(arrays: Sequence[Array | None]) -> Array | None:
    return arrays[2] if len(arrays) > 2 else None


#: The axis of a tile of sums that counts channels, for each geometry.
CHANNEL_AXIS: Mapping[type, int] = {Convolution: 0, MatrixProduct: 1}


def _multiply(products: Products, layer: Linear, finish: Finish, out: Array, scratch: Scratch) -> None:
    """Write what `finish` makes of the raw sums to out, as it stands in the operator's output."""
    if isinstance(products, Convolution):
        pad_code, kernel = int(products.x.zero_point), products.kernel.shape[2:]
        for image, window, part in planar(products.attributes, products.image, kernel, out, pad_code):
            convolve(image, pad_code, layer.weights, window, finish, part, scratch)
        return
    assert isinstance(products, MatrixProduct)
    rows = out.reshape(products.a.shape[0], layer.correction.size)
    np.copyto(rows, finish(_raw_sums(products.a, layer, scratch), scratch), casting="unsafe")


def _raw_sums(a: Array, layer: Linear, scratch: Scratch) -> Array:
    """Multiply codes a (rows, K) by the layer's weights, stored as (1, N, K)."""
    carrier = a.astype(layer.weights.product_dtype)
    tile = scratch.take("sums", (a.shape[0], layer.weights.array.shape[1]), layer.weights.tile_dtype)
    multiply(carrier, layer.weights.array[0].T, layer.proof, tile, scratch)
    if layer.weights.pairs is not None:
        layer.weights.pairs.correct(carrier.T[None], tile.T[None])
    return tile


def _exact_sums(products: Products, layer: Linear) -> Finish:
    """Return a finish that gives the sums themselves in place of codes."""
    correction = _along(layer.correction, CHANNEL_AXIS[type(products)])
    return lambda tile, scratch: np.add(tile.astype(np.int64), correction)


def make_layer(
    grouped: Int64,
    x: Quant,
    requantizer: Requantizer,
    channel_axis: int,
    strategy: str,
    pairs: SaturatingPairs | None = None,
    certified: bool = True,
    again: Callable[[], Array] | None = None,
) -> Linear:
    """Make the layer: prove its product, and choose how its sums become codes.

        grouped: centered weights (groups, channels per group, K).
        x: the quantization of the input.
        requantizer: the bound rule.
        channel_axis: 0 for tiles (channels, positions), 1 for (positions, channels).
        strategy: how integer sums are computed.
        pairs: what keeps the sums from being exact; it only makes them smaller, pair by pair, so the proof's bound
            holds for them too.
        certified: whether a cheap form of the rule is looked for.
        again: makes the centered weights again, so that they need not be kept; None where they are.

    Raises ProofError for a strategy that is not exact for the weights.
    """
    low, high = code_range(x.dtype)
    proof = prove(grouped, low, high, strategy)
    weights = Weights(proof, again or (lambda: grouped), pairs)
    correction = -int(x.zero_point) * grouped.sum(axis=-1).reshape(-1)
    channels = correction.size
    exact = IntegerFinish(requantizer, _along(correction, channel_axis), channel_axis)
    # a bias that differs by row (QGemm's (M, N) and (M, 1)) has no per-channel form: exact integers
    bias = requantizer.bias
    if certified and (bias is None or bias.size == 1 or bias.shape[-1] == bias.size == channels):
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
    """Find a cheap expression for as many channels as can be proven: float32 if that is all of them, else float64."""
    slope, bound = requantizer.slope, weights.proof.bound
    y = requantizer.y
    if slope is None or y is None or weights.tile_dtype == np.int64 or correction.size == 0:
        return None
    low, high = correction - bound, correction + bound
    if low.min() < slope.low or high.max() > slope.high:
        return None
    channels = correction.size
    # ravel: where QGemm takes a bias (1, 1) or (1, N), the numbers have its axes
    multiplier, offset, *nudges = (
        np.broadcast_to(np.ravel(v), (channels,)) for v in (slope.multiplier, slope.offset, *slope.nudges)
    )
    # the expression sees raw sums; a first rounding needs the corrected ones
    raw = correction if not slope.first_shift else np.zeros_like(correction)

    def on_raw(sums: Int64) -> Codes:
        return requantizer(sums + raw)

    shifted, zero = offset + raw * multiplier, int(y.zero_point)
    steps = Steps.of(on_raw, multiplier, shifted, slope.first_shift, zero, y.dtype, low - raw, high - raw)
    for carrier in (np.dtype(np.float32), np.dtype(np.float64)):
        if carrier == np.float32 and (weights.tile_dtype != np.float32 or slope.first_shift):
            continue
        expression, proven = certify(steps, multiplier, shifted, tuple(nudges), slope.first_shift, carrier)
        if proven.all() or (carrier == np.float64 and proven.any()):
            rest = np.flatnonzero(~proven)
            exact = _rest(requantizer, correction, rest, channel_axis) if rest.size else None
            added = _along(correction.astype(carrier), channel_axis) if slope.first_shift else None
            centered = _centered(
                steps.centered(raw), multiplier, np.subtract(offset, zero), tuple(nudges), slope.first_shift, carrier
            )
            finish = CertifiedFinish(expression.along(channel_axis), added, rest, exact, channel_axis, centered)
            return finish, Certificate(str(carrier), int(proven.sum()), channels)
    return None


def _centered(
    steps: Steps, multiplier: Real, offset: Real, nudges: tuple[Real, ...], first_shift: int, carrier: np.dtype[Any]
) -> CertifiedLine | None:
    """Return an expression for all channels, clipped alike in all where that is proven; None where they are not."""
    for one_clip in (True, False):
        line, proven = certify(steps, multiplier, offset, nudges, first_shift, carrier, one_clip)
        if proven.all():
            return line.along(1)
    return None


def _rest(requantizer: Requantizer, correction: Int64, rest: Int64, channel_axis: int) -> IntegerFinish:
    """Return the definition for some channels: the others are filled with zeros and dropped again."""

    def some(sums: Int64) -> Codes:
        full = np.zeros((*sums.shape[:-1], correction.size), np.int64)
        full[..., rest] = sums
        return requantizer(full)[..., rest]

    return IntegerFinish(some, _along(correction[rest], channel_axis), channel_axis)


def _along(values: Array, channel_axis: int) -> Array:
    """Shape per-channel values to broadcast over a 2-D tile; scalars stay scalars."""
    if values.size == 1:
        return values.reshape(())
    return values.reshape(-1, 1) if channel_axis == 0 else values.reshape(1, -1)
