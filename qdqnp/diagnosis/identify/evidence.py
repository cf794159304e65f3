"""Evidence: what one layer was asked and what the device answered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qdqnp.executor.plan import BoundStep
from qdqnp.numerics.questions import Question, Singles, Sums
from qdqnp.quant import Array, Codes


@dataclass(frozen=True, eq=False)
class Evidence:
    #: The question, with the device's inputs.
    """One question that a layer asked, and the device's answer."""

    question: Question
    #: The codes that the device answered, in the shape of the question's codes.
    device: Codes

    @property
    def label(self) -> str:
        return self.question.label

    @property
    def field(self) -> str:
        """Name the field of a profile whose rules can be asked."""
        return self.question.rule

    def codes(self, rule: Any) -> Codes:
        """Return the codes that a rule answers. Raises ProfileError where the layer is outside the rule's domain."""
        return self.question.codes(rule)

    def part(self, elements: slice) -> Evidence:
        """Return some of the elements in flat order, in whole rows where rows belong together."""
        question = self.question.part(elements)
        width = question.shape[-1] if len(question.shape) > 1 else 1
        first = (elements.start or 0) // max(1, width) * width
        device = self.device.reshape(-1)[first : first + math.prod(question.shape)]
        return Evidence(question, device.reshape(question.shape))


def evidence_of(bound: BoundStep, values: Mapping[str, Array], device: Codes) -> list[Evidence]:
    """Collect what one evaluation of a step says about its operator's rule; empty for steps that no rule decides. A
    Concat gives one Evidence for each input that it rescales.

        bound: the step under any profile that defines the operator.
        values: the step's inputs by name.
        device: what the device made of them, with the output's dtype and shape.
    """
    if device.dtype.kind not in "iu" or not bound.operator.rule:
        return []
    found = []
    for part in bound.questions(values):
        question = part.question
        if isinstance(question, Singles) and question.copied:
            continue
        if isinstance(question, Sums) and not bound.operator.fixed(bound.binding):
            continue  # weights that are computed: a rule may look at them, and each matrix has its own
        found.append(Evidence(question, part.answers(device)))
    return found
