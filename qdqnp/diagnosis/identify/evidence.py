"""Evidence: what one layer was asked and what the device answered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.executor.plan import BoundStep
from qdqnp.numerics.questions import Pairs, Question, Singles, Sums
from qdqnp.quant import EIGHT_BIT, Array, Codes

CODES = 256  # of eight bits


@dataclass(frozen=True, eq=False)
class Evidence:
    """One question that a layer asked, and the device's answer."""

    #: The question, with the device's inputs.
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

    def distinct(self) -> Evidence:
        """Return the evidence without repetitions, which a rule gives if and only if it gives all of this.

        Of pairs of codes, each pair with each answer is there once; of sums, each sum of a channel with each answer,
        and the first ones again where a channel has fewer. Other evidence is returned as it is.
        """
        question, answers = self.question, self.device.astype(np.int64) % CODES
        if self.device.dtype not in EIGHT_BIT:
            return self
        if isinstance(question, Pairs) and question.a.dtype in EIGHT_BIT and question.b.dtype in EIGHT_BIT:
            keys = (question.a.astype(np.int64) % CODES * CODES + question.b.astype(np.int64) % CODES) * CODES + answers
            first = np.unique(keys, return_index=True)[1]
            return Evidence(replace(question, a=question.a[first], b=question.b[first]), self.device[first])
        if isinstance(question, Sums) and not question.by_row:
            firsts = [np.unique(column, return_index=True)[1] for column in (question.sums * CODES + answers).T]
            rows = np.stack([np.resize(first, max(map(len, firsts))) for first in firsts], axis=-1)
            sums, device = (np.take_along_axis(array, rows, 0) for array in (question.sums, self.device))
            return Evidence(question.with_sums(sums), device)
        return self


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
