"""Finds the types and shapes of all tensors: every node is checked by its operator, in topological order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from qdqnp.errors import Problems
from qdqnp.graph import ONNX, Node, Value
from qdqnp.limits import CONSTANT_USE, CONSTANT_USE_PER_BYTE, bytes_needed
from qdqnp.ops import registry
from qdqnp.ops.node_check import NodeCheck, Refused
from qdqnp.ops.operator import Inferred, Operator, ShapeError
from qdqnp.reader.calls import trimmed
from qdqnp.reader.report import listing
from qdqnp.reader.text import domain_name
from qdqnp.reader.types import Declared, check_declared, fits_limits


def check_operators(nodes: Iterable[Node], broken: Collection[Node], problems: Problems) -> None:
    """Note every operator that qdqnp does not have, with all its nodes."""
    missing: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        if node not in broken and registry.lookup(node.domain, node.op) is None:
            missing.setdefault((node.domain, node.op), []).append(node.label)
    hint = f"Supported: {', '.join(registry.supported())}." if missing else ""
    for (domain, op), labels in missing.items():
        count = "1 node" if len(labels) == 1 else f"{len(labels)} nodes"
        problems.note(
            f"operator {domain_name(domain)}.{op}",
            "an operator that qdqnp supports",
            f"an unsupported one in {count}: {listing(labels)}",
            hint,
        )
        hint = "See the supported operators above."


def _bytes(value: Value) -> int:
    return bytes_needed(value.dtype, value.shape)


class Inference:
    """Finds the types of tensors, from the graph inputs and constants onwards.

    A tensor whose node has a problem stays unknown, and nodes that read it are passed over: their problems would
    only repeat the first one.
    """

    def __init__(
        self,
        values: dict[str, Value],
        declared: Mapping[str, list[Declared]],
        skipped: Collection[Node],
        unknown: Collection[str],
        opsets: Mapping[str, int],
        bad_domains: Collection[str],
        problems: Problems,
    ) -> None:
        self.values = values
        self._declared, self._skipped, self._unknown = declared, skipped, unknown
        self._opset, self._bad_domains, self._problems = opsets.get(ONNX, 1), bad_domains, problems
        self._constants = {name: value for name, value in values.items() if value.const is not None}
        self._use = CONSTANT_USE + CONSTANT_USE_PER_BYTE * sum(map(_bytes, self._constants.values()))

    def run(self, nodes: Iterable[Node]) -> None:
        """Check nodes given in topological order, filling `values`."""
        for node in nodes:
            if self._use < 0:
                self._problems.add(
                    "the graph",
                    "constants that are used a few times each",
                    "far more uses",
                    f"The limit is met at node {node.label}; see SECURITY.md.",
                )
                return
            if self._can_check(node):
                self._check(node)

    def _can_check(self, node: Node) -> bool:
        if node in self._skipped or node.domain in self._bad_domains:
            return False
        return all(name in self.values for name in node.inputs if name)

    def _check(self, node: Node) -> None:
        operator = registry.lookup(node.domain, node.op)
        if operator is None:
            return
        inputs = tuple(self.values[name] if name else None for name in node.inputs)
        self._use -= sum(_bytes(self._constants[name]) for name in node.inputs if name in self._constants)
        check = NodeCheck(node, self._opset, inputs, self._problems)
        before = self._problems.count
        try:
            inferred = self._infer(operator, check)
        except Refused:
            return
        if self._problems.count == before:
            self._keep(node, inferred)

    def _infer(self, operator: Operator, check: NodeCheck) -> Inferred:
        fewest, most = operator.arity
        if not fewest <= len(check.inputs) <= most:
            check.refuse("inputs", f"{fewest}" if fewest == most else f"{fewest} to {most}", len(check.inputs))
        try:
            inferred = operator.infer(check, operator.attributes(check))
        except ShapeError as error:
            check.refuse("input shapes", error.expected, error.got)
        if len(trimmed(check.node.outputs)) > len(inferred):
            check.refuse("outputs", f"at most {len(inferred)}", len(check.node.outputs))
        return inferred

    def _keep(self, node: Node, inferred: Inferred) -> None:
        folds = all(name in self._constants for name in node.inputs if name)
        for name, (dtype, shape) in zip(node.outputs, inferred, strict=False):
            if not name or name in self._unknown:
                continue
            value = Value(name, dtype, shape)
            if fits_limits(value, f"node {node.label}, output '{name}'", self._problems):
                self.values[name] = value
                if folds:
                    self._constants[name] = value
                    self._use -= _bytes(value)
                for declared in self._declared.get(name, ()):
                    check_declared(declared, value, f"what node {node.label} computes", self._problems)
