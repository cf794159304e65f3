"""Examines a node: its attributes, and the types and shapes of its outputs, as far as they are known before a run."""

from __future__ import annotations

from typing import Any

from qdqnp.graph import Shape
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Inferred, Operator


def examine(operator: Operator, check: NodeCheck) -> tuple[Any, Inferred]:
    """Return the node's attributes, and dtype and shape of every output.

    Where the operator was given something in the place of sizes that a run alone knows, the sizes of its outputs are
    unknown; their number is not.

    Raises Refused, after the problem was noted, and ShapeError.
    """
    attributes = operator.attributes(check)
    inferred = operator.infer(check, attributes)
    if check.runtime_sizes and not operator.takes_unknown:
        inferred = tuple((dtype, unknown(shape)) for dtype, shape in inferred)
    return attributes, inferred


def unknown(shape: Shape) -> Shape:
    """Return a shape of the same rank none of whose sizes is known."""
    return (None,) * len(shape)
