"""Operators on pairs of codes: (a, a_scale, a_zp, b, b_scale, b_zp, y_scale, y_zp)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape, Sizes
from qdqnp.numerics.questions import Pairs
from qdqnp.ops.geometry.broadcast import broadcast_shapes
from qdqnp.ops.integer.asking import IntegerOperator, Part
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Inferred
from qdqnp.program import Operand, Step
from qdqnp.quant import ACTIVATIONS, Codes, Quant


class PairwiseOperator(IntegerOperator):
    domain = MICROSOFT
    arity = (7, 8)
    asks = Pairs

    def swaps(self, a: Shape, b: Shape) -> bool:
        """Tell whether the operator exchanges its operands for arrays of these shapes."""
        return False

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        dtype = check.dtype_in(0, ACTIVATIONS, "a")
        check.dtype_in(3, (dtype,), "b")
        if not all(quant.per_tensor for quant in self._quants(check)):
            check.refuse("scales", "one value each", "several")
        return ((dtype, broadcast_shapes([check.value(0).shape, check.value(3).shape])),)

    def _quants(self, check: NodeCheck) -> tuple[Quant, Quant, Quant]:
        dtype = check.value(0).dtype
        return check.quant(1, 2, dtype), check.quant(4, 5, dtype), check.quant(6, 7, dtype)

    def step(self, check: NodeCheck, attributes: Any) -> Step:
        a, b, y = self._quants(check)
        operands = (Operand(check.node.inputs[0], a), Operand(check.node.inputs[3], b))
        return self.make_step(check, attributes, operands, (Operand(check.node.outputs[0], y),))

    def shapes(self, attributes: Any, a: Shape, b: Shape) -> tuple[Shape, ...]:
        return (broadcast_shapes([a, b]),)

    def work(self, attributes: Any, inputs: Sequence[Sizes], output: Sizes) -> int:
        return 4096  # the work of making the table

    def questions(self, step: Step, a: Codes, b: Codes) -> Sequence[Part]:
        quants, operands = (step.quant(0), step.quant(1)), (0, 1)
        codes: tuple[Codes, ...] = (a, b)
        if self.swaps(a.shape, b.shape):
            quants, codes, operands = quants[::-1], codes[::-1], operands[::-1]
        if a.shape != b.shape:
            codes = np.broadcast_arrays(*codes)
        first, second = (operand.reshape(-1) for operand in codes)
        return [Part(Pairs(self.rule, step.label, (*quants, step.y), first, second, operands))]
