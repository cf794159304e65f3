"""Define what a probe is: a question, a model of one layer, inputs, and the answer that each hypothesis gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto

from qdqnp.diagnosis.identify.layers import Layers
from qdqnp.diagnosis.identify.observations import REFERENCE
from qdqnp.lazy import lazy
from qdqnp.model import Model, load
from qdqnp.ops.integer.asking import Part
from qdqnp.quant import Array, Codes


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One thing that a device may do."""

    #: The hypothesis in words.
    text: str
    #: The profile's rule that does it; None where no rule expresses it.
    rule: Any = None
    #: A function from the layer's question to codes, where no rule expresses the hypothesis. A fitted profile cannot
    #: express it either, then.
    answer: Callable[[Any], Codes] | None = None


@dataclass(frozen=True, eq=False)
class Probe:
    """A model of one layer whose outputs separate some hypotheses."""

    #: The probe's name, also of its files.
    name: str
    #: What the probe separates, for a person to read.
    question: str
    #: Why the outputs tell.
    how: str
    #: The model.
    proto: ModelProto
    #: The codes of each input, by name.
    codes: Mapping[str, Codes]
    #: The hypotheses that the probe separates.
    hypotheses: tuple[Hypothesis, ...]

    @lazy
    def model(self) -> Model:
        return load(self.proto)

    @lazy
    def feeds(self) -> dict[str, Array]:
        """Return the real inputs: exactly code less zero point, times scale."""
        made = {}
        for step in self.model.program(REFERENCE).steps:
            quant = step.outputs[0].quant
            if step.input_names[0] in self.codes and quant is not None:
                codes = self.codes[step.input_names[0]].astype(np.int64)
                made[step.input_names[0]] = ((codes - int(quant.zero_point)) * quant.scale).astype(np.float32)
        return made

    @property
    def output(self) -> str:
        """Name the tensor whose codes answer."""
        return "y_q"

    @lazy
    def part(self) -> Part:
        """Return what the layer asks, and where the answers stand in its output."""
        layers = Layers(self.model, REFERENCE)
        step = layers.maker(self.output)
        assert step is not None
        (found,) = layers.bind(step).questions(layers.values_for(step, self.feeds))
        return found

    def answers(self) -> dict[str, Codes]:
        """Return the codes of the output in its shape, by hypothesis."""
        return {hypothesis.text: self._answer(hypothesis) for hypothesis in self.hypotheses}

    def _answer(self, hypothesis: Hypothesis) -> Codes:
        question = self.part.question
        return self.shaped(hypothesis.answer(question) if hypothesis.answer else question.codes(hypothesis.rule))

    def shaped(self, codes: Codes) -> Codes:
        """Put answers to the question into the shape of the output."""
        inputs = {name: array.shape for name, array in self.codes.items()}
        output = np.empty(self.model.plan(REFERENCE).shapes(inputs)[self.output], codes.dtype)
        self.part.put(output, codes)
        return output


def on_sums(change: Callable[[Array], Array], rule: Any) -> Callable[[Any], Codes]:
    """Return an answer that applies the rule to changed sums, for example those of a narrow accumulator."""

    def answer(found: Any) -> Codes:
        codes: Codes = found.with_sums(change(found.sums)).codes(rule)
        return codes

    return answer


def telling(answers: Sequence[Array], count: int, rng: np.random.Generator) -> Array:
    """Choose `count` of many inputs: three quarters are those on which the hypotheses differ in the most ways, the
    others are drawn at random.

        answers: the codes of each hypothesis, shape (inputs,) each.
        count: how many inputs to choose.
        rng: the source of the random choice.
    """
    kinds = np.stack(answers)
    ordered = np.sort(kinds, axis=0)
    distinct = 1 + (np.diff(ordered, axis=0) != 0).sum(axis=0)
    order = np.lexsort((rng.random(distinct.size), -distinct))
    chosen = [*order[: count - count // 4], *rng.choice(order, count // 4)]
    return _covering(kinds, np.array(chosen), count)


def _covering(kinds: Array, chosen: Array, count: int) -> Array:
    """Put in front of the choice one input for each pair of hypotheses that can be told apart at all."""
    first: list[int] = []
    for i in range(len(kinds)):
        for j in range(i):
            differing = np.flatnonzero(kinds[i] != kinds[j])
            if differing.size and not (kinds[i][first] != kinds[j][first]).any():
                first.append(int(differing[0]))
    return np.array([*first, *chosen])[:count]
