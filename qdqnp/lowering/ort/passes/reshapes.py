"""Reshapes one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op


def reshapes(graph: Graph, log: Log) -> Graph:
    """A Reshape and the Reshapes, Squeezes and Unsqueezes that alone read each other behind it become one Reshape.

    Changes no number by itself, but a single Reshape can fuse with the Q and DQ around it. ONNX Runtime 1.32,
    core/optimizer/reshape_fusion.cc (ReshapeFusion); the rest of it needs Shape nodes.
    """
    edit = Edit(graph)
    for first in edit.nodes():
        if is_op(first, "Reshape") and not first.attributes.get("allowzero", 0):
            _fuse(edit, first)
    return edit.done()


def _fuse(edit: Edit, first: Node) -> None:
    chain = [first]
    while (after := edit.only_user(chain[-1])) is not None and is_op(after, "Reshape", "Squeeze", "Unsqueeze"):
        if after.attributes.get("allowzero", 0) or not all(isinstance(d, int) for d in _shape(edit, after)):
            break
        chain.append(after)
    shape: Any = _shape(edit, chain[-1])
    if len(chain) > 1 and 0 not in shape:
        name = edit.add_constant(f"{first.label}_new_shape", np.array(shape, np.int64))
        origin = tuple(label for node in chain for label in node.origins)
        edit.replace(chain, first.with_(inputs=(first.input(0), name), outputs=chain[-1].outputs, origin=origin))


def _shape(edit: Edit, node: Node) -> tuple[Any, ...]:
    return edit.values[node.outputs[0]].shape
