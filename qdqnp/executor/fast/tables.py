"""Questions about single codes and pairs of codes: the rule's answers to all of them are tables made only once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from qdqnp.executor.fast.kernel import Kernel
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.tables import BinaryTable, PairLine, UnaryTable
from qdqnp.numerics.questions import Pairs
from qdqnp.ops.integer.asking import EVERYWHERE, IntegerOperator, Part
from qdqnp.ops.integer.unary import SinglesOperator
from qdqnp.ops.operator import Binding
from qdqnp.quant import Array, Codes, Quant

NOTHING: Codes = np.zeros(0, np.uint8)


class FastSingles(Kernel):
    """Looks up each input in a table of its own; an input whose codes stay what they are does not have a table."""

    def __init__(self, operator: SinglesOperator, binding: Binding, strategy: str, certified: bool) -> None:
        super().__init__(operator, binding)
        self.operator: SinglesOperator = operator
        self._rule = getattr(binding.profile, operator.rule)
        self._tables: list[UnaryTable | None] = []
        parts: list[Part] = []
        for index in range(len(binding.step.inputs)):
            question = operator.single(binding.step, index, NOTHING)
            bound = question.bind(self._rule)
            self._tables.append(None if question.copied else UnaryTable.of(bound, question.x.dtype))
            parts.append(Part(question))
        self.numbers = operator.parameters(binding, parts)

    def __call__(self, arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
        step, inputs = self.binding.step, cast(Sequence[Array], arrays)
        places = self.operator.places(step, *inputs)
        answers = [x if table is None else table(x) for x, table in zip(inputs, self._tables, strict=True)]
        if places == [EVERYWHERE]:
            return (answers[0].copy() if self._tables[0] is None else answers[0],)
        output = np.empty(self.operator.output_shape(step, arrays), step.y.dtype)
        for where, codes in zip(places, answers, strict=True):
            output[where] = codes
        return (output,)


class FastPairs(Kernel):
    """Looks up pairs of codes in a table for each order of the operands, made when first needed.

    An expression takes the place of a table where it gives the whole table.
    """

    def __init__(self, operator: IntegerOperator, binding: Binding, strategy: str, certified: bool) -> None:
        super().__init__(operator, binding)
        self._rule = getattr(binding.profile, operator.rule)
        step = binding.step
        (nothing,) = operator.questions(step, NOTHING, NOTHING)
        # a profile that does not define the step fails here; the numbers are those of the operands in their own order
        self.numbers = operator.parameters(binding, [nothing])
        self._tables: dict[bool, BinaryTable] = {}

    def __call__(self, arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
        assert isinstance(self.operator, IntegerOperator)
        (part,) = self.operator.questions(self.binding.step, *arrays)
        question = part.question
        assert isinstance(question, Pairs)
        straight = question.quants[0] is self.binding.step.quant(0)
        if straight not in self._tables:
            self._tables[straight] = _table(question, self._rule)
        codes = self._tables[straight](question.a, question.b, scratch)
        return (codes.reshape(self.operator.output_shape(self.binding.step, arrays)),)


def _table(question: Pairs, rule: Any) -> BinaryTable:
    a, b, y = question.quants
    return BinaryTable.of(question.bind(rule), a.dtype, b.dtype, _sum_line(a, b, y))


def _sum_line(a: Quant, b: Quant, y: Quant) -> PairLine:
    """Return a cheap expression that may equal the rule on all pairs: the real sum in units of y's scale."""
    with np.errstate(all="ignore"):
        left, right = float(a.scale) / float(y.scale), float(b.scale) / float(y.scale)
        offset = int(y.zero_point) - left * int(a.zero_point) - right * int(b.zero_point)
        return PairLine(np.float32(left), np.float32(right), np.float32(offset), y.dtype, y.limits)
