"""What a lowering is: named passes over a Graph, run in order, with a log of what they left alone and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from qdqnp.errors import Problems
from qdqnp.graph import Graph, Node
from qdqnp.program import Refusal

MAX_ROUNDS = 10  # ONNX Runtime gives up on a fixed point after this many rounds of one level


@dataclass
class Log:
    """Collects why nodes were left as they were; the last word on a node in a pass counts.

    problems: what makes the session that a lowering stands for refuse the model.
    """

    problems: Problems = field(default_factory=Problems)
    _found: dict[tuple[str, str], Refusal] = field(default_factory=dict)

    def refuse(self, node: Node, pass_name: str, reason: str, session: bool = False) -> None:
        self._found[node.label, pass_name] = Refusal(node.label, pass_name, reason, session)

    def settle(self, node: Node, pass_name: str) -> None:
        """The pass did change this node after all, in a later round."""
        self._found.pop((node.label, pass_name), None)

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        return tuple(self._found.values())


PassFunction = Callable[[Graph, Log], Graph]


@dataclass(frozen=True)
class Pass:
    """A named graph rewrite.

    run: returns the graph it was given when it has nothing to do.
    once: whether a repeated group runs it in its first round only.
    about: an operator without which it has nothing to do; '' where there is no such operator.
    """

    name: str
    run: PassFunction
    once: bool = False
    about: str = ""

    def apply(self, graph: Graph, log: Log) -> Graph:
        return graph if self.about and self.about not in graph.ops else self.run(graph, log)


@dataclass(frozen=True)
class Lowering:
    """What is integer at all: the passes that turn the file's graph into the graph that runs.

    int8_allowed: whether operators with signed activations may fuse (ONNX Runtime's session.qdqisint8allowed).
    """

    name: str
    passes: tuple[Pass, ...] = ()
    int8_allowed: bool = True

    def lower_graph(self, graph: Graph) -> tuple[Graph, tuple[Refusal, ...]]:
        """The graph that runs, and why nodes were left alone. Raises ModelError where ONNX Runtime's session of this
        name would refuse the model."""
        log = Log()
        for step in self.passes:
            graph = step.apply(graph, log)
        log.problems.raise_if_any(f"ONNX Runtime's session '{self.name}' refuses the model")
        return graph, log.refusals


def repeat(name: str, passes: tuple[Pass, ...], rounds: int = MAX_ROUNDS) -> Pass:
    """The passes as one, run in turn until a whole round changes nothing or `rounds` are over.

    ONNX Runtime 1.32, core/optimizer/graph_transformer_mgr.cc: each optimization level is such a loop.
    """

    def run(graph: Graph, log: Log) -> Graph:
        for at in range(rounds):
            before = graph
            for step in passes:
                graph = graph if step.once and at else step.apply(graph, log)
            if graph is before or _same(graph, before):
                break
        return graph

    return Pass(name, run)


def _same(one: Graph, other: Graph) -> bool:
    """Whether two graphs have the same nodes by name: passes may undo each other's work within a round."""
    return len(one.nodes) == len(other.nodes) and _wires(one) == _wires(other)


def _wires(graph: Graph) -> set[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    return {(node.domain, node.op, node.inputs, node.outputs) for node in graph.nodes}
