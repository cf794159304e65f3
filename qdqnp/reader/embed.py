"""Writes a model as the bytes of one file: external data moves inside, so that reading needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import onnx

from qdqnp.errors import ModelError, Problem, Problems
from qdqnp.files.regular import read_bytes
from qdqnp.limits import MAX_FILE_BYTES, readable_bytes
from qdqnp.reader.external import ExternalData
from qdqnp.reader.proto import Source, open_model
from qdqnp.reader.tensors import read_tensor


def single_file(source: Source) -> bytes:
    """Return the model as it was given where it is in one file already; else the same with its external data inside.

    Raises ModelError where the model cannot be read, or would not fit in one file.
    """
    opened = open_model(source)
    outside = [tensor for tensor in _tensors(opened.model) if tensor.data_location == onnx.TensorProto.EXTERNAL]
    if not outside and isinstance(source, (str, os.PathLike)):
        return read_bytes(Path(source), MAX_FILE_BYTES)
    if not outside and isinstance(source, bytes):
        return source
    model = onnx.ModelProto()
    model.CopyFrom(opened.model)
    problems = Problems()
    data, size = ExternalData(opened.folder, problems), 0
    for tensor in _tensors(model):
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        array = read_tensor(tensor, f"tensor '{tensor.name}'", data, problems)
        if array is not None and (size := size + array.nbytes) <= MAX_FILE_BYTES:
            tensor.raw_data = array.astype(array.dtype.newbyteorder("<")).tobytes()
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
    problems.raise_if_any(f"cannot read the data of {opened.name}", ModelError)
    if size > MAX_FILE_BYTES or model.ByteSize() > MAX_FILE_BYTES:
        problem = Problem(opened.name, f"at most {readable_bytes(MAX_FILE_BYTES)} with its data", readable_bytes(size))
        raise ModelError("the model does not fit in one file", [problem])
    return bytes(model.SerializeToString(deterministic=True))


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of the model that may lie outside: initializers, and attributes of nodes and functions."""
    yield from model.graph.initializer
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
