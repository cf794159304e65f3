"""Examines a node: its attributes, and the types and shapes of its outputs, as far as they are known before a run."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.errors import Problems
from qdqnp.graph import Shape, Value, frozen
from qdqnp.ops.node_check import FLOAT32, NodeCheck, Refused
from qdqnp.ops.operator import Inferred, Operator, ShapeError

HALF = np.dtype(np.float16)
#: Operators that read float32 beside float16: sizes and regions.
MIXED = ("Resize",)


def examine(operator: Operator, check: NodeCheck) -> tuple[Any, Inferred]:
    """Return the node's attributes, and dtype and shape of every output.

    Where the operator was given something in the place of sizes that a run alone knows, the sizes of its outputs are
    unknown; their number is not. An operator that takes float32 where the node has float16 makes float16 of it: a
    lowering puts Casts around the node.

    Raises Refused, after the problem was noted, and ShapeError.
    """
    wide = float32_for_half(operator, check)
    if wide is None:
        return examine_as_it_is(operator, check)
    wide.problems = check.problems
    attributes, inferred = examine_as_it_is(operator, wide)
    check.runtime_sizes, check.runtime_scales = wide.runtime_sizes, wide.runtime_scales
    return attributes, tuple((HALF if dtype == FLOAT32 else dtype, shape) for dtype, shape in inferred)


def examine_as_it_is(operator: Operator, check: NodeCheck) -> tuple[Any, Inferred]:
    """Do what `examine` does for an operator that takes the types that the node has."""
    attributes = operator.attributes(check)
    inferred = operator.infer(check, attributes)
    if check.runtime_sizes and not operator.takes_unknown:
        inferred = tuple((dtype, unknown(shape)) for dtype, shape in inferred)
    return attributes, inferred


def float32_for_half(operator: Operator, check: NodeCheck) -> NodeCheck | None:
    """Return the check of the node with float32 in the place of float16, where the operator takes that alone.

    None where it takes the node as it is, and where it takes neither. Problems are noted in a list of its own.
    """
    dtypes = {value.dtype for value in check.inputs if value is not None}
    if HALF not in dtypes or (FLOAT32 in dtypes and operator.op not in MIXED):
        return None
    for inputs, answers in ((check.inputs, False), (tuple(map(_widened, check.inputs)), True)):
        try:
            examine_as_it_is(operator, NodeCheck(check.node, check.opset, inputs, Problems()))
        except Refused:
            continue
        except ShapeError:  # of which the caller hears
            pass
        return NodeCheck(check.node, check.opset, inputs, Problems()) if answers else None
    return None


def _widened(value: Value | None) -> Value | None:
    if value is None or value.dtype != HALF:
        return value
    const = None if value.const is None else frozen(value.const.astype(np.float32))
    return Value(value.name, FLOAT32, value.shape, const)


def unknown(shape: Shape) -> Shape:
    """Return a shape of the same rank none of whose sizes is known."""
    return (None,) * len(shape)
