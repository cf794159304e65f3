"""Writes a model's integers out: weights as int8 codes, and a Q-DQ pair behind each operator that passes codes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from qdqnp.errors import ModelError, Problems
from qdqnp.quant import Array, Float32
from qdqnp.reader.embed import single_file

F = np.float32
#: Operators that sum products with constant weights.
SUMMING = ("Conv", "ConvTranspose", "Gemm")
PAIR = ("QuantizeLinear", "DequantizeLinear")
#: Scales and zero points by tensor: one of each, or one for each channel.
Scales = Mapping[str, tuple[Float32, Array]]


def with_codes(path: Path, scales: Scales) -> bytes:
    """Return a model whose tensors hold codes that its nodes do not show, in QDQ form.

        path: the model's file. Weights and biases are floats.
        scales: of the tensors that hold codes of 8 bits.

    Raises ModelError where a scale is missing, or weights are no codes of their scales.
    """
    model = onnx.ModelProto.FromString(single_file(path))
    problems = Problems()
    made = Rewritten(model.graph, scales, problems)
    nodes = [new for node in model.graph.node for new in made.rewritten(node)]
    problems.raise_if_any(f"a model whose integers cannot be written out: {path}", ModelError)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in made.constants.items())
    return bytes(model.SerializeToString(deterministic=True))


class Rewritten:
    """The nodes of a graph, rewritten one after the other."""

    def __init__(self, graph: onnx.GraphProto, scales: Scales, problems: Problems) -> None:
        self.given = {one.name: one for one in graph.initializer}
        self.outputs = {one.name for one in graph.output}
        self.scales, self.problems = scales, problems
        self.constants: dict[str, Array] = {}
        #: What each tensor of the graph is called behind its Q-DQ pair.
        self.names: dict[str, str] = {}

    def rewritten(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return what stands for a node: itself, behind DequantizeLinears of its constants and before a Q-DQ pair."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        source = node.input[0] if node.input else ""
        copy.input[:] = [self.names.get(name, name) for name in node.input]
        before = self._constants(copy, source) if node.op_type in SUMMING else []
        return [*before, copy, *self._pairs(copy)]

    def _pairs(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Return a Q-DQ pair for each output that holds codes, but that of a Q or DQ itself."""
        made: list[onnx.NodeProto] = []
        if node.op_type in PAIR:
            return made
        for output in node.output:
            given = self.scales.get(output)
            if given is None or given[0].size != 1 or output in self.outputs:
                continue
            scale, zero = (
                self._constant(f"{output}_pair_scale", given[0][0]),
                self._constant(f"{output}_zero", given[1][0]),
            )
            codes, real = f"{output}_codes", f"{output}_of_codes"
            made.append(helper.make_node(PAIR[0], [output, scale, zero], [codes], f"{output}_quantize"))
            made.append(helper.make_node(PAIR[1], [codes, scale, zero], [real], f"{output}_dequantize"))
            self.names[output] = real
        return made

    def _constants(self, node: onnx.NodeProto, source: str) -> list[onnx.NodeProto]:
        """Put int8 codes of the weights, and int32 codes of the bias, in place of the floats."""
        weight, given, into = self.given.get(node.input[1]), self.scales.get(node.input[1]), self.scales.get(source)
        if weight is None or weight.data_type != onnx.TensorProto.FLOAT:
            return []
        if given is None or into is None or into[0].size != 1:
            self.problems.add(f"node {node.name}", "scales of its input and of its weights", "none")
            return []
        attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        axis = int(node.op_type == "ConvTranspose" or (node.op_type == "Gemm" and not attributes.get("transB", 0)))
        values = numpy_helper.to_array(weight)
        made = self._dequantized(node, 1, values, given[0], axis, np.int8)
        if made and len(node.input) > 2 and node.input[2] in self.given:
            unit = np.asarray(into[0][0] * given[0], F)
            made += self._dequantized(node, 2, numpy_helper.to_array(self.given[node.input[2]]), unit, 0, np.int32)
        return made

    def _dequantized(
        self, node: onnx.NodeProto, index: int, values: Array, scale: Float32, axis: int, dtype: Any
    ) -> list[onnx.NodeProto]:
        name, channels = node.input[index], values.shape[axis]
        if scale.size not in (1, channels) or not (scale > 0).all():
            self.problems.add(f"scales of {name}", f"1 or {channels} scales above 0", f"{scale.size}")
            return []
        unit = scale.reshape([-1 if at == axis else 1 for at in range(values.ndim)])
        wide = np.rint(values.astype(np.float64) / unit)
        limits = np.iinfo(dtype)
        codes = np.clip(wide, limits.min, limits.max).astype(dtype)
        if index == 1 and not np.array_equal(codes.astype(F) * unit, values):
            self.problems.add(f"node {node.name}", "weights that are codes times their scales", "other floats")
            return []
        inputs = [
            self._constant(f"{name}_codes", codes),
            self._constant(f"{name}_code_scale", scale.reshape(()) if scale.size == 1 else scale),
        ]
        node.input[index] = f"{name}_of_codes_{node.name}"
        extra: dict[str, Any] = {} if scale.size == 1 else {"axis": axis}
        return [helper.make_node(PAIR[1], inputs, [node.input[index]], f"{name}_dequantize_{node.name}", **extra)]

    def _constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        return name
