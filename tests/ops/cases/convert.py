"""QuantizeLinear and DequantizeLinear, of every type of codes and of real numbers that ONNX Runtime has kernels of."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from tests.ops import draw
from tests.ops.case import MS, Case, one_node

NAMES = {np.uint8: 2, np.int8: 3, np.uint16: 4, np.int16: 5}
FOUR = (ml_dtypes.int4, ml_dtypes.uint4)
TWO = (ml_dtypes.int2, ml_dtypes.uint2)
FLOAT8 = {
    ml_dtypes.float8_e4m3fn: 17,
    ml_dtypes.float8_e4m3fnuz: 18,
    ml_dtypes.float8_e5m2: 19,
    ml_dtypes.float8_e5m2fnuz: 20,
}
NUMBERS = {**NAMES, **FLOAT8, ml_dtypes.uint4: 21, ml_dtypes.int4: 22, ml_dtypes.uint2: 25, ml_dtypes.int2: 26}


def _opset(rng: draw.Rng, dtype: type, least: int) -> int:
    """An opset that has the type."""
    since = 25 if dtype in TWO else 21 if dtype in (np.int16, np.uint16, *FOUR) else 19 if dtype in FLOAT8 else 13
    return int(draw.pick(rng, [opset for opset in (13, 19, 21, 23, 25) if opset >= max(since, least)]))


def quantize_linear(rng: draw.Rng) -> Case:
    """Real values on exact halves, one float32 beside them, beyond the range, infinite, NaN."""
    dtype = draw.pick(rng, tuple(NUMBERS) if draw.chance(rng, 0.5) else tuple(NAMES))
    dims, axis, shape, block = _parameters_shape(rng)
    half = draw.chance(rng, 0.25)
    scale = _scale(rng, shape, half)
    zero = draw.zero_point(rng, dtype, shape) if dtype not in FLOAT8 else np.zeros(shape, dtype)
    x = _values(rng, dims, _wide(scale.astype(np.float32), dims, axis, block), dtype)
    with np.errstate(over="ignore"):
        x = x.astype(np.float16) if half else x
    default = draw.chance(rng, 0.1)
    arguments = [("x", x), ("s", scale), None if default else ("z", zero)]
    named = NUMBERS[dtype] if default and draw.chance(rng, 0.7) else None
    output = dtype if not default or named else np.uint8
    contrib = dtype in (np.int16, np.uint16, *FOUR) and not default and not block and draw.chance(rng, 0.5)
    opset = _opset(rng, dtype, 13 if contrib else 21 if named or block else 19 if half else 13)
    given = axis if shape or draw.chance(rng, 0.3) else None
    return one_node(
        "QuantizeLinear",
        arguments,
        domain=MS if contrib else "",
        opset=opset,
        output=output,
        axis=given,
        output_dtype=named,
        block_size=block or None,
        saturate=int(draw.chance(rng, 0.5)) if dtype in FLOAT8 and not default else None,
        precision=draw.pick(rng, (1, 10)) if opset >= 23 and not contrib and draw.chance(rng, 0.3) else None,
    )


def _parameters_shape(rng: draw.Rng) -> tuple[tuple[int, ...], int, tuple[int, ...], int]:
    """Shape of x, an axis, the shape of scale and zero point (one value, one per slice or per block), block size."""
    dims = draw.shape(rng)
    axis = int(rng.integers(-len(dims), len(dims)))
    kind = rng.random()
    if kind < 0.2 and (len(dims) > 1 or dims[0] > 1):
        block = draw.size(rng, 6 if len(dims) > 1 else dims[0] - 1)  # of one axis, more than one block
        blocks = list(dims)
        blocks[axis] = -(-dims[axis] // block)
        return dims, axis, tuple(blocks), block
    return dims, axis, (dims[axis],) if kind < 0.6 else (), 0


def _scale(rng: draw.Rng, shape: tuple[int, ...], half: bool) -> draw.Array:
    scale = draw.scale(rng, shape)
    return np.clip(scale, 2.0**-24, 65504).astype(np.float16) if half else scale


def _wide(scale: draw.Array, dims: tuple[int, ...], axis: int, block: int) -> draw.Array:
    """The scales, shaped to broadcast over x."""
    if block:
        return np.repeat(scale, block, axis)[tuple(slice(size) for size in dims)]
    return scale.reshape([-1 if i == axis % len(dims) else 1 for i in range(len(dims))]) if scale.ndim else scale


def _values(rng: draw.Rng, dims: tuple[int, ...], scale: draw.Array, dtype: type) -> draw.Array:
    reach = float(ml_dtypes.finfo(dtype).max if dtype in FLOAT8 else draw.ends(dtype)[1])
    steps = np.round(rng.uniform(-1.6 * reach, 1.6 * reach, size=dims) * draw.pick(rng, (1, 0.1))) / 2
    with np.errstate(all="ignore"):
        x = (steps * scale.astype(np.float64)).astype(np.float32)
    kinds = rng.random(dims)
    with np.errstate(over="ignore"):
        x = np.where(kinds < 0.2, np.nextafter(x, np.float32(np.inf)), x)
        x = np.where(kinds > 0.8, np.nextafter(x, np.float32(-np.inf)), x)
    if draw.chance(rng, 0.3):
        odd = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0, -0.0, 1e-45], np.float32)
        x = np.where(rng.random(dims) < 0.4, rng.choice(odd, size=dims), x)
    return x.astype(np.float32)


def dequantize_linear(rng: draw.Rng) -> Case:
    dtype: Any = draw.pick(rng, (*NUMBERS, np.int32) if draw.chance(rng, 0.5) else (*NAMES, np.int32))
    dims, axis, shape, block = _parameters_shape(rng)
    half = draw.chance(rng, 0.25)
    x, scale = draw.codes(rng, dtype, dims), _scale(rng, shape, half)
    # ONNX defines int32 codes without a zero point only
    plain = dtype == np.int32 or dtype in FLOAT8
    zero = np.zeros(shape, dtype) if plain else draw.zero_point(rng, dtype, shape)
    arguments = [("x", x), ("s", scale), None if draw.chance(rng, 0.1) else ("z", zero)]
    contrib = draw.chance(rng, 0.5) and not plain and not block and dtype not in TWO and arguments[2] is not None
    opset = _opset(rng, dtype, 13 if contrib else 21 if block else 19 if half else 13)
    given = axis if shape or draw.chance(rng, 0.3) else None
    return one_node(
        "DequantizeLinear",
        arguments,
        domain=MS if contrib else "",
        opset=opset,
        output=scale.dtype,
        axis=given,
        block_size=block or None,
    )
