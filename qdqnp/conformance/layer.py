"""A layer under test, and the two models that state it: the integer operator, and the float operator between
DequantizeLinear and QuantizeLinear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from qdqnp.element_types import NUMBERS
from qdqnp.graph import DEVICES, MICROSOFT, ONNX
from qdqnp.lowering.ort.fusions import FUSIONS
from qdqnp.model import load
from qdqnp.quant import Array

INTEGER, QDQ = "integer", "qdq"
#: The inputs of each integer operator in ONNX's order, by the names that a LayerCase gives its arrays: x and w are
#: operands, xs and xz scale and zero point of x, ys and yz those of the output, b is the bias.
INPUTS: Mapping[str, str] = {
    "QLinearConv": "x xs xz w ws wz ys yz b",
    "QLinearMatMul": "x xs xz w ws wz ys yz",
    "QGemm": "x xs xz w ws wz b ys yz",
    "ConvInteger": "x w xz wz",
    "MatMulInteger": "x w xz wz",
    "MatMulIntegerToFloat": "x w xs ws xz wz b",
    "DynamicQuantizeMatMul": "x w ws wz b",
    "QLinearAdd": "x xs xz w ws wz ys yz",
    "QLinearMul": "x xs xz w ws wz ys yz",
    "QLinearConcat": "ys yz x xs xz w ws wz",
    "QLinearWhere": "c x xs xz w ws wz ys yz",
    "QLinearLeakyRelu": "x xs xz ys yz",
    "QLinearSigmoid": "x xs xz ys yz",
    "QLinearSoftmax": "x xs xz ys yz",
    "QLinearAveragePool": "x xs xz ys yz",
    "QLinearGlobalAveragePool": "x xs xz ys yz",
    "QuantizeLinear": "x ys yz",
    "DequantizeLinear": "x xs xz",
}
#: The float operator of each integer operator, as ONNX Runtime fuses it, and as the lowerings of devices do.
FLOAT_OPERATORS: Mapping[str, str] = {
    **{row.integer_op: row.op for row in FUSIONS if row.integer_op != "MatMulNBits"},
    "QLinearSub": "Sub",
    "QLinearTanh": "Tanh",
    "QLinearHardSwish": "HardSwish",
    "QLinearHardSigmoid": "HardSigmoid",
    "QLinearResizeLinear": "Resize",
    "QLinearRequantize": "",
}
#: Attributes of integer operators that their float operators do not have.
_OF_INTEGER_ONLY = ("opset", "channels_last")
#: The first opset whose DequantizeLinear onnx's ReferenceEvaluator knows.
_OPSET, _IR = 19, 9


@dataclass(frozen=True, eq=False)
class LayerCase:
    """One layer: an operator with the arrays of its inputs."""

    #: The integer operator.
    op: str
    domain: str
    #: Every input by the name that INPUTS has for it; a graph input as an array whose dtype and shape count.
    arrays: Mapping[str, Array]
    #: The names of those that are graph inputs.
    fed: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    #: dtype of the output; that of x where it is not said.
    output: Any = None
    #: Further outputs by name, with their dtypes.
    more: Mapping[str, Any] = field(default_factory=dict)
    #: What is special about its parameters, for the name of a case.
    note: str = ""
    #: Further inputs of both operators that are no codes, such as Reshape's shape, by name, in order.
    plain: tuple[str, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the dtype of the output."""
        return np.dtype(self.output) if self.output is not None else self.arrays["x"].dtype

    @property
    def forms(self) -> tuple[str, ...]:
        """Return the forms in which the layer can be stated."""
        integer = () if self.domain == DEVICES else (INTEGER,)
        scaled = self.op in FLOAT_OPERATORS and "xs" in self.arrays
        return (*integer, *((QDQ,) if scaled else ()))

    @property
    def result_is_real(self) -> bool:
        return self.dtype.kind == "f"


def model_of(layer: LayerCase, form: str) -> bytes:
    """Return the model of a layer in one of its forms: x is its first input, y its first output."""
    tensors = load(_built(layer, form, {})).program("ort-unfused").tensors
    return _built(layer, form, {name: tensors[name].shape for name in ("y", *layer.more)})


def _built(layer: LayerCase, form: str, shapes: Mapping[str, Any]) -> bytes:
    """Return the model; the outputs have these shapes, where they are known."""
    nodes = _integer_nodes(layer) if form == INTEGER else _qdq_nodes(layer)
    arrays = dict(layer.arrays)
    if form == QDQ and "b" in arrays:
        arrays["bs"] = np.asarray(arrays["xs"] * arrays["ws"], np.float32)
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        layer.op,
        [_info(name, arrays[name].dtype, arrays[name].shape) for name in layer.fed],
        [_info(name, dtype, shapes.get(name)) for name, dtype in {"y": layer.dtype, **layer.more}.items()],
        [numpy_helper.from_array(np.asarray(arrays[n]), n) for n in arrays if n in used and n not in layer.fed],
    )
    opsets = [helper.make_opsetid(ONNX, _OPSET)]
    if any(node.domain for node in nodes):
        opsets.append(helper.make_opsetid(MICROSOFT, 1))
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="qdqnp conformance")
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _info(name: str, dtype: Any, shape: Sequence[int] | None) -> onnx.ValueInfoProto:
    kind = NUMBERS[np.dtype(dtype)] if np.dtype(dtype) != bool else TensorProto.BOOL
    return helper.make_tensor_value_info(name, kind, shape)


def _integer_nodes(layer: LayerCase) -> list[onnx.NodeProto]:
    wanted = INPUTS[layer.op].split() if layer.op in INPUTS else ["x", *layer.plain]
    names = [name if name in layer.arrays else "" for name in wanted]
    while not names[-1]:
        names.pop()
    outputs = ["y", *layer.more]
    return [helper.make_node(layer.op, names, outputs, layer.op, domain=layer.domain, **layer.attributes)]


def _qdq_nodes(layer: LayerCase) -> list[onnx.NodeProto]:
    op = FLOAT_OPERATORS[layer.op]
    attributes = {key: value for key, value in layer.attributes.items() if key not in _OF_INTEGER_ONLY}
    nodes, real = [], [name for name in ("c",) if name in layer.arrays]
    for name in ("x", "w", "b"):
        if name not in layer.arrays:
            continue
        parameters = [f"{name}s", f"{name}z"] if name != "b" else ["bs"]
        by_channel = name != "x" and layer.arrays["ws"].ndim == 1 if "ws" in layer.arrays else False
        axis = 0 if name == "b" or op == "Conv" or layer.attributes.get("transB") else 1
        more: Mapping[str, Any] = {"axis": axis} if by_channel else {}
        nodes.append(helper.make_node("DequantizeLinear", [name, *parameters], [f"{name}r"], f"{name} real", **more))
        real.append(f"{name}r")
    quantizer = [name for name in ("ys", "yz") if name in layer.arrays]
    made = "yr" if quantizer else "y"
    if op:
        nodes.append(helper.make_node(op, [*real, *layer.plain], [made], op, **attributes))
    if quantizer:
        nodes.append(helper.make_node("QuantizeLinear", ["yr" if op else "xr", *quantizer], ["y"], "y codes"))
    return nodes
