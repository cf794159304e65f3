"""What a probe is: a question, a model of one layer, inputs, and what each hypothesis answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from onnx import ModelProto

from qdqnp.diagnosis.identify.layers import Layers
from qdqnp.diagnosis.identify.observations import REFERENCE
from qdqnp.model import Model, load
from qdqnp.ops.integer.asking import Part
from qdqnp.quant import Array, Codes


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """text: what the device may do. rule: the profile's rule that does it. answer: the layer's question -> codes,
    where no rule expresses it; a fitted profile cannot either, then."""

    text: str
    rule: Any = None
    answer: Callable[[Any], Codes] | None = None


@dataclass(frozen=True, eq=False)
class Probe:
    """question: what it separates, for a person; how: why its outputs tell. codes: of each input, by name."""

    name: str
    question: str
    how: str
    proto: ModelProto
    codes: Mapping[str, Codes]
    hypotheses: tuple[Hypothesis, ...]

    @cached_property
    def model(self) -> Model:
        return load(self.proto)

    @cached_property
    def feeds(self) -> dict[str, Array]:
        """The real inputs: exactly code less zero point, times scale."""
        made = {}
        for step in self.model.program(REFERENCE).steps:
            quant = step.outputs[0].quant
            if step.input_names[0] in self.codes and quant is not None:
                codes = self.codes[step.input_names[0]].astype(np.int64)
                made[step.input_names[0]] = ((codes - int(quant.zero_point)) * quant.scale).astype(np.float32)
        return made

    @property
    def output(self) -> str:
        """The tensor whose codes answer."""
        return "y_q"

    @cached_property
    def part(self) -> Part:
        """What the layer asks, and where the answers stand in its output."""
        layers = Layers(self.model, REFERENCE)
        step = layers.maker(self.output)
        assert step is not None
        (found,) = layers.bind(step).questions(layers.values_for(step, self.feeds))
        return found

    def answers(self) -> dict[str, Codes]:
        """By hypothesis, the codes of the output in its shape."""
        return {hypothesis.text: self._answer(hypothesis) for hypothesis in self.hypotheses}

    def _answer(self, hypothesis: Hypothesis) -> Codes:
        question = self.part.question
        return self.shaped(hypothesis.answer(question) if hypothesis.answer else question.codes(hypothesis.rule))

    def shaped(self, codes: Codes) -> Codes:
        """Answers to the question in the shape of the output."""
        inputs = {name: array.shape for name, array in self.codes.items()}
        output = np.empty(self.model.plan(REFERENCE).shapes(inputs)[self.output], codes.dtype)
        self.part.put(output, codes)
        return output


def on_sums(change: Callable[[Array], Array], rule: Any) -> Callable[[Any], Codes]:
    """An answer: the rule on sums that were changed, by a narrow accumulator for example."""

    def answer(found: Any) -> Codes:
        codes: Codes = found.with_sums(change(found.sums)).codes(rule)
        return codes

    return answer


def telling(answers: Sequence[Array], count: int, rng: np.random.Generator) -> Array:
    """Which of many inputs to use: those on which the hypotheses part in the most ways first, mixed with others at
    random, `count` in all. answers: codes (inputs,) of each hypothesis."""
    kinds = np.stack(answers)
    ordered = np.sort(kinds, axis=0)
    distinct = 1 + (np.diff(ordered, axis=0) != 0).sum(axis=0)
    order = np.lexsort((rng.random(distinct.size), -distinct))
    chosen = [*order[: count - count // 4], *rng.choice(order, count // 4)]
    return _covering(kinds, np.array(chosen), count)


def _covering(kinds: Array, chosen: Array, count: int) -> Array:
    """The choice, led by one input for each pair of hypotheses that can be told apart at all."""
    first: list[int] = []
    for i in range(len(kinds)):
        for j in range(i):
            differing = np.flatnonzero(kinds[i] != kinds[j])
            if differing.size and not (kinds[i][first] != kinds[j][first]).any():
                first.append(int(differing[0]))
    return np.array([*first, *chosen])[:count]
