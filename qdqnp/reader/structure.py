"""Checks names and order: every tensor is made only once, all that is read is made, and nothing waits for itself."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

from qdqnp.errors import Problems, shorten
from qdqnp.graph import Node
from qdqnp.reader.report import listing


class Definitions:
    """Which part of the file makes each tensor. The first part counts; a second one is a problem."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._by: dict[str, str | Node] = {}
        self.ambiguous: set[str] = set()

    def define(self, name: str, by: str | Node) -> None:
        """Note that `by` (a node, or words such as "a graph input") makes the tensor `name`."""
        if name not in self._by:
            self._by[name] = by
            return
        self.ambiguous.add(name)
        self._problems.add(
            f"tensor '{shorten(name)}'",
            "one origin",
            f"{_origin(self._by[name])} and {_origin(by)}",
            "Tensor names must be unique in a model.",
        )

    def __contains__(self, name: str) -> bool:
        return name in self._by

    def maker(self, name: str) -> Node | None:
        """Return the node that makes a tensor; None for other tensors."""
        by = self._by.get(name)
        return by if isinstance(by, Node) else None


def _origin(by: str | Node) -> str:
    return f"node {shorten(by.label, 80)}" if isinstance(by, Node) else by


def define_outputs(nodes: Iterable[Node], definitions: Definitions) -> None:
    """Enter all outputs of nodes."""
    for node in nodes:
        for name in node.outputs:
            if name:
                definitions.define(name, node)


def check_uses(nodes: Iterable[Node], outputs: Sequence[str], definitions: Definitions, problems: Problems) -> None:
    """Note inputs of nodes and graph outputs that nothing makes."""
    expected = "a tensor that a node, an initializer or a graph input makes"
    for node in nodes:
        for index, name in enumerate(node.inputs):
            if name and name not in definitions:
                problems.add(f"node {node.label}, input {index}", expected, f"'{name}', which nothing makes")
    for name in outputs:
        if name not in definitions:
            problems.add(f"graph output '{name}'", expected, "a name that nothing makes")


def order(nodes: Sequence[Node], definitions: Definitions, problems: Problems) -> list[Node]:
    """Return the nodes in topological order, as near to the file's as possible, without those in or behind a cycle."""
    index_of = {node: index for index, node in enumerate(nodes)}
    makers = {node: _makers(node, definitions) for node in nodes}
    waiting = {node: len(found) for node, found in makers.items()}
    readers: dict[Node, list[Node]] = {}
    for node, found in makers.items():
        for maker in found:
            readers.setdefault(maker, []).append(node)
    ready = [index_of[node] for node in nodes if not waiting[node]]
    ordered: list[Node] = []
    while ready:
        node = nodes[heapq.heappop(ready)]
        ordered.append(node)
        for reader in readers.get(node, ()):
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, index_of[reader])
    if len(ordered) < len(nodes):
        _report_cycle({node for node in nodes if waiting[node]}, makers, problems)
    return ordered


def _makers(node: Node, definitions: Definitions) -> list[Node]:
    """Return the nodes that must come before this one, each only once and in the order of its inputs."""
    found = dict.fromkeys(definitions.maker(name) for name in node.inputs if name)
    return [maker for maker in found if maker is not None]


def _report_cycle(stuck: set[Node], makers: Mapping[Node, list[Node]], problems: Problems) -> None:
    """Report one cycle: each stuck node waits for a stuck node, so walking backwards from any of them ends in one."""
    node = next(node for node in makers if node in stuck)  # makers has the file's order
    path: dict[Node, None] = {}
    while node not in path:
        path[node] = None
        node = next(maker for maker in makers[node] if maker in stuck)
    walked = list(path)
    first, *before = walked[walked.index(node) :]
    labels = listing([node.label for node in (first, *reversed(before))])
    problems.note(
        "the graph",
        "no cycle",
        f"nodes that wait for each other: {labels}",
        "The file is damaged, or a name is used twice.",
    )
