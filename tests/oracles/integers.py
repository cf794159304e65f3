"""The integer operators of ONNX Runtime 1.32 on x86-64, each written as plainly as its description allows.

Nothing of qdqnp is used. Sums are int64 over explicitly gathered elements; what rounds is in `rounding`.
Each function takes the node's inputs in order (None where absent) and its attributes, and gives the output.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from tests.oracles import movement, rounding
from tests.oracles.windows import Axis, axes_of, gathered

Array = NDArray[Any]
Inputs = Sequence[Array | None]
Attributes = Mapping[str, Any]
F = np.float32


def scalar(value: Array | None, default: Any = 0) -> Any:
    """The one element of a parameter."""
    return default if value is None else value.reshape(-1)[0]


def along(parameter: Array, rank: int, axis: int) -> Array:
    """A parameter of several values laid along an axis; of one value, as a scalar."""
    if parameter.size == 1:
        return parameter.reshape(())
    return parameter.reshape([-1 if i == axis % rank else 1 for i in range(rank)])


def product(*factors: Any) -> Array:
    """Products in float32, one rounding per factor."""
    with np.errstate(all="ignore"):
        result = np.asarray(factors[0], F)
        for factor in factors[1:]:
            result = np.asarray(result * np.asarray(factor, F), F)
    return result


def ratio(numerator: Any, denominator: Any) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(np.asarray(numerator, F) / np.asarray(denominator, F), F)


def quantize_linear(inputs: Inputs, attributes: Attributes) -> Array:
    """Divided in float32; from opset 23 on in the type of the scale, or that of `precision`."""
    x, scale, zero = (*inputs, None)[:3]
    assert x is not None and scale is not None
    named = helper.tensor_dtype_to_np_dtype(attributes.get("output_dtype", 2) or 2)
    zero = np.zeros(scale.shape, named) if zero is None else zero
    wide, shift = (spread(parameter, x.shape, attributes) for parameter in (scale.astype(F), zero.astype(F)))
    named = attributes.get("precision", 0) or helper.np_dtype_to_tensor_dtype(scale.dtype)
    if attributes["version"] >= 23 and named == 10:
        with np.errstate(all="ignore"):
            x, wide = x.astype(np.float16) / wide.astype(np.float16), np.ones((), F)
    if str(zero.dtype).startswith("float"):
        return rounding.small_float(ratio(x, wide), zero.dtype, bool(attributes.get("saturate", 1)))
    return rounding.quantize(x, wide, shift, zero.dtype)


def dequantize_linear(inputs: Inputs, attributes: Attributes) -> Array:
    x, scale, zero = (*inputs, None)[:3]
    assert x is not None and scale is not None
    wide = spread(scale.astype(F), x.shape, attributes)
    if str(x.dtype).startswith("float"):
        return narrowed(product(x.astype(F), wide), scale.dtype)
    shift = spread(np.zeros(scale.shape, np.int64) if zero is None else zero.astype(np.int64), x.shape, attributes)
    return narrowed(rounding.dequantize(x, wide, shift), scale.dtype)


def narrowed(values: Array, dtype: Any) -> Array:
    with np.errstate(over="ignore"):
        return values.astype(dtype)


def spread(parameter: Array, shape: Sequence[int], attributes: Attributes) -> Array:
    """A scale or zero point for each element: one for all, one per slice of the axis, or one per block along it."""
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    if not block:
        return along(parameter, len(shape), axis)
    found = np.empty(shape, parameter.dtype)
    for index in np.ndindex(*shape):
        place = list(index)
        place[axis] //= block
        found[index] = parameter[tuple(place)]
    return found


def conv_accumulators(inputs: Inputs, attributes: Attributes) -> Array:
    """int32 sums of (x - z_x)(w - z_w) plus bias; what is padded is real zero, so it adds nothing."""
    x, _, x_zero, w, _, w_zero, _, _, bias = (*inputs, None)[:9]
    assert x is not None and w is not None and w_zero is not None
    groups, filters = attributes.get("group", 1), w.shape[0]
    real_x = x.astype(np.int64) - int(scalar(x_zero))
    real_w = w.astype(np.int64) - along(w_zero, w.ndim, 0).astype(np.int64)
    taps = gathered(real_x, axes_of(attributes, x.shape[2:], w.shape[2:]), 0)
    taps = taps.reshape(x.shape[0], groups, x.shape[1] // groups, *taps.shape[2:])
    grouped = real_w.reshape(groups, filters // groups, *w.shape[1:])
    windows, kernel = "DHW"[: x.ndim - 2], "dhw"[: x.ndim - 2]
    sums = np.einsum(f"ngi{windows}{kernel},gfi{kernel}->ngf{windows}", taps, grouped)
    sums = sums.reshape(x.shape[0], filters, *sums.shape[3:])
    return rounding.int32(sums if bias is None else sums + along(bias, x.ndim, 1))


def qlinear_conv(inputs: Inputs, attributes: Attributes) -> Array:
    x, x_scale, _, w, w_scale, _, y_scale, y_zero = inputs[:8]
    assert x is not None and w is not None and w_scale is not None
    multiplier = ratio(product(scalar(x_scale), along(w_scale, x.ndim, 1)), scalar(y_scale))
    return rounding.requantize(conv_accumulators(inputs, attributes), multiplier, scalar(y_zero), x.dtype)


def matmul_accumulators(inputs: Inputs, attributes: Attributes) -> Array:
    a, _, a_zero, b, _, b_zero = inputs[:6]
    assert a is not None and b is not None and b_zero is not None
    real_a = a.astype(np.int64) - int(scalar(a_zero))
    real_b = b.astype(np.int64) - along(b_zero, max(b.ndim, 1), -1).astype(np.int64)
    return rounding.int32(np.matmul(real_a, real_b))


def matmul_integer(inputs: Inputs, attributes: Attributes) -> Array:
    """int32 sums; several zero points of a belong to its rows, several of b to its columns."""
    a, b, a_zero, b_zero = (*inputs, None, None)[:4]
    assert a is not None and b is not None
    rows = np.zeros((), np.int64) if a_zero is None else a_zero.astype(np.int64)
    columns = np.zeros((), np.int64) if b_zero is None else b_zero.astype(np.int64)
    rows = rows.reshape(-1, 1) if rows.ndim == 1 and rows.size > 1 else rows
    return rounding.int32(np.matmul(a.astype(np.int64) - rows, b.astype(np.int64) - columns)).astype(np.int32)


def conv_integer(inputs: Inputs, attributes: Attributes) -> Array:
    x, w, x_zero, w_zero = (*inputs, None, None)[:4]
    assert x is not None and w is not None
    w_zero = np.zeros((), w.dtype) if w_zero is None else w_zero
    return conv_accumulators((x, None, x_zero, w, None, w_zero, None, None), attributes).astype(np.int32)


def dynamic_range(x: Array) -> tuple[np.float32, int]:
    """Scale and zero point of uint8 codes over the values' range, which contains 0."""
    values = [F(0), *x.reshape(-1)]
    low, high = min(values), max(values)
    scale = F(1) if low == high else F(F(high - low) / F(255))
    return scale, int(np.rint(min(max(F(F(0) - F(low / scale)), F(0)), F(255))))


def dynamic_quantize_linear(inputs: Inputs, attributes: Attributes) -> Array:
    (x,) = inputs
    assert x is not None
    scale, zero = dynamic_range(x)
    return rounding.quantize(x, scale, np.uint8(zero), np.dtype(np.uint8))


def matmul_integer_to_float(inputs: Inputs, attributes: Attributes) -> Array:
    a, b, a_scale, b_scale, a_zero, b_zero, bias = (*inputs, None, None, None)[:7]
    assert a_scale is not None and b_scale is not None
    y = product(matmul_integer((a, b, a_zero, b_zero), {}).astype(F), product(a_scale, b_scale))
    return y if bias is None else np.asarray(y + bias.reshape(-1), F)


def dynamic_quantize_matmul(inputs: Inputs, attributes: Attributes) -> Array:
    a, b, b_scale, b_zero, bias = (*inputs, None, None)[:5]
    assert a is not None
    scale, zero = dynamic_range(a)
    codes = dynamic_quantize_linear((a,), {})
    return matmul_integer_to_float((codes, b, np.asarray(scale), b_scale, np.uint8(zero), b_zero, bias), {})


def qlinear_matmul(inputs: Inputs, attributes: Attributes) -> Array:
    a, a_scale, _, _, b_scale, _, y_scale, y_zero = inputs
    assert a is not None and b_scale is not None
    multiplier = ratio(product(scalar(a_scale), along(b_scale, 1, 0)), scalar(y_scale))
    return rounding.requantize(matmul_accumulators(inputs, attributes), multiplier, scalar(y_zero), a.dtype)


def gemm_accumulators(inputs: Inputs, attributes: Attributes) -> Array:
    a, _, a_zero, b, _, b_zero, bias = (*inputs, None)[:7]
    assert a is not None and b is not None and b_zero is not None
    real_a = a.astype(np.int64) - int(scalar(a_zero))
    real_b = b.astype(np.int64)
    real_a = np.transpose(real_a) if attributes.get("transA", 0) else real_a
    real_b = np.transpose(real_b) if attributes.get("transB", 0) else real_b
    sums = np.matmul(real_a, real_b - along(b_zero, 2, 1).astype(np.int64))
    return rounding.int32(sums if bias is None else sums + bias)


def qgemm(inputs: Inputs, attributes: Attributes) -> Array:
    a, a_scale, _, _, b_scale, _, _, y_scale, y_zero = (*inputs, None, None, None)[:9]
    assert a is not None and b_scale is not None
    acc = gemm_accumulators(inputs, attributes)
    multiplier = product(attributes.get("alpha", 1.0), scalar(a_scale), along(b_scale, 2, 1))
    if y_scale is None:
        return product(acc.astype(F), multiplier)
    return rounding.requantize(acc, ratio(multiplier, scalar(y_scale)), scalar(y_zero), a.dtype)


def qlinear_add(inputs: Inputs, attributes: Attributes) -> Array:
    """Raw codes times scale ratios, fused; the zero points are one offset inside the rounding."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (*inputs, None)[:8]
    assert a is not None and b is not None
    left, right = np.broadcast_arrays(a, b)
    first, second = (scalar(a_scale), scalar(a_zero)), (scalar(b_scale), scalar(b_zero))
    if _exchanged(a.shape, b.shape):
        left, right, first, second = right, left, second, first
    add = _added(first, second, (scalar(y_scale), scalar(y_zero)), a.dtype)
    return elementwise(add, left, right)


def _exchanged(a: Sequence[int], b: Sequence[int]) -> bool:
    """The kernel takes a vector first: where the innermost of the shared axes that is longer than 1 is broadcast from
    a, b comes first; so it does where none of them is longer than 1. No axis counts as one axis of 1."""
    one, other = np.array(tuple(a) or (1,)), np.array(tuple(b) or (1,))
    shared = min(one.size, other.size)
    one, other = one[one.size - shared :], other[other.size - shared :]
    long = np.flatnonzero(np.maximum(one, other) > 1)
    return not long.size or bool(one[long[-1]] == 1)


def _added(a: tuple[Any, Any], b: tuple[Any, Any], y: tuple[Any, Any], dtype: Any) -> Callable[[int, int], int]:
    with np.errstate(all="ignore"):
        ratio_a, ratio_b = F(a[0]) / F(y[0]), F(b[0]) / F(y[0])
        offset = F(y[1]) - rounding.fma(ratio_a, F(a[1]), ratio_b * F(b[1]))
    info = np.iinfo(dtype)

    def add(code_a: int, code_b: int) -> int:
        total = rounding.fma(F(code_a), ratio_a, rounding.fma(F(code_b), ratio_b, offset))
        return min(max(rounding.nearest_int32(total), info.min), info.max)

    return add


def qlinear_mul(inputs: Inputs, attributes: Attributes) -> Array:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (*inputs, None)[:8]
    assert a is not None and b is not None
    factor = ratio(product(scalar(a_scale), scalar(b_scale)), scalar(y_scale))[()]
    zero_a, zero_b, shift, info = int(scalar(a_zero)), int(scalar(b_zero)), F(scalar(y_zero)), np.iinfo(a.dtype)

    def multiply(code_a: int, code_b: int) -> int:
        with np.errstate(all="ignore"):
            value = F((code_a - zero_a) * (code_b - zero_b)) * factor + shift
        return min(max(rounding.nearest_int32(value), info.min), info.max)

    return elementwise(multiply, *np.broadcast_arrays(a, b))


def elementwise(function: Callable[[int, int], int], a: Array, b: Array) -> Array:
    """function of each pair of codes, computed once per distinct pair."""
    known: dict[tuple[int, int], int] = {}
    out = np.empty(a.shape, a.dtype)
    for index in np.ndindex(*a.shape):
        pair = (int(a[index]), int(b[index]))
        if pair not in known:
            known[pair] = function(*pair)
        out[index] = known[pair]
    return out


def looked_up(x: Array, parameters: Inputs, function: Callable[[np.float32], np.float32]) -> Array:
    """Quantize(function(Dequantize(code))), one code at a time."""
    x_scale, x_zero, y_scale, y_zero = (*parameters, None)[:4]
    zero = scalar(y_zero)
    known = {}
    for code in np.unique(x):
        with np.errstate(all="ignore"):
            real = function(F(scalar(x_scale)) * F(int(code) - int(scalar(x_zero))))
        known[int(code)] = rounding.quantize(np.full(1, real, F), scalar(y_scale), zero, x.dtype)[0]
    return np.array([known[code] for code in x.reshape(-1).tolist()], x.dtype).reshape(x.shape)


def qlinear_concat(inputs: Inputs, attributes: Attributes) -> Array:
    y_scale, y_zero = inputs[:2]
    assert y_scale is not None and y_zero is not None
    parts = []
    for start in range(2, len(inputs), 3):
        x, scale, zero = inputs[start : start + 3]
        assert x is not None and scale is not None and zero is not None
        if scalar(scale).tobytes() == scalar(y_scale).tobytes() and scalar(zero) == scalar(y_zero):
            parts.append(x)  # never dequantized, so that no overflow can happen
        else:
            parts.append(looked_up(x, (scale, zero, y_scale, y_zero), lambda real: real))
    return np.concatenate(parts, attributes["axis"])


def qlinear_where(inputs: Inputs, attributes: Attributes) -> Array:
    condition, (y_scale, y_zero) = inputs[0], (*inputs[7:], None)[:2]
    assert condition is not None and y_scale is not None
    parts = []
    for start in (1, 4):
        x, scale, zero = inputs[start : start + 3]
        assert x is not None and scale is not None
        if scalar(scale).tobytes() == scalar(y_scale).tobytes() and scalar(zero) == scalar(y_zero):
            parts.append(x)
        else:
            parts.append(looked_up(x, (scale, zero, y_scale, y_zero), lambda real: real))
    return np.where(condition, *parts)


def qlinear_leaky_relu(inputs: Inputs, attributes: Attributes) -> Array:
    x, slope = inputs[0], F(attributes.get("alpha", 0.01))
    assert x is not None
    return looked_up(x, inputs[1:], lambda real: real if real >= 0 else slope * real)


def qlinear_sigmoid(inputs: Inputs, attributes: Attributes) -> Array:
    assert inputs[0] is not None
    return looked_up(inputs[0], inputs[1:], logistic)


# MLAS's approximation p(x^2) x / q(x^2) + 1/2; highest power first
_ODD = (4.37031012579801e-11, 1.15627324459942e-07, 6.08574864600143e-05, 8.51377133304701e-03, 2.48287947061529e-01)
_EVEN = (
    6.10247389755681e-13,
    5.76102136993427e-09,
    6.29106785017040e-06,
    1.70198817374094e-03,
    1.16817656904453e-01,
    9.93151921023180e-01,
)


def logistic(x: np.float32) -> np.float32:
    """ONNX Runtime's sigmoid of one float32 that is not NaN, with correctly rounded fused multiply-adds."""
    x = F(min(max(x, F(-18)), F(18)))
    square = x * x
    odd, even = F(_ODD[0]), F(_EVEN[0])
    for coefficient in _ODD[1:]:
        odd = rounding.fma(odd, square, F(coefficient))
    for coefficient in _EVEN[1:]:
        even = rounding.fma(even, square, F(coefficient))
    return F(max((x * odd) / even + F(0.5), F(0)))


def max_pool(inputs: Inputs, attributes: Attributes) -> Array:
    (x,) = inputs
    assert x is not None
    lowest = np.iinfo(x.dtype).min if x.dtype.kind in "iu" else np.finfo(x.dtype).min
    taps = gathered(x, axes_of(attributes, x.shape[2:], attributes["kernel_shape"], pool=True), lowest)
    return taps.max(axis=tuple(range(x.ndim, taps.ndim)))


def qlinear_average_pool(inputs: Inputs, attributes: Attributes) -> Array:
    """Each window's real values summed one after the other in float32; the global average where it is the image."""
    x, x_scale, x_zero, y_scale, y_zero = (*inputs, None)[:5]
    assert x is not None and x_scale is not None
    kernel = attributes["kernel_shape"]
    axes = axes_of(attributes, x.shape[2:], kernel, pool=True)
    if all(axis.kernel == axis.size and axis.before == axis.after == 0 for axis in axes):
        return qlinear_global_average_pool(inputs, attributes)
    real = rounding.dequantize(x, scalar(x_scale), scalar(x_zero))
    out = np.empty((*x.shape[:2], *(axis.windows for axis in axes)), x.dtype)
    for place in np.ndindex(*out.shape[2:]):
        taps = [axis.positions()[at] for axis, at in zip(axes, place, strict=True)]
        mean = _window_mean(real, axes, taps, bool(attributes.get("count_include_pad", 0)))
        with np.errstate(all="ignore"):
            shifted = mean / F(scalar(y_scale)) + F(scalar(y_zero))
        info = np.iinfo(x.dtype)
        codes = [min(max(rounding.nearest_int32(v), info.min), info.max) for v in shifted.reshape(-1)]
        out[(slice(None), slice(None), *place)] = np.array(codes, x.dtype).reshape(shifted.shape)
    return out


def _window_mean(real: Array, axes: Sequence[Axis], taps: Sequence[Array], include_pad: bool) -> Array:
    """Sum over the window's elements of the image, by their number, or by the window's size where padding counts."""
    total = np.zeros(real.shape[:2], F)
    places = list(itertools.product(*(places.tolist() for places in taps)))
    inside = [index for index in places if all(0 <= at < axis.size for at, axis in zip(index, axes, strict=True))]
    with np.errstate(all="ignore"):
        for index in inside:
            total = total + real[(slice(None), slice(None), *index)]
        return total / F(len(places) if include_pad else len(inside))


def qlinear_global_average_pool(inputs: Inputs, attributes: Attributes) -> Array:
    x, x_scale, x_zero, y_scale, y_zero = (*inputs, None)[:5]
    assert x is not None
    count = int(np.prod(x.shape[2:]))
    spatial = tuple(range(2, x.ndim))
    sums = (x.astype(np.int64) - int(scalar(x_zero))).sum(axis=spatial, keepdims=True)
    multiplier = ratio(scalar(x_scale), product(scalar(y_scale), count))
    return rounding.requantize(rounding.int32(sums), multiplier, scalar(y_zero), x.dtype)


def qlinear_softmax(inputs: Inputs, attributes: Attributes) -> Array:
    """Rows along `axis`, or before opset 13 of all axes from it on; each computed alone."""
    x, x_scale, _, y_scale, y_zero = (*inputs, None)[:5]
    assert x is not None
    axis = attributes.get("axis", -1) % x.ndim
    one = math.floor(F(1) / F(scalar(y_scale)))
    whole = attributes.get("opset", 13) < 13
    moved = x if whole else np.moveaxis(x, axis, -1)
    width = int(np.prod(x.shape[axis:])) if whole else x.shape[axis]
    table = _powers(float(scalar(x_scale)), width)
    rows = [_softmax_row(row, table, one, int(scalar(y_zero)), np.iinfo(x.dtype)) for row in moved.reshape(-1, width)]
    result = np.array(rows, x.dtype).reshape(moved.shape)
    return result if whole else np.moveaxis(result, -1, axis)


def _powers(scale: float, width: int) -> list[np.float32]:
    """exp of the distance to the maximum, raised as far as a sum of `width` of them leaves room in float32."""
    room = float(F(math.log(F(np.finfo(F).max) / F(width)))) - 5
    shift = max(0.0, room) / scale
    return [F(math.exp((index - 255 + shift) * scale)) for index in range(256)]


def _softmax_row(row: Array, table: Sequence[np.float32], one: int, shift: int, info: Any) -> list[int]:
    highest = int(row.max())
    entries = [table[int(code) - highest + 255] for code in row]
    total = F(0)
    for entry in entries:
        total = total + entry
    return [min(max(round(float(e) * one / float(total)) + shift, info.min), info.max) for e in entries]


def flatten(inputs: Inputs, attributes: Attributes) -> Array:
    (x,) = inputs
    assert x is not None
    axis = attributes.get("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    rows = int(np.prod(x.shape[:axis]))
    return _in_order(x, (rows, x.size // rows))


def reshape(inputs: Inputs, attributes: Attributes) -> Array:
    x, shape = inputs
    assert x is not None and shape is not None
    copies = not attributes.get("allowzero", 0)
    sizes = [x.shape[i] if size == 0 and copies else int(size) for i, size in enumerate(shape)]
    if -1 in sizes:
        sizes[sizes.index(-1)] = x.size // -int(np.prod(sizes))
    return _in_order(x, tuple(sizes))


def transpose(inputs: Inputs, attributes: Attributes) -> Array:
    (x,) = inputs
    assert x is not None
    perm = attributes.get("perm", list(range(x.ndim))[::-1])
    out = np.empty([x.shape[axis] for axis in perm], x.dtype)
    for index in np.ndindex(*out.shape):
        source = [0] * x.ndim
        for axis, at in zip(perm, index, strict=True):
            source[axis] = at
        out[index] = x[tuple(source)]
    return out


def squeeze(inputs: Inputs, attributes: Attributes) -> Array:
    x, axes = (*inputs, None)[:2]
    assert x is not None
    chosen = attributes.get("axes") if axes is None else axes.tolist()
    gone = [a % x.ndim for a in chosen] if chosen is not None else [i for i, size in enumerate(x.shape) if size == 1]
    return _in_order(x, tuple(size for i, size in enumerate(x.shape) if i not in gone))


def unsqueeze(inputs: Inputs, attributes: Attributes) -> Array:
    x, axes = (*inputs, None)[:2]
    assert x is not None
    chosen = attributes["axes"] if axes is None else axes.tolist()
    rank = x.ndim + len(chosen)
    shape = list(x.shape)
    for axis in sorted(a % rank for a in chosen):
        shape.insert(axis, 1)
    return _in_order(x, tuple(shape))


def _in_order(x: Array, shape: tuple[int, ...]) -> Array:
    """The elements of x in row-major order, laid out in another shape."""
    return np.array(x.reshape(-1).tolist(), x.dtype).reshape(shape)


def relu(inputs: Inputs, attributes: Attributes) -> Array:
    (x,) = inputs
    assert x is not None
    return np.array([max(int(code), 0) for code in x.reshape(-1)], x.dtype).reshape(x.shape)


def clip(inputs: Inputs, attributes: Attributes) -> Array:
    x, low, high = (*inputs, None, None)[:3]
    assert x is not None
    info = np.iinfo(x.dtype)
    least, most = int(scalar(low, info.min)), int(scalar(high, info.max))
    return np.array([min(max(int(code), least), most) for code in x.reshape(-1)], x.dtype).reshape(x.shape)


ORACLES: Mapping[str, Callable[[Inputs, Attributes], Array]] = {
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "QGemm": qgemm,
    "MatMulInteger": matmul_integer,
    "ConvInteger": conv_integer,
    "DynamicQuantizeLinear": dynamic_quantize_linear,
    "MatMulIntegerToFloat": matmul_integer_to_float,
    "DynamicQuantizeMatMul": dynamic_quantize_matmul,
    "QLinearAdd": qlinear_add,
    "QLinearMul": qlinear_mul,
    "QLinearConcat": qlinear_concat,
    "QLinearWhere": qlinear_where,
    "QLinearLeakyRelu": qlinear_leaky_relu,
    "QLinearSigmoid": qlinear_sigmoid,
    "QLinearSoftmax": qlinear_softmax,
    "MaxPool": max_pool,
    "QLinearAveragePool": qlinear_average_pool,
    "QLinearGlobalAveragePool": qlinear_global_average_pool,
    "Flatten": flatten,
    "Reshape": reshape,
    "Transpose": transpose,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Relu": relu,
    "Clip": clip,
    **movement.ORACLES,
}

# int32 sums with bias of the operators that sum and requantize
ACCUMULATORS: Mapping[str, Callable[[Inputs, Attributes], Array]] = {
    "QLinearConv": conv_accumulators,
    "QLinearMatMul": matmul_accumulators,
    "QGemm": gemm_accumulators,
}
