"""QuantizeLinear and DequantizeLinear."""

from __future__ import annotations

import numpy as np

from tests.ops import draw
from tests.ops.case import MS, Case, one_node

NAMES = {np.uint8: 2, np.int8: 3, np.uint16: 4, np.int16: 5}


def quantize_linear(rng: draw.Rng) -> Case:
    """Real values on exact halves, one float32 beside them, beyond the range, infinite, NaN."""
    dtype = draw.pick(rng, tuple(NAMES))
    dims, axis, shape = _parameters_shape(rng)
    scale, zero = draw.scale(rng, shape), draw.zero_point(rng, dtype, shape)
    wide = scale.reshape([-1 if i == axis % len(dims) else 1 for i in range(len(dims))]) if shape else scale
    x = _values(rng, dims, wide, dtype)
    default = draw.chance(rng, 0.1)
    arguments = [("x", x), ("s", scale), None if default else ("z", zero)]
    sixteen = dtype in (np.int16, np.uint16)
    named = NAMES[dtype] if default and draw.chance(rng, 0.7) else None
    output = dtype if not default or named else np.uint8
    contrib = sixteen and not default and draw.chance(rng, 0.5)
    opset = 21 if (sixteen and not contrib) or named else int(draw.pick(rng, (13, 19, 21)))
    given = axis if shape or draw.chance(rng, 0.3) else None
    return one_node(
        "QuantizeLinear",
        arguments,
        domain=MS if contrib else "",
        opset=opset,
        output=output,
        axis=given,
        output_dtype=named,
    )


def _parameters_shape(rng: draw.Rng) -> tuple[tuple[int, ...], int, tuple[int, ...]]:
    """Shape of x, an axis, and the shape of scale and zero point: one value, or one per slice."""
    dims = draw.shape(rng)
    axis = int(rng.integers(-len(dims), len(dims)))
    kind = rng.random()
    return dims, axis, (dims[axis],) if kind < 0.5 else ()


def _values(rng: draw.Rng, dims: tuple[int, ...], scale: draw.Array, dtype: type) -> draw.Array:
    reach = float(np.iinfo(dtype).max)
    steps = np.round(rng.uniform(-1.6 * reach, 1.6 * reach, size=dims) * draw.pick(rng, (1, 0.1))) / 2
    with np.errstate(all="ignore"):
        x = (steps * scale.astype(np.float64)).astype(np.float32)
    kinds = rng.random(dims)
    x = np.where(kinds < 0.2, np.nextafter(x, np.float32(np.inf)), x)
    x = np.where(kinds > 0.8, np.nextafter(x, np.float32(-np.inf)), x)
    if draw.chance(rng, 0.3):
        odd = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0, -0.0, 1e-45], np.float32)
        x = np.where(rng.random(dims) < 0.4, rng.choice(odd, size=dims), x)
    return x.astype(np.float32)


def dequantize_linear(rng: draw.Rng) -> Case:
    dtype = draw.pick(rng, (*NAMES, np.int32))
    dims, axis, shape = _parameters_shape(rng)
    x, scale = draw.codes(rng, dtype, dims), draw.scale(rng, shape)
    # ONNX defines int32 codes without a zero point only
    zero = np.zeros(shape, dtype) if dtype == np.int32 else draw.zero_point(rng, dtype, shape)
    arguments = [("x", x), ("s", scale), None if draw.chance(rng, 0.15) else ("z", zero)]
    sixteen = dtype in (np.int16, np.uint16)
    contrib = draw.chance(rng, 0.3) and dtype != np.int32 and arguments[2] is not None
    opset = 21 if sixteen and not contrib else int(draw.pick(rng, (13, 19, 21)))
    given = axis if shape or draw.chance(rng, 0.3) else None
    return one_node(
        "DequantizeLinear", arguments, domain=MS if contrib else "", opset=opset, output=np.float32, axis=given
    )
