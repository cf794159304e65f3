"""Finds the types and shapes of all tensors: every node is checked by its operator, in topological order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from qdqnp.element_types import DTYPES
from qdqnp.errors import Problems, shorten
from qdqnp.graph import ONNX, Node, Value
from qdqnp.limits import CONSTANT_USE, CONSTANT_USE_PER_BYTE, TRIALS_BYTES, bytes_needed, readable_bytes
from qdqnp.ops import registry
from qdqnp.ops.examine import examine
from qdqnp.ops.given import INFER, GivenOperator
from qdqnp.ops.known import Knowledge
from qdqnp.ops.node_check import NodeCheck, Refused
from qdqnp.ops.operator import Inferred, Operator, ShapeError
from qdqnp.ops.unsupported import why_not
from qdqnp.quant import Array
from qdqnp.reader.calls import trimmed
from qdqnp.reader.report import listing
from qdqnp.reader.schema import check_version
from qdqnp.reader.types import Declared, check_declared, fits_limits

# Nodes that are named of each operator, and operators that are named in one advice.
NODES_NAMED = 3
OPERATORS_NAMED = 4


def check_operators(nodes: Iterable[Node], broken: Collection[Node], problems: Problems) -> list[Node]:
    """Return the nodes whose operator qdqnp does not have; note each such operator once, and what helps."""
    found = [node for node in nodes if node not in broken and registry.operator_for(node) is None]
    missing: dict[tuple[str, str], list[str]] = {}
    for node in found:
        missing.setdefault((node.domain, node.op), []).append(node.label)
    for key, labels in missing.items():
        count = "1 node" if len(labels) == 1 else f"{len(labels)} nodes"
        named = listing(labels, NODES_NAMED)
        problems.note(f"operator {_name(*key)}", "one that qdqnp has", f"{count}: {named}")
    helps: dict[str, list[str]] = {}
    for key in missing:
        helps.setdefault(why_not(*key).help, []).append(shorten(_name(*key), 80))
    problems.advice += [f"{listing(names, OPERATORS_NAMED)}: {help_}" for help_, names in helps.items()]
    if found:
        problems.advice.append("`qdqnp operators` lists what there is, and why others are not")
    return found


def advise_cut(
    ordered: Iterable[Node],
    missing: Collection[Node],
    inputs: Sequence[str],
    names: Collection[str],
    problems: Problems,
) -> None:
    """Say how to cut the model in front of the nodes whose operator is missing, where something is left of it.

    ordered: all nodes in topological order.
    inputs: the graph's inputs.
    names: the tensors that have a name in the file.
    """
    behind: set[str] = set()
    made: set[str] = set()
    ends: dict[str, None] = {}
    for node in ordered:
        if node in missing:
            ends.update(dict.fromkeys(name for name in node.inputs if name in made and name in names))
        if node in missing or not behind.isdisjoint(node.inputs):
            behind.update(node.outputs)
        else:
            made.update(node.outputs)
    if missing and 0 < len(ends) <= OPERATORS_NAMED and len(inputs) <= OPERATORS_NAMED:
        shown = [shorten(name, 80) for name in ends]
        problems.advice.append(
            f"the part in front of them: qdqnp.load(MODEL, outputs={shown}), or --outputs {','.join(shown)}"
        )


def _name(domain: str, op: str) -> str:
    return f"{domain}.{op}" if domain else op


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
        self._knowledge = Knowledge()
        self._trials = TRIALS_BYTES
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
        operator = registry.operator_for(node)
        if operator is None:
            self._assume(node)
            return
        inputs = tuple(self.values[name] if name else None for name in node.inputs)
        self._use -= sum(_bytes(self._constants[name]) for name in node.inputs if name in self._constants)
        if isinstance(operator, GivenOperator) and not self._may_try(operator, node, inputs):
            return
        check = NodeCheck(node, self._opset, inputs, self._problems)
        before = self._problems.count
        try:
            inferred, known = self._infer(operator, check)
        except Refused:
            return
        check_version(node, inputs, self._opset, self._problems)
        if self._problems.count == before:
            self._keep(node, inferred, known)

    def _may_try(self, operator: GivenOperator, node: Node, inputs: Sequence[Value | None]) -> bool:
        """Tell whether there is room for the trial of an operator that was given, and note it where there is none."""
        before = self._trials
        self._trials -= sum(_bytes(value) for value in inputs if value is not None) if operator.is_tried else 0
        if before >= 0 > self._trials:
            expected = (
                f"inputs of at most {readable_bytes(TRIALS_BYTES)} in all for trials of operators that were given"
            )
            hint = f"Let the operators say dtype and shape themselves: {INFER}."
            self._problems.add(f"node {node.label}, operator", expected, "more", hint)
        return self._trials >= 0

    def _assume(self, node: Node) -> None:
        """Take the declarations of a missing operator's float32 outputs as true, so that what reads them is checked."""
        for name in node.outputs:
            for declared in self._declared.get(name, ())[:1]:
                dtype, shape = DTYPES.get(declared.element or 0), declared.shape
                if name not in self._unknown and dtype == np.float32 and shape is not None:
                    value = Value(name, dtype, shape)
                    if fits_limits(value, declared.where, self._problems):
                        self.values[name] = value

    def _infer(self, operator: Operator, check: NodeCheck) -> tuple[Inferred, list[Array | None]]:
        """Return dtype and shape of the outputs, and what is known of their elements."""
        fewest, most = operator.arity
        if not fewest <= len(check.inputs) <= most:
            check.refuse("inputs", f"{fewest}" if fewest == most else f"{fewest} to {most}", len(check.inputs))
        try:
            attributes, inferred = examine(operator, check)
        except ShapeError as error:
            check.refuse("input shapes", error.expected, error.got)
        if len(trimmed(check.node.outputs)) > len(inferred):
            check.refuse("outputs", f"at most {len(inferred)}", len(check.node.outputs))
        return inferred, self._knowledge.of(operator, check, attributes, inferred)

    def _keep(self, node: Node, inferred: Inferred, known: Sequence[Array | None]) -> None:
        folds = all(name in self._constants for name in node.inputs if name)
        for name, (dtype, shape), elements in zip(node.outputs, inferred, known, strict=False):
            if not name or name in self._unknown:
                continue
            value = Value(name, dtype, shape, None, elements)
            if fits_limits(value, f"node {node.label}, output '{name}'", self._problems):
                self.values[name] = value
                if folds:
                    self._constants[name] = value
                    self._use -= _bytes(value)
                for declared in self._declared.get(name, ()):
                    check_declared(declared, value, f"what node {node.label} computes", self._problems)
