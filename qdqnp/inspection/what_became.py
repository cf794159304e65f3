"""Say in a sentence what a lowering made of each node of the model file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qdqnp.graph import Graph, Node
from qdqnp.program import Program, Step


@dataclass(frozen=True)
class Fate:
    """What became of one node."""

    #: The node's label.
    node: str
    #: The node's operator in the file.
    op: str
    #: What runs in its place, or why it was left unchanged.
    became: str


def fates(graph: Graph, program: Program) -> list[Fate]:
    """List the fate of every node of the file's graph, in its order."""
    steps: dict[str, list[Step]] = {}
    for step in program.steps:
        for label in dict.fromkeys(step.origin):
            steps.setdefault(label, []).append(step)
    reasons = {refusal.node: refusal.reason for refusal in program.refusals}
    return [Fate(node.label, node.op, _became(node, steps, reasons, program)) for node in graph.nodes]


def counts(program: Program) -> Mapping[str, int]:
    """Count the steps of each operator, by name."""
    return dict(sorted(Counter(step.op for step in program.steps).items()))


def _became(node: Node, steps: Mapping[str, Sequence[Step]], reasons: Mapping[str, str], program: Program) -> str:
    mine = steps.get(node.label, [])
    if not mine:
        return "gone: what follows implies it, it passes its input on, or its result is a constant"
    own = [step for step in mine if step.label == node.label]
    parts = [step for step in mine if step.label != node.label]
    said = list(dict.fromkeys(_own(node, step, reasons, program) for step in own))
    if parts:
        named = list(dict.fromkeys(f"{step.op} '{step.label}'" for step in parts))
        said.append("part of " + ", ".join(named))
    return "; ".join(said)


def _own(node: Node, step: Step, reasons: Mapping[str, str], program: Program) -> str:
    reason = reasons.get(node.label, "")
    if step.op != node.op:
        return f"becomes {step.op}"
    if step.quantizes or step.dequantizes:
        return _conversion(step, reason, program)
    read = [program.tensors[name].dtype for name in step.input_names[:1]]
    if read and read[0].kind in "iu":
        return "runs on codes"
    return f"stays float: {reason}" if reason else "stays float: no integer operator is made of it"


def _conversion(step: Step, reason: str, program: Program) -> str:
    codes = program.tensors[(step.output_names if step.quantizes else step.input_names)[0]]
    shift = f", its {codes.file_dtype} codes as {codes.dtype}" if codes.file_dtype is not None else ""
    return "stays" + shift + (f": {reason}" if reason else "")
