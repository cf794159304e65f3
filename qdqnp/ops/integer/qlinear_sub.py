"""qdqnp.QLinearSub: y = quantize(dequantize(a) - dequantize(b)), by the profile's add rule, which devices share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qdqnp.graph import DEVICES
from qdqnp.numerics.questions import Pairs
from qdqnp.ops.integer.asking import Part
from qdqnp.ops.integer.device_functions import NOT_OF_ORT
from qdqnp.ops.integer.pairwise import PairwiseOperator
from qdqnp.ops.operator import Binding
from qdqnp.program import Step
from qdqnp.quant import Codes


class QLinearSub(PairwiseOperator):
    op = "QLinearSub"
    domain = DEVICES
    rule = "add"

    def questions(self, step: Step, a: Codes, b: Codes) -> Sequence[Part]:
        return [
            replace(part, question=replace(part.question, subtracted=True))
            for part in super().questions(step, a, b)
            if isinstance(part.question, Pairs)
        ]

    def doubt(self, binding: Binding) -> str:
        return NOT_OF_ORT if binding.profile.lowering.startswith("ort") else ""
