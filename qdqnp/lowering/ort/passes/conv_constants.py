"""Folds Add, Mul or BatchNormalization after a Conv into its float weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op
from qdqnp.quant import Float32

Layer = tuple[Float32, Float32 | None]  # the weight and bias of a Conv
F = np.float32


def conv_constants(graph: Graph, log: Log) -> Graph:
    """Fold a constant Add, Mul or BatchNormalization into the constant float weight and bias of a Conv.

    The node must be the only reader of the Conv; each operation rounds once in float32. This matters because the weight
    may be quantized afterwards (`weight_bias`). ONNX Runtime 1.32,
    core/optimizer/{conv_add,conv_mul,conv_bn}_fusion.cc.
    """
    edit = Edit(graph)
    for conv in edit.nodes():
        after = edit.only_user(conv) if is_op(conv, "Conv") else None
        if after is None:
            continue
        layer = _layer(edit, conv)
        merged = None if layer is None else _merged(edit, conv, after, layer)
        if merged is not None:
            _replace(edit, conv, after, merged)
    return edit.done()


def _layer(edit: Edit, conv: Node) -> Layer | None:
    weight, bias = edit.constant(conv.input(1)), edit.constant(conv.input(2)) if conv.input(2) else None
    if weight is None or weight.dtype != F or weight.ndim < 3 or (conv.input(2) and bias is None):
        return None
    return weight, bias


def _merged(edit: Edit, conv: Node, after: Node, layer: Layer) -> Layer | None:
    if is_op(after, "BatchNormalization"):
        return _normalized(edit, after, layer)
    if not is_op(after, "Add", "Mul"):
        return None
    const = edit.constant(after.input(1))
    if const is None or after.input(0) != conv.outputs[0] or const.dtype != F:
        return None
    return (_added if after.op == "Add" else _scaled)(const, layer)


def _column(vector: Float32, weight: Float32) -> Float32:
    return vector.reshape(-1, *(1,) * (weight.ndim - 1))


def _per_channel(const: Float32, weight: Float32) -> Float32 | None:
    """Return a constant of shape (channels, 1, 1) or (1, channels, 1, 1) for 2-D as a vector."""
    shape = (weight.shape[0], *(1,) * (weight.ndim - 2))
    return const.reshape(-1) if const.shape in (shape, (1, *shape)) else None


def _added(const: Float32, layer: Layer) -> Layer | None:
    weight, bias = layer
    vector = _per_channel(const, weight)
    if vector is None:
        return None
    return weight, vector if bias is None else bias + vector


def _scaled(const: Float32, layer: Layer) -> Layer | None:
    weight, bias = layer
    vector = np.full(weight.shape[0], const) if const.ndim == 0 else _per_channel(const, weight)
    if vector is None:
        return None
    return weight * _column(vector, weight), None if bias is None else bias * vector


def _normalized(edit: Edit, after: Node, layer: Layer) -> Layer | None:
    weight, bias = layer
    given = [edit.constant(name) for name in after.inputs[1:5]]
    found = [const for const in given if const is not None and const.dtype == F]
    if len(found) != 4 or after.attributes.get("training_mode", 0):
        return None
    scale, shift, mean, variance = found
    epsilon: Any = after.attributes.get("epsilon", 1e-5)
    factor: Float32 = (scale / np.sqrt(variance + F(epsilon))).astype(F)
    moved: Float32 = (shift - mean * factor if bias is None else (bias - mean) * factor + shift).astype(F)
    return weight * _column(factor, weight), moved


def _replace(edit: Edit, conv: Node, after: Node, layer: Layer) -> None:
    weight, bias = layer
    inputs = [conv.input(0), edit.add_constant(conv.input(1), weight)]
    if bias is not None:
        inputs.append(edit.add_constant(conv.input(2) or f"{conv.label}_bias", bias))
    origin = (*conv.origins, *after.origins)
    fused = conv.with_(inputs=tuple(inputs), outputs=(after.outputs[0],), origin=origin)
    edit.replace((conv, after), fused)
