"""Layers that add up products of codes: convolutions and matrix products."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from qdqnp.conformance.drawn import (
    SIGNED,
    UNSIGNED,
    F,
    ParameterKind,
    between,
    bias,
    choices,
    codes,
    input_scale,
    weight_scale,
    zero_point,
)
from qdqnp.conformance.layer import LayerCase
from qdqnp.graph import MICROSOFT, ONNX
from qdqnp.quant import Array

#: Types of activations and weights.
TYPES = ((UNSIGNED, SIGNED), (SIGNED, SIGNED), (UNSIGNED, UNSIGNED))
#: Images, kernels as (output channels, input channels of a group, ...), and attributes.
CONVOLUTIONS: tuple[tuple[tuple[int, ...], tuple[int, ...], Mapping[str, Any]], ...] = (
    ((1, 3, 4, 4), (4, 3, 1, 1), {}),
    ((1, 2, 6, 5), (3, 2, 3, 3), {"pads": (1, 1, 1, 1), "strides": (2, 1)}),
    ((1, 4, 6, 6), (4, 1, 3, 3), {"group": 4, "pads": (0, 1, 1, 0)}),
    ((2, 4, 5, 7), (4, 2, 2, 3), {"group": 2, "dilations": (2, 2), "strides": (1, 2)}),
    ((1, 3, 12), (2, 3, 3), {"pads": (2, 0), "strides": (3,)}),
    ((1, 40, 3, 3), (2, 40, 3, 3), {}),
)
#: Rows, columns and inner length of a matrix product, and the sizes before the rows.
MATRICES = ((2, 3, 4, ()), (1, 4, 24, ()), (3, 2, 64, (2,)))


def _weights(rng: np.random.Generator, kind: ParameterKind, dtype: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return weights and their zero point; that of int8 weights is 0, as nearly every exporter has it."""
    zero = zero_point(dtype, kind.w) if dtype == UNSIGNED else np.zeros((), dtype)
    return codes(rng, dtype, shape), zero


def _scaled(
    rng: np.random.Generator, kind: ParameterKind, x: Any, zero: Array, channels: int, reach: float, vector: bool
) -> dict[str, Array]:
    """Return scales and zero points of x, w and y by name.

    vector: whether each channel has a scale of its own.
    """
    xs, ws = input_scale(kind, rng), weight_scale(kind, rng, channels if vector else 0)
    unit = F(1 / 16) if kind.name == "third" else xs  # then the multiplier is three times a power of two
    ys = np.asarray(unit * ws.reshape(-1)[0] * between(kind, reach), F)
    zeros = np.full(ws.shape, zero, zero.dtype) if vector else zero
    return {"xs": xs, "xz": zero_point(x, kind.x), "ws": ws, "wz": zeros, "ys": ys, "yz": zero_point(x, kind.y)}


def convolutions(op: str) -> Iterator[LayerCase]:
    """Yield the layers of QLinearConv or ConvInteger."""
    for chosen in choices("convolution", CONVOLUTIONS, TYPES):
        kind, rng, (x, w), (image, kernel, attributes) = chosen.kind, chosen.rng, chosen.type, chosen.shape
        terms = int(np.prod(kernel[1:]))
        reach = 128.0 * 128 * terms
        weights, zero = _weights(rng, kind, w, kernel)
        arrays = {"x": codes(rng, x, image), "w": weights}
        more = {"kernel_shape": kernel[2:], **attributes}
        if op == "ConvInteger":
            arrays |= {"xz": zero_point(x, kind.x), "wz": zero}
            yield LayerCase(op, ONNX, arrays, ("x",), more, np.int32, note=kind.name)
            continue
        arrays |= _scaled(rng, kind, x, zero, kernel[0], reach, vector=chosen.number % 2 == 1)
        added = bias(kind, rng, kernel[0], reach)
        arrays |= {} if added is None else {"b": added}
        yield LayerCase(op, ONNX, arrays, ("x",), more, note=kind.name)


def matrices(op: str, domain: str = ONNX) -> Iterator[LayerCase]:
    """Yield the layers of QLinearMatMul, MatMulInteger or MatMulIntegerToFloat."""
    for chosen in choices("matrix", MATRICES, TYPES):
        kind, rng, (x, w), (rows, columns, terms, before) = chosen.kind, chosen.rng, chosen.type, chosen.shape
        reach = 128.0 * 128 * terms
        weights, zero = _weights(rng, kind, w, (terms, columns))
        arrays = {"x": codes(rng, x, (*before, rows, terms)), "w": weights}
        arrays |= _scaled(rng, kind, x, zero, columns, reach, vector=chosen.number == 1)
        output: Any = x
        if op == "MatMulInteger":
            arrays = {name: arrays[name] for name in ("x", "w", "xz")} | {"wz": zero}
            output = np.int32
        elif op == "MatMulIntegerToFloat":
            del arrays["ys"], arrays["yz"]
            output = np.float32
        yield LayerCase(op, domain, arrays, ("x",), output=output, note=kind.name)


def gemms(op: str) -> Iterator[LayerCase]:
    """Yield the layers of QGemm, some with transposed weights."""
    for chosen in choices("gemm", MATRICES, TYPES):
        kind, rng, (x, w), (rows, columns, terms, _) = chosen.kind, chosen.rng, chosen.type, chosen.shape
        transposed, reach = chosen.number != 0, 128.0 * 128 * terms
        weights, zero = _weights(rng, kind, w, (columns, terms) if transposed else (terms, columns))
        arrays = {"x": codes(rng, x, (rows, terms)), "w": weights}
        arrays |= _scaled(rng, kind, x, zero, columns, reach, vector=chosen.number == 1)
        added = bias(kind, rng, columns, reach)
        arrays |= {} if added is None else {"b": added}
        yield LayerCase(op, MICROSOFT, arrays, ("x",), {"transB": 1} if transposed else {}, note=kind.name)
