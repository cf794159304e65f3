"""Equal small constants become one."""

from __future__ import annotations

from typing import Any

from qdqnp.graph import Graph
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_shared


def share_constants(graph: Graph, log: Log) -> Graph:
    """Whoever reads one of several equal constants of few elements reads the first; 8-bit ones stay apart.

    Matters because nodes that read the same are merged (`cse`). ONNX Runtime 1.32, core/optimizer/
    constant_sharing.cc (ConstantSharing), which runs once: constants made later stay apart.
    """
    edit = Edit(graph)
    first: dict[Any, str] = {}
    for name, value in graph.values.items():
        const = value.const
        if const is None or not is_shared(const) or edit.is_output(name) or not edit.uses(name):
            continue
        one = first.setdefault((str(const.dtype), const.shape, const.tobytes()), name)
        if one != name:
            edit.redirect(name, one)
    return edit.done()
