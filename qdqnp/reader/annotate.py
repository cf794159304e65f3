"""Writes facts beside the nodes of a model, as ONNX's metadata_props, which Netron shows; nothing else is changed."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from qdqnp.reader.embed import single_file
from qdqnp.reader.proto import Source


def annotated(source: Source, facts: Mapping[str, Mapping[str, str]]) -> bytes:
    """Return a model as one file, with facts beside its nodes.

        source: the model.
        facts: by the node's label (its name, or its operator with its first output), what is said of it.

    Raises ModelError where the model cannot be read, or would not fit in one file.
    """
    model = onnx.ModelProto.FromString(single_file(source))
    for node in model.graph.node:
        first = next((name for name in node.output if name), "")
        for key, value in facts.get(node.name or f"{node.op_type}({first})", {}).items():
            node.metadata_props.add(key=key, value=value)
    return bytes(model.SerializeToString(deterministic=True))
