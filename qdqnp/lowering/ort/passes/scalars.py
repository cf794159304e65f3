"""Constant scalars, as ONNX Runtime's optimizer recognizes them."""

from __future__ import annotations

import numpy as np

from qdqnp.graph import Node
from qdqnp.lowering.edit import Edit


def is_scalar(edit: Edit, name: str, value: float) -> bool:
    """Tell whether a tensor is a constant scalar near a value.

    ONNX Runtime 1.32, core/optimizer/utils.cc (IsInitializerWithExpectedValue): within 1e-8 + 1e-5 |value|.
    """
    const = edit.constant(name)
    if const is None or const.dtype != np.float32 or const.size != 1 or const.ndim > 1:
        return False
    return abs(float(const.reshape(())) - value) <= 1e-8 + 1e-5 * abs(value)


def times(edit: Edit, node: Node, value: float) -> str | None:
    """The other operand of a node of two operands, one of which is a scalar near a value; None where none is."""
    for index, name in enumerate(node.inputs[:2]):
        if is_scalar(edit, name, value):
            return node.inputs[1 - index]
    return None


def partner(node: Node, name: str) -> str:
    """The operand of a node of two operands that is not `name`."""
    return node.inputs[1 - node.inputs.index(name)]
