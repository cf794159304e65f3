"""Layers between real numbers and codes, and those that quantize while they run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from qdqnp.conformance.drawn import SIGNED, UNSIGNED, F, choices, codes, zero_point
from qdqnp.conformance.layer import LayerCase
from qdqnp.graph import MICROSOFT, ONNX
from qdqnp.quant import Array

TYPES = (UNSIGNED, SIGNED)
INT32 = np.dtype(np.int32)
ALL_TYPES: tuple[np.dtype[Any], ...] = (*TYPES, INT32)
SHAPES: tuple[tuple[int, ...], ...] = ((256,), (1, 3, 4, 5), (3, 7))


def quantizers(op: str) -> Iterator[LayerCase]:
    """Yield the layers of QuantizeLinear: one scale, and one for each channel."""
    for chosen in choices(op, SHAPES, TYPES):
        kind, rng, y, shape = chosen.kind, chosen.rng, chosen.type, chosen.shape
        axis, by_channel = 1, len(shape) > 1 and kind.name == "odd"
        one = {"pow2": F(0.25), "third": F(3 / 64), "odd": F(0.0173)}[kind.name]
        scale = np.asarray(rng.uniform(0.01, 0.2, shape[axis]) if by_channel else one, F)
        zero = np.full(scale.shape, zero_point(y, kind.y), y)
        arrays: dict[str, Array] = {"x": np.zeros(shape, F), "ys": scale, "yz": zero}
        yield LayerCase(op, ONNX, arrays, ("x",), {"axis": axis} if by_channel else {}, y, note=kind.name)


def dequantizers(op: str) -> Iterator[LayerCase]:
    """Yield the layers of DequantizeLinear, of 8-bit codes and of int32 ones."""
    for chosen in choices(op, SHAPES, ALL_TYPES):
        kind, rng, x, shape = chosen.kind, chosen.rng, chosen.type, chosen.shape
        axis, by_channel = 1, len(shape) > 1 and kind.name == "odd"
        one = {"pow2": F(0.25), "third": F(3 / 64), "odd": F(0.0173)}[kind.name]
        scale = np.asarray(rng.uniform(0.01, 0.2, shape[axis]) if by_channel else one, F)
        zero = np.zeros((), x) if x == INT32 else zero_point(x, kind.x)
        arrays = {"x": codes(rng, x, shape), "xs": scale, "xz": np.full(scale.shape, zero, x)}
        attributes = {"axis": axis} if by_channel else {}
        yield LayerCase(op, ONNX, arrays, ("x",), attributes, np.float32, note=kind.name)


def dynamic_quantizers(op: str) -> Iterator[LayerCase]:
    """Yield the layers of DynamicQuantizeLinear."""
    for shape in SHAPES:
        more = {"s": np.float32, "z": np.uint8}
        yield LayerCase(op, ONNX, {"x": np.zeros(shape, F)}, ("x",), output=np.uint8, more=more)


def dynamic_products(op: str) -> Iterator[LayerCase]:
    """Yield the layers of DynamicQuantizeMatMul."""
    for chosen in choices(op, ((2, 3, 4), (1, 4, 24), (3, 2, 64)), TYPES):
        kind, rng, w, (rows, columns, terms) = chosen.kind, chosen.rng, chosen.type, chosen.shape
        weights: Any = codes(rng, w, (terms, columns))
        scale = np.asarray(F(2.0**-7) if kind.name != "odd" else F(0.0031), F)
        zero = zero_point(w, kind.w) if w == UNSIGNED else np.zeros((), w)
        arrays = {"x": np.zeros((rows, terms), F), "w": weights, "ws": scale, "wz": zero}
        yield LayerCase(op, MICROSOFT, arrays, ("x",), output=np.float32, note=kind.name)
