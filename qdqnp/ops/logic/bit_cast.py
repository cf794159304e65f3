"""BitCast reads the bits of its elements as those of another type of the same width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.element_types import DTYPES, PACKED
from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array

#: Types of whole bytes all of whose bits are numbers.
WHOLE = {number: dtype for number, dtype in DTYPES.items() if dtype not in PACKED and dtype != np.bool_}


@dataclass(frozen=True)
class BitCastAttributes:
    to: int = 0


class BitCast(Operator):
    op = "BitCast"
    only = "types of whole bytes"
    Attributes = BitCastAttributes
    elementwise = True

    def infer(self, check: NodeCheck, attributes: BitCastAttributes) -> Inferred:
        dtype = check.dtype_in(0, tuple(WHOLE.values()), "x")
        target = WHOLE.get(attributes.to)
        if target is None or target.itemsize != dtype.itemsize:
            fits = [f"{number} ({other})" for number, other in WHOLE.items() if other.itemsize == dtype.itemsize]
            check.refuse("attribute 'to'", f"a type of {8 * dtype.itemsize} bits: {', '.join(fits)}", attributes.to)
        return ((target, check.value(0).shape),)

    def shapes(self, attributes: BitCastAttributes, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        return (np.array(x).view(WHOLE[binding.step.attributes.to]),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return x[index]
