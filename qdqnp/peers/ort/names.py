"""Find which tensor of ONNX Runtime's optimized graph is which of qdqnp's tensors.

Tensors of the model file keep their names on both sides. Names that either side made up mean nothing, even where they
are equal: ONNX Runtime numbers them in its own order. Those tensors are paired by what they are made from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import onnx
from onnx import numpy_helper

from qdqnp.program import Program, Step
from qdqnp.quant import Array

Pairs = Mapping[str, tuple[str, ...]]


def pairs(program: Program, graph: onnx.GraphProto, named: Collection[str]) -> Pairs:
    """Return the names in ONNX Runtime's graph for each computed tensor of qdqnp.

        named: the tensors of the model file.

    One name, or several made from the same tensors by the same operator, which hold the same values or cannot be told
    apart. Tensors without a counterpart are missing.
    """
    return _Pairing(program, graph, named).run()


class _Pairing:
    def __init__(self, program: Program, graph: onnx.GraphProto, named: Collection[str]) -> None:
        theirs = {name for node in graph.node for name in node.output if name}
        self._program = program
        self._constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._nodes: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            self._nodes.setdefault(node.op_type, []).append(node)
        ours = {name for step in program.steps for name in step.output_names}
        self._same = ours & theirs & set(named)
        self._found: dict[str, tuple[str, ...]] = {name: (name,) for name in self._same}

    def run(self) -> Pairs:
        for step in self._program.steps:
            if all(name in self._found for name in step.output_names):
                continue
            nodes = self._counterparts(step)
            for at, name in enumerate(step.output_names):
                made = tuple(node.output[at] for node in nodes if at < len(node.output) and node.output[at])
                if made and name not in self._found:
                    self._found[name] = made
        return self._found

    def _counterparts(self, step: Step) -> list[onnx.NodeProto]:
        """Return the nodes of the same operator that read all that the step reads.

        Of these, those with most of its constants; weights may have been converted, so constants only break ties.
        """
        constant = [name for name in step.input_names if self._program.tensors[name].const is not None]
        computed = [self._theirs(name) for name in step.input_names if name not in constant]
        copies = step.op == "DequantizeLinear"  # of several copies, which one keeps the name is arbitrary
        best: list[onnx.NodeProto] = []
        most = 0 if computed else 1  # of constants alone, one must be known
        for node in self._nodes.get(step.op, []):
            reads = set(node.input)
            free = copies or not any(name in self._same for name in node.output)
            if not free or not all(reads & names for names in computed):
                continue
            if step.op == "QuantizeLinear" and not self._same_scale(step, node):
                continue
            common = sum(self._reads_constant(name, node.input) for name in constant)
            if common >= most:
                best = [*(best if common == most else ()), node]
                most = common
        return best

    def _theirs(self, name: str) -> set[str]:
        return {name} if name in self._program.inputs else set(self._found.get(name, ()))

    def _reads_constant(self, name: str, reads: Iterable[str]) -> bool:
        """Tell whether a constant of qdqnp is among these, by its name or its bits."""
        mine = self._program.tensors[name].const
        return any(other == name or _same_bits(mine, self._constants.get(other)) for other in reads)

    def _same_scale(self, step: Step, node: onnx.NodeProto) -> bool:
        quant = step.outputs[0].quant
        return quant is not None and _same_bits(quant.scale, self._constants.get(node.input[1]))


def _same_bits(mine: Array | None, other: Array | None) -> bool:
    if mine is None or other is None:
        return False
    return mine.dtype == other.dtype and mine.size == other.size and mine.tobytes() == other.tobytes()
