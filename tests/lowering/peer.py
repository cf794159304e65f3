"""ONNX Runtime as the peer of the lowering: its optimized graph, and both graphs in one comparable form."""

from __future__ import annotations

import tempfile
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

from qdqnp.graph import Graph, Node
from tests.lowering.convert import to_graph


def optimized(model: onnx.ModelProto, level: str = "ENABLE_EXTENDED", int8_allowed: bool = True) -> onnx.ModelProto:
    """The graph ONNX Runtime runs at that level."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "optimized.onnx")
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_{level}")
        options.optimized_model_filepath = path
        options.add_session_config_entry("session.qdqisint8allowed", "1" if int8_allowed else "0")
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(path)


# What the session of each lowering is: optimization level, and whether int8 may fuse.
SESSIONS = {
    "ort": ("ENABLE_EXTENDED", True),
    "ort-x64": ("ENABLE_EXTENDED", False),
    "ort-unfused": ("DISABLE_ALL", False),
}


def peer_graph(model: onnx.ModelProto, lowering: str = "ort") -> Graph:
    return to_graph(unfused_float(optimized(model, *SESSIONS[lowering])))


def unfused_float(model: onnx.ModelProto) -> onnx.ModelProto:
    """Float Conv and Gemm with their activation taken out again: they are what is left over, and carry no promise."""
    nodes = []
    for node in model.graph.node:
        if node.op_type not in ("FusedConv", "FusedGemm"):
            nodes.append(node)
            continue
        own = {a.name: a for a in node.attribute}
        kind = helper.get_attribute_value(own.pop("activation")).decode()
        extra = [own.pop(key) for key in list(own) if key.startswith("activation_")]
        numbers = [number for a in extra for number in (a.floats or [a.f])]
        between, bounds = f"{node.output[0]}//float", []
        if kind == "Clip":
            bounds = [f"{between}{at}" for at in range(2)]
            pairs = zip(bounds, numbers, strict=True)
            model.graph.initializer.extend(helper.make_tensor(n, 1, (), [value]) for n, value in pairs)
        split = [helper.make_node(node.op_type.removeprefix("Fused"), node.input, [between])]
        split[0].attribute.extend(own.values())
        split.append(helper.make_node(kind, [between, *bounds], node.output))
        if kind in ("LeakyRelu", "Elu"):
            split[1].attribute.append(helper.make_attribute("alpha", numbers[0]))
        nodes.extend(split)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


EXTREMES = (float(np.finfo(np.float32).min), float(np.finfo(np.float32).max))
NAMELESS = (("", "DequantizeLinear"), ("com.microsoft", "DequantizeLinear"), ("", "Conv"), ("", "Gemm"))
DEFAULTS: dict[str, Any] = {
    "alpha": {"QGemm": 1.0, "QLinearLeakyRelu": 0.01},
    "channels_last": 0,
    "transA": 0,
    "transB": 0,
}


@cache
def defaults(op: str, domain: str, opset: int) -> dict[str, Any]:
    """Attribute values that need not be written: ONNX Runtime writes them all."""
    found = {key: value.get(op) if isinstance(value, dict) else value for key, value in DEFAULTS.items()}
    like = op.removeprefix("QLinear") if domain else op
    try:
        schema = onnx.defs.get_schema(like, opset, "")
    except onnx.defs.SchemaError:
        return found
    for key, attribute in schema.attributes.items():
        if attribute.default_value.type:
            found[key] = onnx.helper.get_attribute_value(attribute.default_value)
    return {key: value.decode() if isinstance(value, bytes) else value for key, value in found.items()}


class Form:
    """Names every tensor by what it is: its own name if the model file has it, else how it is computed."""

    def __init__(self, graph: Graph, known: frozenset[str]) -> None:
        self.graph, self.known = graph, known
        self.cache: dict[str, str] = {}

    def tensor(self, name: str) -> str:
        if name not in self.cache:
            self.cache[name] = self._tensor(name)
        return self.cache[name]

    def _tensor(self, name: str) -> str:
        const = self.graph.constant(name) if name else None
        if const is not None:
            text = str(const.reshape(-1).tolist() if const.size <= 8 else hash(const.tobytes()))
            return f"{const.dtype}{list(const.shape)}{text}"
        node = self.graph.producer(name)
        if not name or node is None:
            return name
        if self.named(name, node):
            return name
        return f"{self.node(node)}#{node.outputs.index(name)}"

    def named(self, name: str, node: Node) -> bool:
        """Not a DQ's output (which of several equal ones keeps the name is arbitrary), nor that of a float layer
        (its name goes when ONNX Runtime appends an activation)."""
        if name in self.graph.output_set:
            return True
        return name in self.known and (node.domain, node.op) not in NAMELESS

    def node(self, node: Node) -> str:
        inputs = list(map(self.tensor, node.inputs))
        if node.op == "MatMulNBits":  # we do not pack its weights as ONNX Runtime does
            return f"MatMulNBits({inputs[0]})"
        if node.op == "Clip":  # absent bounds are the type's extremes, which ONNX Runtime writes out when it fuses
            bounds = zip([*inputs[1:], "", ""], EXTREMES, strict=False)
            inputs = [inputs[0], *(name or f"float32[][{extreme}]" for name, extreme in bounds)]
        while inputs and inputs[-1] == "":
            inputs.pop()
        return f"{node.domain}.{node.op}{self.attributes(node)}({', '.join(inputs)})"

    def attributes(self, node: Node) -> str:
        default_of = defaults(node.op, node.domain, self.graph.opset)
        kept = {}
        for key, value in sorted(node.attributes.items()):
            default = default_of.get(key)
            plain = value.tolist() if hasattr(value, "tolist") else value
            if plain != default:
                kept[key] = round(plain, 6) if isinstance(plain, float) else plain
        kept.pop("output_dtype", None)  # says what the zero point says
        for key, neutral in (("pads", 0), ("strides", 1), ("dilations", 1)):
            if key in kept and set(kept[key]) <= {neutral}:
                del kept[key]
        kept.pop("kernel_shape", None) if "Conv" in node.op else None
        return str(kept) if kept else ""

    def whole(self) -> Counter[str]:
        """Every node with its inputs and outputs; of a DQ, one whatever the number of its copies."""
        found: dict[str, list[str]] = {}
        for node in self.graph.nodes:
            if node.op != "DequantizeLinear" or node.outputs[0] in self.graph.output_set:
                outs = [name if self.named(name, node) else "" for name in node.outputs]
                found.setdefault(self.node(node), []).append(str(outs) if any(outs) else "")
        # Of equal nodes of which one makes a graph output, the others may or may not be merged with that one.
        kept = {text: [outs for outs in every if outs or not any(every)] for text, every in found.items()}
        return Counter(f"{text} -> {outs}" for text, every in kept.items() for outs in every)


def compare(ours: Graph, peer: Graph, original: Graph) -> tuple[Counter[str], Counter[str]]:
    """Nodes that only our graph has, nodes that only the peer's has."""
    known = frozenset(original.values) - repeated(original) - retyped(ours, original)
    one, other = Form(ours, known).whole(), Form(peer, known).whole()
    return one - other, other - one


def retyped(ours: Graph, original: Graph) -> frozenset[str]:
    """Tensors that changed from int8 to uint8: ONNX Runtime gives them new names."""
    both = ours.values.keys() & original.values.keys()
    return frozenset(name for name in both if ours.values[name].dtype != original.values[name].dtype)


def repeated(graph: Graph) -> frozenset[str]:
    """Tensors computed more than once: which of their names remains is arbitrary."""
    form = Form(graph, frozenset())
    texts = {name: form.tensor(name) for node in graph.nodes for name in node.outputs if name}
    count = Counter(texts.values())
    return frozenset(name for name, text in texts.items() if count[text] > 1)
