"""Finds the operator for a node. Every module of the rooms below is imported here; operators register themselves."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from qdqnp.graph import Node
from qdqnp.ops import float, integer, logic, movement, sizes
from qdqnp.ops.operator import DEFINED, Operator
from qdqnp.ops.runtime_scales import RuntimeScales, WithRuntimeScales
from qdqnp.ops.runtime_sizes import RuntimeSizes, WithRuntimeSizes
from qdqnp.program import Step

for _room in (float, integer, logic, movement, sizes):
    for _module in pkgutil.iter_modules(_room.__path__, f"{_room.__name__}."):
        import_module(_module.name)

_OPERATORS: dict[tuple[str, str], Operator] = {}


def operators() -> dict[tuple[str, str], Operator]:
    """Return the operators by domain and name; where two have one name, the later definition.

    Raises TypeError, which names what is missing, for an operator that does not define all that one must.
    """
    while DEFINED:
        kind = DEFINED[0]
        _OPERATORS[kind.domain, kind.op] = kind()
        DEFINED.pop(0)
    return _OPERATORS


def lookup(domain: str, op: str) -> Operator | None:
    """Return the operator of that domain ('' is ONNX's own) and name, or None."""
    return operators().get((domain, op))


def operator_for(node: Node) -> Operator | None:
    """Return the operator of a node: the one that was given for its load, or the registered one; None without one."""
    given: Operator | None = node.given
    return given if given is not None else lookup(node.domain, node.op)


def operator_of(step: Step) -> Operator:
    """Return the operator that runs a step of a program."""
    found: Operator = operators()[step.domain, step.op] if step.given is None else step.given
    if isinstance(step.attributes, RuntimeSizes):
        return WithRuntimeSizes(found)
    return WithRuntimeScales(found) if isinstance(step.attributes, RuntimeScales) else found


def rule_of(op: str) -> str:
    """Return the field of a profile that decides the codes of an operator, by its name; '' where none does."""
    return next((operator.rule for (_, name), operator in operators().items() if name == op), "")


def operators_of(rule: str) -> list[str]:
    """Return the names of the operators whose codes a field of a profile decides."""
    return [operator.op for operator in operators().values() if operator.rule == rule]


def supported() -> list[str]:
    """Return the names of all supported operators; those outside ONNX's domain come with their domain."""
    return sorted(f"{domain}.{op}" if domain else op for domain, op in operators())
