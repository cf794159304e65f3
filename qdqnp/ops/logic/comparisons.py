"""Comparisons, logic and bits, element by element; each is one row of the table. All of them are exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.ops.float.elementwise import FLOATS, INTEGERS, NUMBERS, Broadcast, binary, unary, with_attributes
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred
from qdqnp.quant import Array

BOOL = np.bool_
UNSIGNED = tuple(kind for kind in INTEGERS if np.dtype(kind).kind == "u")


@dataclass(frozen=True)
class IsInfAttributes:
    detect_negative: int = 1
    detect_positive: int = 1


def is_inf(x: Array, attributes: IsInfAttributes) -> Array:
    """Tell of each element whether it is one of the infinities that are looked for."""
    found = np.isposinf(x) & bool(attributes.detect_positive)
    return np.asarray(found | (np.isneginf(x) & bool(attributes.detect_negative)))


@dataclass(frozen=True)
class BitShiftAttributes:
    direction: str = ""


class BitShift(Broadcast):
    """Shifts unsigned integers; a shift by all bits or more gives 0."""

    op = "BitShift"
    Attributes = BitShiftAttributes
    dtypes = UNSIGNED

    def infer(self, check: NodeCheck, attributes: BitShiftAttributes) -> Inferred:
        if attributes.direction not in ("LEFT", "RIGHT"):
            check.refuse("attribute 'direction'", "LEFT or RIGHT", repr(attributes.direction))
        return super().infer(check, attributes)

    def apply(self, a: Array, b: Array) -> Array:
        raise NotImplementedError  # it depends on the direction

    def compute(self, binding: Binding, a: Array, b: Array) -> tuple[Array, ...]:
        shift = np.left_shift if binding.step.attributes.direction == "LEFT" else np.right_shift
        bits = 8 * a.dtype.itemsize
        return (np.where(b < bits, shift(a, np.minimum(b, a.dtype.type(bits - 1))), a.dtype.type(0)),)


IsInf: Any = with_attributes("IsInf", is_inf, IsInfAttributes, *FLOATS, result=BOOL)

#: The operators of this file.
OPERATORS = (
    binary("Equal", np.equal, *NUMBERS, BOOL, result=BOOL),
    binary("Greater", np.greater, *NUMBERS, result=BOOL),
    binary("GreaterOrEqual", np.greater_equal, *NUMBERS, result=BOOL),
    binary("Less", np.less, *NUMBERS, result=BOOL),
    binary("LessOrEqual", np.less_equal, *NUMBERS, result=BOOL),
    binary("And", np.logical_and, BOOL),
    binary("Or", np.logical_or, BOOL),
    binary("Xor", np.logical_xor, BOOL),
    unary("Not", np.logical_not, BOOL),
    unary("IsNaN", np.isnan, *FLOATS, result=BOOL),
    IsInf,
    binary("BitwiseAnd", np.bitwise_and, *INTEGERS),
    binary("BitwiseOr", np.bitwise_or, *INTEGERS),
    binary("BitwiseXor", np.bitwise_xor, *INTEGERS),
    unary("BitwiseNot", np.invert, *INTEGERS),
    BitShift,
)
