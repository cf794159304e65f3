"""The weights and the bias of a layer in both networks, as rows: one for each output channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.element_types import is_float
from qdqnp.layer_quality.layers import Connections, output_axis
from qdqnp.layer_quality.sums import ErrorSums
from qdqnp.numerics.float32 import Float64, dequantize
from qdqnp.program import Step
from qdqnp.quant import Array, Quant, code_range

#: The least cosine between weights and the same weights quantized, however badly.
ALIKE = 0.5


@dataclass(frozen=True, eq=False)
class RealWeights:
    """The weights of one layer of one network, as real numbers."""

    #: The tensor of the weights.
    name: str
    #: Float32, in the file's order of axes.
    array: Array
    #: The axis of the output channels.
    axis: int
    #: How they are quantized; None where they are not.
    quant: Quant | None
    #: The bias, float32; None where there is none.
    bias: Array | None
    #: The tensor of the bias; '' where there is none.
    bias_name: str = ""

    @property
    def rows(self) -> Float64:
        """The weights as float64, (channels, K)."""
        channels = self.array.shape[self.axis]
        return np.moveaxis(self.array, self.axis, 0).reshape(channels, -1).astype(np.float64)


def weights_of(wiring: Connections, tensor: str) -> RealWeights | None:
    """Return the weights of the layer whose result a tensor is; None where it has none that are constant."""
    step = wiring.weighted(tensor)
    if step is None:
        return None
    name = wiring.weights_name(step)
    at = next(i for i, operand in enumerate(step.inputs) if operand is not None and operand.name == name)
    found = _real(wiring, step, at)
    if found is None or found[0].ndim < 2:
        return None
    array, quant = found
    bias, bias_name = _bias(wiring, step, tensor, quant)
    return RealWeights(name, array, output_axis(step, at, array.ndim), quant, bias, bias_name)


def _real(wiring: Connections, step: Step, at: int) -> tuple[Array, Quant | None] | None:
    """Return a constant input as real numbers, and how it is quantized."""
    operand = step.inputs[at] if at < len(step.inputs) else None
    if operand is None:
        return None
    array, quant = wiring.program.tensors[operand.name].const, operand.quant
    if array is not None:
        if quant is None:
            return (array, None) if is_float(array.dtype) else None
        own = quant.aligned(array.shape)
        return dequantize(array, own.scale, own.zero_point), quant
    maker = wiring.program.makers.get(operand.name)
    return None if maker is None or not maker.dequantizes else _real(wiring, maker, 0)


def _bias(wiring: Connections, step: Step, tensor: str, weights: Quant | None) -> tuple[Array | None, str]:
    """Return the bias as real numbers: the step's own, or what an Add behind it adds."""
    third = step.inputs[2] if len(step.inputs) > 2 else None
    sums = None if third is None or third.quant is not None else wiring.program.tensors[third.name].const
    if third is not None and sums is not None and sums.dtype == np.int32:
        x = step.inputs[0]
        if x is None or x.quant is None or weights is None or not x.quant.per_tensor:
            return None, ""
        scale = x.quant.scale.astype(np.float64) * weights.scale.astype(np.float64).reshape(-1)
        return (sums.reshape(-1) * scale).astype(np.float32), third.name
    found = _real(wiring, step, 2) if third is not None else None
    if found is not None and third is not None:
        return found[0].reshape(-1), third.name
    for after in wiring.chain(tensor):
        if wiring.adds_bias(after):
            at = next((i for i, name in enumerate(after.input_names) if wiring.constant(name)), None)
            added = None if at is None else _real(wiring, after, at)
            if added is not None and at is not None:
                return added[0].reshape(-1), after.input_names[at]
    return None, ""


@dataclass(frozen=True)
class WeightError:
    """How far a layer's weights and bias are from those of the float network."""

    #: The tensor of the weights in the int8 network.
    name: str
    #: Of all weights.
    sums: ErrorSums
    #: SQNR by channel, in dB.
    channels: tuple[float, ...]
    #: SQNR of all weights with as many bits, and a symmetric scale of its own for each channel.
    at_best: float
    #: Whether all channels have one scale.
    per_tensor: bool
    #: The largest error of the bias as a share of its largest value; None where there is none in both networks.
    bias: float | None

    def worst(self, count: int = 3) -> list[tuple[int, float]]:
        """Return the channels of the lowest SQNR, each with it."""
        order = sorted(range(len(self.channels)), key=lambda at: self.channels[at])
        return [(at, self.channels[at]) for at in order[:count]]

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            **self.sums.as_json(),
            "channels": list(self.channels),
            "worst_channels": [at for at, _ in self.worst()],
            "at_best": self.at_best,
            "per_tensor": self.per_tensor,
            "bias": self.bias,
        }


def in_order_of(made: RealWeights, real: RealWeights) -> Array | None:
    """Return the int8 network's weights in the float network's order of axes; None where neither order fits."""
    if made.array.shape == real.array.shape and made.axis == real.axis:
        return made.array
    if made.array.ndim == 2 and made.array.T.shape == real.array.shape:
        return made.array.T
    return made.array if made.array.shape == real.array.shape else None


def are_others(made: RealWeights, real: RealWeights) -> str:
    """Return why two layers' weights cannot be the same before one of them was quantized; '' where they can."""
    array = in_order_of(made, real)
    if array is None:
        return f"its weights have the shape {list(made.array.shape)}, and {list(real.array.shape)} in the float network"
    sums = ErrorSums()
    sums.add(real.array, array)
    if sums.cosine < ALIKE:
        return f"its weights are others than in the float network (cosine {sums.cosine:.2f})"
    return ""


def best_of(real: RealWeights, bits: int) -> Array:
    """Return float weights as a symmetric scale for each channel leaves them, rounded to the nearest code."""
    rows = real.rows
    most = 2 ** (bits - 1) - 1
    scale = np.abs(rows).max(axis=1, keepdims=True, initial=0.0) / most
    scale = np.where(scale == 0, 1.0, scale)
    rounded = (np.rint(rows / scale) * scale).astype(np.float32)
    moved = np.moveaxis(real.array, real.axis, 0)
    return np.ascontiguousarray(np.moveaxis(rounded.reshape(moved.shape), 0, real.axis))


def code_bits(quant: Quant) -> int:
    """Return the bits of a code."""
    low, high = code_range(quant.dtype)
    return (high - low).bit_length()


def weight_error(made: RealWeights, real: RealWeights) -> WeightError | None:
    """Return how far the int8 network's weights are from the float network's; None where their shapes differ, or where
    they are not quantized."""
    array = in_order_of(made, real)
    if array is None or made.quant is None:
        return None
    sums, best = ErrorSums(), ErrorSums()
    channels = []
    wanted = real.rows
    got = np.moveaxis(array, real.axis, 0).reshape(wanted.shape).astype(np.float64)
    for row, other in zip(wanted, got, strict=True):
        own = ErrorSums()
        own.add(row, other)
        channels.append(own.sqnr)
        sums.include(own)
    best.add(real.array, best_of(real, code_bits(made.quant)))
    bias = None
    if made.bias is not None and real.bias is not None and made.bias.shape == real.bias.shape and real.bias.size:
        most = float(np.abs(real.bias).max())
        bias = float(np.abs(made.bias - real.bias).max()) / most if most else None
    return WeightError(made.name, sums, tuple(channels), best.sqnr, made.quant.per_tensor, bias)
