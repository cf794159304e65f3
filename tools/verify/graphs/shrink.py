"""Shrink a graph that differs, and print what is left."""

from __future__ import annotations

from collections.abc import Callable

import onnx
from onnx import helper

from tools.verify.graphs.genes import Genome


def shrink(given: Genome, fails: Callable[[Genome], bool]) -> Genome:
    """Leave genes out, from the last on, while the difference stays."""
    again = True
    while again:
        again = False
        for at in reversed(range(len(given.genes))):
            smaller = Genome(given.seed, (*given.genes[:at], *given.genes[at + 1 :]))
            if fails(smaller):
                given, again = smaller, True
    return given


def listing(model: onnx.ModelProto) -> str:
    constants = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    lines = [f"    opset {model.opset_import[0].version}, outputs {[output.name for output in model.graph.output]}"]
    for node in model.graph.node:
        read = [f"{name}{constants.get(name, '')}" for name in node.input]
        more = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        lines.append(f"    {', '.join(node.output)} = {node.op_type}({', '.join(read)}) {more or ''}")
    return "\n".join(lines)
