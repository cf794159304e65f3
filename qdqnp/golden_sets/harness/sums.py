"""Convolutions and matrix products of constants: sums of products, requantized per channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdqnp.golden_sets.harness.layer import INT8, LayerCode, NoKernelError, count, image_sizes, offset_of
from qdqnp.golden_sets.harness.moves import in_onnx_order, to_stored_order
from qdqnp.golden_sets.layouts import weight_layout
from qdqnp.graph import Sizes
from qdqnp.kernels.sums import Window
from qdqnp.ops.geometry.windows import window_for
from qdqnp.quant import Array, Quant

#: Input channels that CMSIS-NN's depthwise kernel for Helium takes at once (CH_IN_BLOCK_MVE).
HELIUM_BLOCK = 124


def convolution(code: LayerCode) -> None:
    """Write arm_convolve_wrapper_s8, or arm_depthwise_conv_wrapper_s8 where each group has one input channel."""
    weights = _weights(code)
    n, h, w, c = image_sizes(code.shape(0))
    out = image_sizes(code.output_shape)
    group = code.step.attributes.group
    kernel = weights.shape[2:]
    window = window_for(code.step.attributes, kernel, code.shape(0)[2:])
    depthwise = group > 1 and weights.shape[1] == 1
    order = weight_layout(weights.ndim, "1HWC" if depthwise else "OHWI")
    arguments = _Arguments.of(code, order.stored(weights), order.name, out[3])
    offsets = (str(offset_of(code.quant(0))), str(int(code.y.zero_point)))
    steps = window_fields(window)
    if depthwise:
        params = code.struct(
            "cmsis_nn_dw_conv_params", "params", *offsets, str(out[3] // c), *steps, activation(code.y)
        )
        filter_dims = code.dims("filter_dims", (1, *window.kernel, out[3]))
        name = "arm_depthwise_conv_wrapper_s8"
    else:
        params = code.struct("cmsis_nn_conv_params", "params", *offsets, *steps, activation(code.y))
        filter_dims = code.dims("filter_dims", (out[3], *window.kernel, weights.shape[1]))
        name = "arm_convolve_wrapper_s8"
    quant = code.struct("cmsis_nn_per_channel_quant_params", "quant", *arguments.per_channel)
    dims = code.dims("input_dims", (n, h, w, c))
    bias_dims, output_dims = code.dims("bias_dims", (1, 1, 1, out[3])), code.dims("output_dims", out)
    sizes, extra = f"{params}, {dims}, {filter_dims}, {output_dims}", list[str]()
    if not depthwise and _is_misread_line((n, h, w, c), out, window, weights.shape[1]):
        name, sizes, extra = "arm_convolve_s8", f"{dims}, {filter_dims}", ["NULL"]
    code.wants_scratch(f"{name}_get_buffer_size({sizes})", most_scratch(window.kernel, c, out[3], depthwise))
    code.call(
        name,
        *("scratch", params, quant, dims, code.input(), filter_dims, "weight"),
        *(bias_dims, arguments.bias, *extra, output_dims, code.output()),
    )


def _is_misread_line(x: Sizes, y: Sizes, window: Window, inner: int) -> bool:
    """Tell whether the wrapper would choose arm_convolve_1_x_n_s8, and the padding is one that this kernel refuses or
    gets wrong on Helium: it takes the first window that leaves the row to leave it by one element (CMSIS-NN 7)."""
    (_, h, width, channels), (pad, stride, kernel) = x, (window.pads[1], window.strides[1], window.kernel[1])
    line = h == 1 and window.kernel[0] == 1 and window.dilations[1] == 1 and stride * channels % 4 == 0
    if not line or channels != inner:
        return False
    total = (y[2] - 1) * stride + kernel - width
    return total != 0 and not (stride == 1 and total == 2 * pad and width >= kernel)


def most_scratch(kernel: tuple[int, int], channels: int, outputs: int, depthwise: bool) -> int:
    """Return the most that CMSIS-NN 7 asks for in its plain, DSP and Helium forms: rows of one window each."""
    taps = kernel[0] * kernel[1]
    rows = max(4 * (taps * channels + 3), 64 * -(-taps * channels // 16), 2 * channels * (2 * kernel[1] + 2))
    return max(rows + taps * outputs, 4 * HELIUM_BLOCK * taps, 2 * channels * taps) if depthwise else rows


def matrix(code: LayerCode) -> None:
    """Write arm_fully_connected_wrapper_s8, with the sums of its weights where the processor's kernel wants them."""
    weights = _weights(code, zero_points=True)
    attributes = code.step.attributes
    if weights.ndim != 2:
        raise NoKernelError("weights of two axes", f"{weights.ndim}")
    if getattr(attributes, "transA", 0):
        raise NoKernelError("rows of activations", "a transposed operand")
    rows = weights if getattr(attributes, "transB", 0) else weights.T
    outputs, depth = rows.shape
    arguments = _Arguments.of(code, rows, "OI", outputs)
    several = len(arguments.multiplier) > 1
    zero = np.unique(code.step.quant(1).zero_point)
    if zero.size > 1 or (several and zero[0] != 0):
        raise NoKernelError("weights of one zero point, 0 where they have a scale for each channel", "others")
    images = count(code.shape(0)) // depth
    params = code.struct(
        "cmsis_nn_fc_params",
        "params",
        *(str(offset_of(code.quant(0))), str(-int(zero[0])), str(int(code.y.zero_point)), activation(code.y)),
    )
    quant = code.struct("cmsis_nn_quant_params", "quant", *arguments.per_channel, str(int(several)))
    dims = code.dims("input_dims", (images, 1, 1, depth))
    filter_dims = code.dims("filter_dims", (depth, 1, 1, outputs))
    bias_dims, output_dims = (
        code.dims("bias_dims", (1, 1, 1, outputs)),
        code.dims("output_dims", (images, 1, 1, outputs)),
    )
    size = f"arm_fully_connected_s8_get_buffer_size({filter_dims})"
    code.wants_scratch(size, 4 * outputs)
    x = in_onnx_order(code, code.input(), code.shape(0))
    sums = f"(int32_t *)scratch->buf, {depth}, {outputs}, weight, {offset_of(code.quant(0))}, {-int(zero[0])}"
    code.statements.append(f"if ({size} > 0) {{")
    code.call("arm_vector_sum_s8", *sums.split(", "), arguments.bias)
    code.statements.append("}")
    y, finish = to_stored_order(code, code.output_shape)
    code.call(
        "arm_fully_connected_wrapper_s8",
        *("scratch", params, quant, dims, x, filter_dims, "weight", bias_dims, arguments.bias, output_dims, y),
    )
    finish()


def window_fields(window: Window) -> tuple[str, str, str]:
    """Return stride, padding and dilation as tiles (w, h)."""
    if min(window.pads) < 0:
        raise NoKernelError("padding of at least 0", str(list(window.pads)))
    tiles = (window.strides, window.pads[:2], window.dilations)
    stride, padding, dilation = (f"{{{tile[1]}, {tile[0]}}}" for tile in tiles)
    return stride, padding, dilation


def activation(quant: Quant) -> str:
    """Return the limits of the output's codes."""
    low, high = quant.range
    return f"{{{low}, {high}}}"


def _weights(code: LayerCode, zero_points: bool = False) -> Array:
    found, quant = code.constant_of(1, "weights"), code.step.quant(1)
    if found.dtype != INT8:
        raise NoKernelError("int8 weights", str(found.dtype))
    if not zero_points and np.any(quant.zero_point):
        raise NoKernelError("weights whose zero point is 0", "others")
    return found


@dataclass(frozen=True, eq=False)
class _Arguments:
    """Weights, bias, multipliers and shifts of a layer as C arrays."""

    bias: str
    multiplier: Array

    @classmethod
    def of(cls, code: LayerCode, weights: Array, order: str, outputs: int) -> _Arguments:
        found = code.numbers()
        matrices = weights.ndim == 2
        multiplier, shift = (np.reshape(found[name], -1) for name in ("multiplier", "output_shift"))
        if multiplier.size == 1 and not matrices:
            multiplier, shift = (np.repeat(array, outputs) for array in (multiplier, shift))
        code.array("weight", "int8_t", weights, f"{order} {' x '.join(map(str, weights.shape))}")
        code.array("multiplier", "int32_t", multiplier, "of 2^31")
        code.array("shift", "int32_t", shift, "to the left")
        return cls(cls._bias(code, outputs), multiplier)

    @staticmethod
    def _bias(code: LayerCode, outputs: int) -> str:
        if len(code.step.inputs) < 3 or code.step.inputs[2] is None:
            bias = np.zeros(1, np.int32)  # grouped convolutions of CMSIS-NN read it unasked
        else:
            bias = code.constant_of(2, "bias")
        if bias.size not in (1, outputs) or bias.dtype != np.int32:
            raise NoKernelError(f"one int32 bias for each of {outputs} channels", f"{bias.dtype}{list(bias.shape)}")
        return code.array("bias", "int32_t", np.broadcast_to(bias.reshape(-1), (outputs,)), "int32")

    @property
    def per_channel(self) -> tuple[str, str]:
        """The two pointers, which the library's structs have without const."""
        return "(int32_t *)multiplier", "(int32_t *)shift"
