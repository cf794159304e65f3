"""Reads a model of one node: its operands as arrays, its attributes as Python values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]
Oracle = Callable[[Sequence[Array | None], Mapping[str, Any]], Array]


def operands(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Array | None]:
    """The arrays that the only node reads, None where an optional input is absent."""
    (node,) = model.graph.node
    known = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer} | dict(feeds)
    return [known[name] if name else None for name in node.input]


def attributes(model: onnx.ModelProto) -> dict[str, Any]:
    """The attributes of the only node, text as str; and the opset of its domain, as "version"."""
    (node,) = model.graph.node
    values = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    opset = max((item.version for item in model.opset_import if item.domain == node.domain), default=1)
    return {"version": opset} | {
        n: value.decode() if isinstance(value, bytes) else value for n, value in values.items()
    }


def evaluate(oracles: Mapping[str, Oracle], model: onnx.ModelProto, feeds: Mapping[str, Array]) -> Array:
    """The output of the model's only node by the oracle of its operator."""
    (node,) = model.graph.node
    return oracles[node.op_type](operands(model, feeds), attributes(model))
