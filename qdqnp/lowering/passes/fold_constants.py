"""Nodes that compute a constant."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import quantize
from qdqnp.ops.reshape import Reshape, ReshapeAttributes
from qdqnp.quant import CODE_DTYPES, Array


def fold_constants(graph: Graph, log: Log) -> Graph:
    """QuantizeLinear and data movement of constants, and what makes no graph output; DequantizeLinear stays.

    ONNX Runtime 1.32, core/optimizer/constant_folding.cc (ConstantFolding, which spares DequantizeLinear). Float
    arithmetic on constants is left to run as it is: folding it changes neither a number nor what fuses.
    """
    edit = Edit(graph)
    for node in edit.nodes():
        rule = RULES.get(node.op) if node.domain == "" else None
        inputs = [edit.constant(name) for name in node.inputs if name]
        if rule is None or edit.makes_output(node) or any(const is None for const in inputs):
            continue
        result = rule(node, [const for const in inputs if const is not None])
        if result is not None:
            edit.replace(node)
            edit.set_constant(node.outputs[0], result)
    return edit.done()


def _quantize(node: Node, inputs: list[Array]) -> Array | None:
    values, scale = inputs[0], inputs[1]
    zero = inputs[2] if len(inputs) > 2 else np.zeros(scale.shape, np.uint8)
    if values.dtype != np.float32 or scale.dtype != np.float32 or node.attributes.get("block_size", 0):
        return None
    if zero.dtype not in CODE_DTYPES or node.attributes.get("output_dtype", 0):
        return None
    if scale.size == 1:
        return quantize(values, scale.reshape(()), zero.reshape(()))
    axis = _int(node, "axis", 1) % values.ndim
    shape = tuple(-1 if at == axis else 1 for at in range(values.ndim))
    return quantize(values, scale.reshape(shape), zero.reshape(shape))


def _int(node: Node, key: str, default: int) -> int:
    value = node.attributes.get(key, default)
    return value if isinstance(value, int) else default


def _axes(node: Node, inputs: list[Array]) -> tuple[int, ...] | None:
    given: Any = inputs[1].tolist() if len(inputs) > 1 else node.attributes.get("axes")
    return None if given is None else tuple(int(axis) for axis in given)


def _reshape(node: Node, inputs: list[Array]) -> Array | None:
    if node.attributes.get("allowzero", 0) or len(inputs) < 2:
        return None
    return Reshape().move(ReshapeAttributes(_shape=tuple(inputs[1].tolist())), inputs[0])


def _transpose(node: Node, inputs: list[Array]) -> Array:
    order: Any = node.attributes.get("perm")
    return np.transpose(inputs[0], order)


def _flatten(node: Node, inputs: list[Array]) -> Array:
    data, axis = inputs[0], _int(node, "axis", 1)
    axis += data.ndim if axis < 0 else 0
    return data.reshape(math.prod(data.shape[:axis]), math.prod(data.shape[axis:]))


def _squeeze(node: Node, inputs: list[Array]) -> Array:
    return np.squeeze(inputs[0], _axes(node, inputs))


def _unsqueeze(node: Node, inputs: list[Array]) -> Array | None:
    axes = _axes(node, inputs)
    return None if axes is None else np.expand_dims(inputs[0], axes)


RULES: dict[str, Callable[[Node, list[Array]], Array | None]] = {
    "QuantizeLinear": _quantize,
    "Identity": lambda node, inputs: inputs[0],
    "Reshape": _reshape,
    "Transpose": _transpose,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": lambda node, inputs: np.concatenate(inputs, _int(node, "axis", 0)),
}
