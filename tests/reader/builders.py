"""Small models for the tests of the reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdqnp.errors import ModelError
from qdqnp.reader import read

OPSET = 17


def tensor(name: str, value: Any, dtype: Any = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value, dtype), name)


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), list(outputs), **attributes)


def info(name: str, shape: Sequence[Any] | None = (2, 3), kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto] | None = None,
    outputs: Sequence[onnx.ValueInfoProto] | None = None,
    initializers: Sequence[onnx.TensorProto] = (),
    functions: Sequence[onnx.FunctionProto] = (),
    opsets: dict[str, int] | None = None,
    ir_version: int = 10,
) -> onnx.ModelProto:
    """A model from 'x' to 'y', float32 [2, 3], unless told otherwise."""
    graph = helper.make_graph(
        list(nodes),
        "g",
        list(inputs if inputs is not None else [info("x")]),
        list(outputs if outputs is not None else [info("y")]),
        list(initializers),
    )
    imports = [helper.make_opsetid(d, v) for d, v in (opsets or {"": OPSET}).items()]
    made = helper.make_model(graph, opset_imports=imports, functions=list(functions))
    made.ir_version = ir_version
    return made


def relu() -> onnx.ModelProto:
    return model([node("Relu", ["x"], ["y"])])


def quantized(scale: Any = 0.1, zero: Any = 0, zero_dtype: Any = np.int8) -> onnx.ModelProto:
    """QuantizeLinear, then DequantizeLinear."""
    return model(
        [
            node("QuantizeLinear", ["x", "s", "z"], ["q"], name="Q"),
            node("DequantizeLinear", ["q", "s", "z"], ["y"], name="DQ"),
        ],
        initializers=[tensor("s", scale), tensor("z", zero, zero_dtype)],
    )


def with_weight(weight: onnx.TensorProto) -> onnx.ModelProto:
    """A model whose only node adds the initializer `weight` (named 'w') to its input."""
    return model([node("Add", ["x", "w"], ["y"], name="add")], initializers=[weight])


def function(
    name: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    nodes: Sequence[onnx.NodeProto],
    attributes: Sequence[str] = (),
    defaults: Sequence[onnx.AttributeProto] = (),
    opsets: dict[str, int] | None = None,
) -> onnx.FunctionProto:
    imports = [helper.make_opsetid(d, v) for d, v in (opsets or {"": OPSET, "local": 1}).items()]
    return helper.make_function(
        "local", name, list(inputs), list(outputs), list(nodes), imports, list(attributes), list(defaults)
    )


def refer(target: onnx.NodeProto, attribute: str, kind: int, to: str) -> onnx.NodeProto:
    """`target` with an attribute that refers to the attribute `to` of the function around it."""
    target.attribute.append(onnx.AttributeProto(name=attribute, type=kind, ref_attr_name=to))  # type: ignore[arg-type]
    return target


def refused(source: Any, *fragments: str) -> ModelError:
    """Assert that `source` is refused with one ModelError whose text holds all fragments; answers it."""
    with pytest.raises(ModelError) as caught:
        read(source)
    for fragment in fragments:
        assert fragment in str(caught.value)
    return caught.value


def refused_once(source: Any, *fragments: str) -> ModelError:
    """As `refused`, and that it is the only problem."""
    error = refused(source, *fragments)
    assert len(error.problems) == 1, str(error)
    return error
