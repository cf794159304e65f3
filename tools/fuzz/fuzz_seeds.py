"""Make the valid models that the fuzzer mutates: every operator by itself, small networks, functions, external data."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.errors import QdqnpError
from tests.lowering.nets import Builder
from tests.ops.cases import CASES
from tests.ops.cases.device import DEVICE_CASES
from tests.ops.cases.floats import BITWISE, CLOSE
from tests.ops.cases.sizes import sized

CASES_EACH = 6  # of every operator
NETS = 60
SIZED = 30  # models whose sizes are computed
LARGEST = 12_000  # bytes: mutations of small files find the same faults, many times as often
# The files that worker.Sandbox lays beside a model; those of the second line must never be read.
EXTERNAL_FILES = ("w.bin", "sub/v.bin", "inner", "hard.bin")
EXTERNAL_TRAPS = (
    "link",
    "up/secret.bin",
    "pipe",
    "sub",
    "loop",
    ".",
    "missing.bin",
    "../secret.bin",
    "/dev/zero",
    "/etc/passwd",
    "sub/../../secret.bin",
    "m.onnx",
    "C:\\w.bin",
    "w.bin\0x",
    "",
    "w.bin/",
)


def seeds() -> list[onnx.ModelProto]:
    """Return all seeds, the same in every process: mutant k of a run depends only on the seed and k."""
    found = [model for model in _models() if model.ByteSize() <= LARGEST and _loads(model)]
    assert len(found) > NETS
    return found


def _models() -> Iterator[onnx.ModelProto]:
    for generators in (CASES, DEVICE_CASES, BITWISE, CLOSE):
        for generator in generators.values():
            for seed in range(CASES_EACH):
                yield generator(np.random.default_rng(seed)).model
    for seed in range(NETS):
        yield Builder(random.Random(seed).choice).build().model()
    for seed in range(SIZED):
        yield sized(np.random.default_rng(seed)).model
    yield function_model()
    yield external_model()
    yield constant_nodes()
    yield symbolic()
    yield branching()
    yield largest_elements()
    yield contributed_quantizer()


def _loads(model: onnx.ModelProto) -> bool:
    """Return whether qdqnp loads a model. Random nets hold operators that qdqnp does not have; such nets are not valid
    seeds."""
    if any(tensor.data_location == TensorProto.EXTERNAL for tensor in model.graph.initializer):
        return True
    try:
        qdqnp.load(model)
    except QdqnpError:
        return False
    return True


def _info(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _model(
    nodes: list[onnx.NodeProto],
    constants: dict[str, Any],
    functions: Any = (),
    shape: Any = (1, 3, 4),
    extra: dict[str, int] | None = None,
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "seed", [_info("x", list(shape))], [_info("y", None)], tensors)
    imports = [helper.make_opsetid(domain, version) for domain, version in {"": 17, **(extra or {})}.items()]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=10)


def largest_elements() -> onnx.ModelProto:
    """The two largest of each row: values, and where they are."""
    return _model([helper.make_node("TopK", ["x", "k"], ["y", "i"], axis=-1)], {"k": np.array([2])})


def contributed_quantizer() -> onnx.ModelProto:
    """QuantizeLinear and DequantizeLinear of ONNX Runtime's domain, 16 bits."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], domain="com.microsoft"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], domain="com.microsoft"),
    ]
    return _model(nodes, {"s": np.float32(0.1), "z": np.int16(3)}, extra={"com.microsoft": 1})


SCALES: dict[str, Any] = {"s": np.float32(0.1), "z": np.int8(3)}


def function_model() -> onnx.ModelProto:
    """Make a function that calls a function, an attribute passed by reference, and a default attribute."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    leaky = helper.make_node("LeakyRelu", ["a"], ["b"])
    leaky.attribute.add(name="alpha", type=onnx.AttributeProto.FLOAT, ref_attr_name="slope")
    inner = helper.make_function(
        "local", "inner", ["a"], ["b"], [leaky], opsets, [], [helper.make_attribute("slope", 0.2)]
    )
    body = [
        helper.make_node("QuantizeLinear", ["a", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("inner", ["d"], ["b"], domain="local", slope=0.3),
    ]
    outer = helper.make_function("local", "outer", ["a", "s", "z"], ["b"], body, opsets)
    nodes = [
        helper.make_node("outer", ["x", "s", "z"], ["m"], name="first", domain="local"),
        helper.make_node("outer", ["m", "s", "z"], ["y"], name="second", domain="local"),
    ]
    return _model(nodes, SCALES, [inner, outer], extra={"local": 1})


def external_model() -> onnx.ModelProto:
    model = _model([helper.make_node("Add", ["x", "w"], ["h"]), helper.make_node("Mul", ["h", "v"], ["y"])], {})
    for name, place in (("w", "w.bin"), ("v", "sub/v.bin")):
        tensor = model.graph.initializer.add(
            name=name, data_type=TensorProto.FLOAT, dims=[3, 4], data_location=TensorProto.EXTERNAL
        )
        for key, value in {"location": place, "offset": "0", "length": "48"}.items():
            tensor.external_data.add(key=key, value=value)
    return model


def constant_nodes() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Constant", [], ["s"], value_float=0.1),
        helper.make_node("Constant", [], ["z"], value=numpy_helper.from_array(np.array(3, np.int8))),
        helper.make_node("Constant", [], ["shape"], value_ints=[1, 12]),
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("Reshape", ["q", "shape"], ["r"]),
        helper.make_node("DequantizeLinear", ["r", "s", "z"], ["y"]),
    ]
    return _model(nodes, {})


def symbolic() -> onnx.ModelProto:
    """Make a model with sizes by name, and a tensor without any size."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Concat", ["d", "x"], ["c"], axis=1),
        helper.make_node("Transpose", ["c"], ["t"], perm=[0, 2, 1]),
        helper.make_node("Softmax", ["t"], ["y"]),
    ]
    return _model(nodes, SCALES, shape=("N", None, "M"))


def branching() -> onnx.ModelProto:
    """Make an If with a constant condition, whose branches read what is outside."""
    branches = [
        helper.make_graph([helper.make_node(op, ["x"], ["made"])], op, [], [onnx.ValueInfoProto(name="made")])
        for op in ("Relu", "Neg")
    ]
    node = helper.make_node("If", ["flag"], ["y"], then_branch=branches[0], else_branch=branches[1])
    return _model([node], {"flag": np.array(True)})
