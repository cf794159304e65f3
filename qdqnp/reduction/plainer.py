"""Make what is left of a model plain: constants of one value, short names, no texts."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from qdqnp.quant import Array


def constants_of(model: onnx.ModelProto) -> list[int]:
    """Return the indices of the constants that are not plain yet."""
    arrays = map(numpy_helper.to_array, model.graph.initializer)
    return [at for at, array in enumerate(arrays) if array.size and array.dtype.kind in "iuf" and not _plain(array)]


def _plain(array: Array) -> bool:
    return bool((array == array.reshape(-1)[0]).all()) and array.reshape(-1)[0] in (0, 1)


def with_constant(model: onnx.ModelProto, at: int, value: int) -> onnx.ModelProto:
    """Return the model with one constant filled with a value."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    tensor = made.graph.initializer[at]
    array = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(np.full_like(array, value), tensor.name))
    return made


def without_texts(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model without documentation, metadata, names of nodes, and who made it."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for field in ("producer_name", "producer_version", "domain", "doc_string", "model_version", "metadata_props"):
        made.ClearField(field)
    made.graph.name = "reduced"
    made.graph.ClearField("doc_string")
    for part in (*made.graph.node, *made.graph.initializer, *made.graph.input, *made.graph.output):
        part.ClearField("doc_string")
    for number, node in enumerate(made.graph.node):
        node.name = f"n{number}"
    return made


def renamed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with short names: x0 ... for inputs, c0 ... for constants, t0 ... for what is computed.

    Raises ValueError for a model with branches or functions, whose names are not looked at.
    """
    if model.functions or any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute):
        raise ValueError("names within branches and functions")
    made = onnx.ModelProto()
    made.CopyFrom(model)
    names = dict(_short(made.graph))
    for node in made.graph.node:
        for field in (node.input, node.output):
            for at, name in enumerate(field):
                field[at] = names.get(name, name)
    for part in (*made.graph.input, *made.graph.output, *made.graph.initializer, *made.graph.value_info):
        part.name = names.get(part.name, part.name)
    return made


def _short(graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    constants = [tensor.name for tensor in graph.initializer]
    yield from ((name, f"c{number}") for number, name in enumerate(constants))
    inputs = [info.name for info in graph.input if info.name not in constants]
    yield from ((name, f"x{number}") for number, name in enumerate(inputs))
    computed = [name for node in graph.node for name in node.output if name]
    yield from ((name, f"t{number}") for number, name in enumerate(computed))
