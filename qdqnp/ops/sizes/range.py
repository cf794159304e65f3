"""Range counts from a start up to a limit, adding delta again and again, as ONNX Runtime 1.32 does."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Dim, Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Operand, Step
from qdqnp.quant import Array

DTYPES = (np.float32, np.float64, np.int16, np.int32, np.int64)


@dataclass(frozen=True)
class RangeAttributes:
    #: What is counted from, and by; 0 and 1 where they are not known.
    _start: float = 0
    _delta: float = 1
    #: How many numbers there are.
    _count: Dim = 0


class Counting(Operator):
    """(start, limit, delta), one number each."""

    op = "Range"
    only = "also of float64, int16, int32, int64"
    arity = (3, 3)
    Attributes = RangeAttributes
    takes_unknown = True

    def attributes(self, check: NodeCheck) -> Any:
        given: RangeAttributes = super().attributes(check)
        dtype = check.dtype_in(0, DTYPES, "start")
        numbers = []
        for index, what in enumerate(("start", "limit", "delta")):
            check.dtype_in(index, (dtype,), what)
            if any(size != 1 for size in check.value(index).shape):
                check.refuse(f"input {index} ({what})", "one number", f"shape {list(check.value(index).shape)}")
            numbers.append(check.late(index, what).reshape(-1)[0])
        start, limit, delta = numbers
        if delta == 0:
            check.refuse("input 2 (delta)", "a step other than 0", delta)
        if check.runtime_sizes:
            return replace(given, _count=limit if isinstance(limit, str) and (start, delta) == (0, 1) else None)
        return replace(given, _start=start, _delta=delta, _count=_count(check, start, limit, delta, dtype))

    def infer(self, check: NodeCheck, attributes: RangeAttributes) -> Inferred:
        return ((check.value(0).dtype, (attributes._count,)),)

    def step(self, check: NodeCheck, attributes: RangeAttributes) -> Step:
        typed = check.value(0).dtype.type
        given = replace(attributes, _start=typed(attributes._start), _delta=typed(attributes._delta))
        return self.make_step(check, given, (), (Operand(check.node.outputs[0]),))

    def shapes(self, attributes: RangeAttributes, *inputs: Shape) -> tuple[Shape, ...]:
        return ((attributes._count,),)

    def compute(self, binding: Binding, *inputs: Array) -> tuple[Array, ...]:
        attributes: RangeAttributes = binding.step.attributes
        start: Any = attributes._start
        assert isinstance(attributes._count, int)
        steps = np.full(attributes._count, attributes._delta, start.dtype)
        steps[:1] = start
        return (np.add.accumulate(steps, dtype=start.dtype),)

    def origin(self, step: Step, output: int, index: Index, *inputs: Array) -> Any:
        return 0  # it is filled in


def _count(check: NodeCheck, start: float, limit: float, delta: float, dtype: np.dtype[Any]) -> int:
    """Return ceil((limit - start) / delta), at least 0; of floats in float64."""
    if dtype.kind == "i":
        return max(0, -((int(start) - int(limit)) // int(delta)))
    steps = (float(limit) - float(start)) / float(delta)
    if not math.isfinite(steps) or steps >= 2**62:
        check.refuse("inputs start, limit and delta", "finite numbers", [start, limit, delta])
    return max(0, math.ceil(steps))
