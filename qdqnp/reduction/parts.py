"""Cut a model down to some of its nodes: what they read becomes an input, what is left unread an output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import onnx
from onnx import helper, shape_inference

from qdqnp.element_types import NUMBERS
from qdqnp.errors import QdqnpError
from qdqnp.model import load

Types = Mapping[str, onnx.ValueInfoProto]


def types_of(model: onnx.ModelProto) -> Types:
    """Return type and shape of every tensor whose type is known, by name: what the file says, onnx and qdqnp infer."""
    found: dict[str, onnx.ValueInfoProto] = {}
    with suppress(QdqnpError):  # a model that qdqnp does not read may be reduced all the same
        for name, value in load(model.SerializeToString()).graph.values.items():
            if value.dtype in NUMBERS:
                found[name] = helper.make_tensor_value_info(name, NUMBERS[value.dtype], value.shape)
    inferred = model
    with suppress(Exception):  # onnx raises several classes, and knows fewer operators than its own runtimes
        inferred = shape_inference.infer_shapes(model)
    for info in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output):
        if info.type.tensor_type.elem_type:
            known = info.type.tensor_type.HasField("shape")
            if known or info.name not in found:
                found[info.name] = info
    return found


def read_by(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names of the tensors that a node reads, its branches included."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            inner = {name for one in graph.node for name in one.output} | {one.name for one in graph.initializer}
            inner |= {info.name for info in graph.input}
            yield from (name for one in graph.node for name in read_by(one) if name not in inner)
            yield from (info.name for info in graph.output if info.name not in inner)


def part_of(model: onnx.ModelProto, kept: Sequence[int], types: Types) -> onnx.ModelProto | None:
    """Return the model of some nodes alone; None where the type of a new input or output is not known.

    model: the whole model.
    kept: the indices of its nodes, ascending.
    types: type and shape of its tensors.
    """
    graph = model.graph
    nodes = [graph.node[at] for at in kept]
    made = {name for node in nodes for name in node.output if name}
    read = dict.fromkeys(name for node in nodes for name in read_by(node))
    constants = {tensor.name for tensor in graph.initializer}
    sparse = {tensor.values.name for tensor in graph.sparse_initializer}
    inputs = [info.name for info in graph.input if info.name in read and info.name not in constants]
    inputs += [name for name in read if name not in made | constants | sparse and name not in inputs]
    wanted = {info.name for info in graph.output}
    outputs = [name for name in made if name in wanted or name not in read]
    outputs = [name for node in nodes for name in node.output if name in outputs]
    if not outputs or any(name not in types for name in (*inputs, *outputs)):
        return None
    part = onnx.ModelProto()
    part.CopyFrom(model)
    del part.graph.node[:], part.graph.input[:], part.graph.output[:], part.graph.initializer[:]
    del part.graph.sparse_initializer[:]
    part.graph.node.extend(nodes)
    part.graph.input.extend(types[name] for name in inputs)
    part.graph.output.extend(types[name] for name in outputs)
    part.graph.initializer.extend(tensor for tensor in graph.initializer if tensor.name in read)
    part.graph.sparse_initializer.extend(one for one in graph.sparse_initializer if one.values.name in read)
    keep_needed(part)
    return part


def keep_needed(model: onnx.ModelProto) -> None:
    """Leave out what no node needs: other tensors' types, functions and opsets of domains that are not there."""
    graph = model.graph
    there = {name for node in graph.node for name in node.output}
    infos = [info for info in graph.value_info if info.name in there]
    notes = [note for note in graph.quantization_annotation if note.tensor_name in there]
    del graph.value_info[:], graph.quantization_annotation[:]
    graph.value_info.extend(infos)
    graph.quantization_annotation.extend(notes)
    called = {(node.domain, node.op_type) for node in graph.node}
    functions = [one for one in model.functions if (one.domain, one.name) in called]
    if len(functions) < len(model.functions) and not any(
        (node.domain, node.op_type) in {(one.domain, one.name) for one in model.functions}
        for one in functions
        for node in one.node
    ):
        del model.functions[:]
        model.functions.extend(functions)
    domains = {node.domain for node in graph.node} | {""}
    opsets = [opset for opset in model.opset_import if opset.domain in domains]
    if not model.functions:
        del model.opset_import[:]
        model.opset_import.extend(opsets)
