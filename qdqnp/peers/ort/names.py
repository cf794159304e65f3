"""Find which tensor of ONNX Runtime's optimized graph is which of qdqnp's tensors.

Most tensors keep their ONNX name. ONNX Runtime renames codes that it turns from int8 to uint8, and of several copies of
a DequantizeLinear an arbitrary one keeps the name. Such tensors are found by what they are made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx
from onnx import numpy_helper

from qdqnp.program import Program, Step

Nodes = dict[str, list[onnx.NodeProto]]


def aliases(program: Program, graph: onnx.GraphProto) -> dict[str, str]:
    """Map our tensors to their names in ONNX Runtime's graph, where these differ; tensors without a counterpart are
    missing.

    A node is the counterpart of a step if it is the same operator, reads all the (renamed) tensors that the step reads,
    and does not compute another tensor of ours. Weights may have been renamed too, so they only break ties.
    """
    theirs = {name for node in graph.node for name in node.output}
    scales = {tensor.name: tensor for tensor in graph.initializer}
    nodes: Nodes = {}
    for node in graph.node:
        nodes.setdefault(node.op_type, []).append(node)
    taken = {name for step in program.steps for name in step.output_names if name in theirs}
    found: dict[str, str] = {}
    for step in program.steps:
        if all(name in theirs for name in step.output_names):
            continue
        node = _counterpart(program, step, nodes.get(step.op, []), found, taken, scales)
        if node is not None:
            names = [name for name in node.output if name]
            found.update((ours, name) for ours, name in zip(step.output_names, names, strict=False) if ours != name)
            taken.update(names)
    return found


def _counterpart(
    program: Program,
    step: Step,
    nodes: Iterable[onnx.NodeProto],
    found: Mapping[str, str],
    taken: set[str],
    initializers: Mapping[str, onnx.TensorProto],
) -> onnx.NodeProto | None:
    computed = {found.get(n, n) for n in step.input_names if program.tensors[n].const is None}
    constant = set(step.input_names) - computed
    copies = step.op == "DequantizeLinear"  # all copies hold the same values: any will do
    best, most = None, -1
    for node in nodes:
        reads = set(node.input)
        if not computed <= reads or (not copies and any(name in taken for name in node.output if name)):
            continue
        if step.op == "QuantizeLinear" and not _same_scale(step, node, initializers):
            continue
        common = len(constant & reads)
        if common > most and (computed or common):
            best, most = node, common
    return best


def _same_scale(step: Step, node: onnx.NodeProto, initializers: Mapping[str, onnx.TensorProto]) -> bool:
    quant, tensor = step.outputs[0].quant, initializers.get(node.input[1])
    if quant is None or tensor is None:
        return False
    return bool(numpy_helper.to_array(tensor).tobytes() == quant.scale.tobytes())
