"""Turns Constant nodes into arrays under their output names, as if they were initializers."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.errors import Problems
from qdqnp.graph import ONNX, Node, frozen
from qdqnp.quant import Array

#: The operator that becomes a constant when it is read.
CONSTANT = "Constant"

# The dtype of each attribute that may hold the value; `value` is a tensor and has its own.
VALUE_DTYPES: dict[str, type[Any] | None] = {
    "value": None,
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def is_constant(node: Node) -> bool:
    return node.op == CONSTANT and node.domain == ONNX


def constant_array(node: Node, problems: Problems) -> Array | None:
    """Return the array of a Constant node, or None when the node is wrong (which is noted)."""
    where = f"node {node.label} (Constant)"
    if any(node.inputs):
        problems.add(where, "no inputs", list(node.inputs))
        return None
    if len(node.outputs) != 1:
        problems.add(where, "one output", list(node.outputs))
        return None
    if len(node.attributes) != 1:
        problems.add(where, f"one of the attributes {', '.join(VALUE_DTYPES)}", sorted(node.attributes) or "none")
        return None
    ((name, value),) = node.attributes.items()
    if name not in VALUE_DTYPES:
        problems.add(where, f"one of the attributes {', '.join(VALUE_DTYPES)}", name)
        return None
    return _array(name, value, where, problems)


def _array(name: str, value: object, where: str, problems: Problems) -> Array | None:
    expected = {"value": np.ndarray, "value_float": float, "value_int": int}.get(name, tuple)
    element = {"value_floats": float, "value_ints": int}.get(name)
    wrong = not isinstance(value, expected) or (
        element is not None and isinstance(value, tuple) and not all(isinstance(item, element) for item in value)
    )
    if wrong:
        problems.add(f"{where}, attribute '{name}'", "a value of the type that its name says", type(value).__name__)
        return None
    return frozen(np.array(value, VALUE_DTYPES[name]) if VALUE_DTYPES[name] else np.asarray(value))
