"""Additions in fixed point: another left shift of the operands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from qdqnp.diagnosis.faults.fault import Changed, fault_of_question
from qdqnp.numerics.choices import of_layer
from qdqnp.numerics.questions import Pairs
from qdqnp.numerics.rules.add import ThreeRescaleAdd
from qdqnp.quant import Quant

LEFT_SHIFT = "left_shift of Add"
SHIFTS = range(23)
#: What other kernels shift by: none, CMSIS-NN's of 16 bits before 2022, TFLite's of 16 bits.
PLAIN = (0, 7, 15)


@dataclass(frozen=True)
class WronglyShifted:
    """An addition whose operands are shifted by another number of bits than its multipliers were made for."""

    rule: ThreeRescaleAdd
    left_shift: int

    def bind(self, a: Quant, b: Quant, y: Quant) -> Any:
        return self._of(self.rule.bind(a, b, y))

    def bind_difference(self, a: Quant, b: Quant, y: Quant) -> Any:
        return self._of(self.rule.bind_difference(a, b, y))

    def _of(self, bound: Any) -> Any:
        return replace(bound, rule=replace(self.rule, left_shift=self.left_shift))


@fault_of_question(LEFT_SHIFT, Pairs)
def left_shift(question: Pairs, rule: Any) -> Iterator[Changed]:
    """The operands are shifted by other bits; the output's multiplier knows of it, or does not."""
    own = of_layer(rule, question.label)
    if not isinstance(own, ThreeRescaleAdd):
        return
    for bits in sorted(set(SHIFTS) - {own.left_shift}, key=lambda bits: abs(bits - own.left_shift)):
        text = f"{bits} in place of {own.left_shift}"
        yield Changed(question, text, replace(own, left_shift=bits), many=bits not in PLAIN)
        if not own.folded:
            yield Changed(question, f"{text}, multipliers for {own.left_shift}", WronglyShifted(own, bits), many=True)
