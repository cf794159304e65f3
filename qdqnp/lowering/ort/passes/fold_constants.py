"""Nodes that compute a constant."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from qdqnp.errors import Problems
from qdqnp.graph import Graph, Node, concrete
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import quantize
from qdqnp.ops.movement.movement import Movement
from qdqnp.ops.node_check import NodeCheck, Refused
from qdqnp.ops.operator import ShapeError
from qdqnp.ops.registry import lookup
from qdqnp.quant import CODE_DTYPES, Array


def fold_constants(graph: Graph, log: Log) -> Graph:
    """QuantizeLinear and data movement of constants, and what makes no graph output; DequantizeLinear stays.

    ONNX Runtime 1.32, core/optimizer/constant_folding.cc (ConstantFolding, which spares DequantizeLinear). Float
    arithmetic on constants is left to run as it is: folding it changes neither a number nor what fuses.
    """
    edit = Edit(graph)
    for node in edit.nodes():
        inputs = [edit.constant(name) for name in node.inputs if name]
        if node.domain or edit.makes_output(node) or any(const is None for const in inputs):
            continue
        result = _folded(edit, node, [const for const in inputs if const is not None])
        if result is not None:
            edit.replace(node)
            edit.set_constant(node.outputs[0], result)
    return edit.done()


def _folded(edit: Edit, node: Node, inputs: list[Array]) -> Array | None:
    if node.op in MOVEMENTS:
        return _moved(edit, node)
    rule = RULES.get(node.op)
    return rule(node, inputs) if rule else None


def _moved(edit: Edit, node: Node) -> Array | None:
    """As the operator itself does it; a Gather that repeats elements is left to run, as it may make much of little."""
    operator = lookup(node.domain, node.op)
    assert isinstance(operator, Movement)
    values = tuple(edit.values[name] if name else None for name in node.inputs)
    whole = values[0].const if values[0] is not None else None
    try:
        attributes = operator.attributes(NodeCheck(node, edit.opset, values, Problems()))
        if whole is None or math.prod(concrete(operator.shape(attributes, whole.shape))) > whole.size:
            return None
    except (Refused, ShapeError):
        return None  # the program's own check will say what is wrong
    return operator.move(attributes, whole)


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


MOVEMENTS = ("Flatten", "Gather", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
RULES: dict[str, Callable[[Node, list[Array]], Array | None]] = {
    "QuantizeLinear": _quantize,
    "Identity": lambda node, inputs: inputs[0],
    "Concat": lambda node, inputs: np.concatenate(inputs, _int(node, "axis", 0)),
}
