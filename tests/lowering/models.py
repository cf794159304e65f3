"""A small builder of QDQ models for the tests of this folder."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MS = "com.microsoft"
F = np.float32


class Net:
    """Collects nodes and initializers; every method returns the name of a tensor."""

    def __init__(self, opset: int = 17, seed: int = 0) -> None:
        self.opset, self.rng = opset, np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[str] = []
        self.kinds: dict[str, int] = {}  # element types that ONNX's inference does not find out
        self.count = 0

    def name(self, base: str) -> str:
        self.count += 1
        return f"{base}{self.count}"

    def input(self, shape: tuple[int, ...], dtype: int = TensorProto.FLOAT) -> str:
        name = self.name("in")
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def const(self, array: Any, base: str = "c") -> str:
        name = self.name(base)
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def node(self, op: str, *inputs: str, domain: str = "", outputs: int = 1, **attributes: Any) -> Any:
        names = [self.name(op.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, f"n_{names[0]}", domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def q(self, x: str, scale: Any = 0.05, zero: Any = 0, dtype: Any = np.int8, domain: str = "", **more: Any) -> str:
        inputs = [x, self.const(F(scale))] + ([] if zero is None else [self.const(dtype(zero))])
        name = str(self.node("QuantizeLinear", *inputs, domain=domain, **more))
        self.kinds[name] = helper.np_dtype_to_tensor_dtype(np.dtype(dtype if zero is not None else np.uint8))
        return name

    def dq(self, x: str, scale: Any = 0.05, zero: Any = 0, dtype: Any = np.int8, domain: str = "", **more: Any) -> str:
        inputs = [x, self.const(F(scale))] + ([] if zero is None else [self.const(np.asarray(zero, dtype))])
        name = str(self.node("DequantizeLinear", *inputs, domain=domain, **more))
        self.kinds[name] = TensorProto.FLOAT
        return name

    def qdq(self, x: str, scale: Any = 0.05, zero: Any = 0, dtype: Any = np.int8, domain: str = "") -> str:
        return self.dq(self.q(x, scale, zero, dtype, domain), scale, zero, dtype, domain)

    def codes(self, *shape: int, dtype: Any = np.int8) -> str:
        info = np.iinfo(dtype)
        return self.const(self.rng.integers(info.min, info.max + 1, shape).astype(dtype), "w")

    def weight(self, *shape: int, dtype: Any = np.int8, scale: Any = 0.01, zero: Any = 0, **more: Any) -> str:
        return self.dq(self.codes(*shape, dtype=dtype), scale, zero, dtype, **more)

    def floats(self, *shape: int) -> str:
        return self.const(self.rng.standard_normal(shape).astype(F), "f")

    def output(self, *names: str) -> None:
        self.outputs.extend(names)

    def model(self) -> onnx.ModelProto:
        outs = [helper.make_empty_tensor_value_info(name) for name in self.outputs]
        infos = [helper.make_tensor_value_info(n, k, None) for n, k in self.kinds.items() if n not in self.outputs]
        graph = helper.make_graph(self.nodes, "g", self.inputs, outs, self.constants, value_info=infos)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(MS, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8 if self.opset < 21 else 10)
        inferred = onnx.shape_inference.infer_shapes(model)
        found = {v.name: v.type for v in (*inferred.graph.value_info, *inferred.graph.output)}
        for out in model.graph.output:
            known = found.get(out.name)
            if known is not None and known.tensor_type.elem_type:
                out.type.CopyFrom(known)
            else:
                kind = self.kinds.get(out.name, TensorProto.FLOAT)
                out.CopyFrom(helper.make_tensor_value_info(out.name, kind, None))
        return model
