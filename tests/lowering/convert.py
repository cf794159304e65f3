"""ModelProto -> Graph for the tests of this folder, without any of the reader's checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from qdqnp.graph import Graph, Node, Value, frozen


def to_graph(model: onnx.ModelProto) -> Graph:
    model = onnx.shape_inference.infer_shapes(model)
    values: dict[str, Value] = {}
    for info in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        values[info.name] = _value(info)
    for tensor in model.graph.initializer:
        values[tensor.name] = _constant(tensor.name, numpy_helper.to_array(tensor))
    nodes = []
    for node in model.graph.node:
        attributes = {a.name: _attribute(a) for a in node.attribute}
        if node.op_type == "Constant":
            values[node.output[0]] = _constant(node.output[0], np.asarray(next(iter(attributes.values()))))
            continue
        nodes.append(Node(node.op_type, node.domain, tuple(node.input), tuple(node.output), attributes, node.name))
        for name in node.output:
            if name:
                values.setdefault(name, Value(name, np.dtype(np.float32), ()))
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    inputs = tuple(i.name for i in model.graph.input if values[i.name].const is None)
    return Graph(tuple(nodes), values, inputs, tuple(o.name for o in model.graph.output), opsets)


def _value(info: onnx.ValueInfoProto) -> Value:
    tensor = info.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in tensor.shape.dim)
    return Value(info.name, helper.tensor_dtype_to_np_dtype(tensor.elem_type), shape)


def _constant(name: str, array: np.ndarray[Any, Any]) -> Value:
    return Value(name, array.dtype, array.shape, frozen(array))


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return frozen(numpy_helper.to_array(value))
    return tuple(value) if attribute.type in (7, 6, 8) else value
