"""What all integer operators have in common: they turn their arrays into questions, and rules of the profile answer.

An operator's definition is its questions answered. Nothing here is fast: `executor.fast` has a faster form for each
kind of question, admitted by proof.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.graph import Sizes, concrete
from qdqnp.numerics.questions import Products, Question, Sums, SumWeights
from qdqnp.numerics.questions.sums import Index
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.numerics.rules.undefined import Undefined
from qdqnp.ops.operator import Binding, Operator
from qdqnp.program import Operand, Step
from qdqnp.quant import SIXTEEN_BIT, Array, Codes

#: Where a question's answers stand: an index into the output.
Where = tuple[Any, ...]
EVERYWHERE: Where = (...,)
#: Lowerings that make integer operators on 16-bit codes; the rules of their profiles are defined for these.
SIXTEEN_BIT_LOWERINGS = ("device-16x8", "device-exact")


def has_wide_codes(step: Step) -> bool:
    """Tell whether a step reads or makes 16-bit codes."""
    return any(
        operand is not None and operand.quant is not None and operand.quant.dtype in SIXTEEN_BIT
        for operand in (*step.inputs, *step.outputs)
    )


@dataclass(frozen=True, eq=False)
class Part:
    """A question, and where its answers stand in the operator's output."""

    question: Question
    #: The index of the part in the output.
    where: Where = EVERYWHERE
    #: The axis of that part which is last in the question; None where the order of elements is the same.
    last: int | None = None

    def view(self, output: Array) -> Array:
        """Return the part of the output that the question is about, its channels last."""
        found: Array = output[self.where]
        return found if self.last is None else np.moveaxis(found, self.last, -1)

    def answers(self, output: Array) -> Array:
        """Return the part of the output in the shape of the question's codes."""
        return self.view(output).reshape(self.question.shape)

    def locate(self, index: Sequence[int], shape: Sizes) -> tuple[int, ...] | None:
        """Return the index of an output element in the question's codes; None where another question asks for it.

        index: the element's index in the output.
        shape: the output's shape.
        """
        marked = np.zeros(shape, bool)
        marked[tuple(index)] = True
        found = np.argwhere(self.answers(marked))
        return tuple(int(i) for i in found[0]) if len(found) else None

    def put(self, output: Array, answers: Array) -> None:
        """Write answers, in the shape of the question's codes, to where they stand in the output."""
        view = self.view(output)
        given = np.broadcast_to(answers, self.question.shape).reshape(view.shape)
        if self.last is None:
            output[self.where] = given  # a mask makes no view
        else:
            view[...] = given


class IntegerOperator(Operator):
    """An operator that asks questions of one kind, whose answers are its output."""

    #: The kind of question that the operator usually asks; a fast form is chosen by it.
    asks: ClassVar[type[Question]]
    #: Whether the numbers that the arithmetic uses depend on the inputs' shapes alone.
    numbers_of_shapes: ClassVar[bool] = False

    @abstractmethod
    def questions(self, step: Step, *inputs: Any, **_: Any) -> Sequence[Part]:
        """Return the questions of one evaluation, in the order of the output."""

    def arguments(self, step: Step, parameters: Callable[[Operand], Sequence[str]]) -> list[str]:
        """Return the inputs of a node that `step` would make this step of.

        By default they are (tensor, scale, zero point) of each operand, the tensor alone of one without a scale, '' for
        one that is absent; then scale and zero point of the output.

            parameters: maps an operand to the names of its scale and zero point.
        """

        def scaled(operand: Operand) -> Sequence[str]:
            return parameters(operand) if operand.quant is not None else ()

        found: list[str] = []
        for operand in step.inputs:
            found += [""] if operand is None else [operand.name, *scaled(operand)]
        return [*found, *scaled(step.outputs[0])]

    def output_shape(self, step: Step, inputs: Sequence[Array | None]) -> Sizes:
        shapes = [None if array is None else array.shape for array in inputs]
        return concrete(self.shapes(step.attributes, *shapes)[0])

    def compute(self, binding: Binding, *inputs: Any, **_: Any) -> tuple[Array, ...]:
        """Answer each question by the profile's rule for it: the definition of the operator."""
        return (self.answered(binding, self.questions(binding.step, *inputs), inputs),)

    def answered(self, binding: Binding, parts: Sequence[Part], inputs: Sequence[Array | None]) -> Array:
        """Return the output that the profile's answers to these questions make."""
        quant = binding.step.outputs[0].quant
        output = np.empty(self.output_shape(binding.step, inputs), np.float32 if quant is None else quant.dtype)
        for part in parts:
            part.put(output, part.question.answer(binding.profile))
        return output

    def origin(self, step: Step, output: int, index: Index, *inputs: Any, **_: Any) -> Any:
        """Return what the question about the element looks at: the operator asks about numbers in place of codes."""
        for part in self.questions(step, *inputs):
            at = part.locate(index, self.output_shape(step, inputs))
            if at is not None:
                return part.question.made_of(at, inputs)
        raise AssertionError(f"{self.op} does not ask about element {index}")

    def check_profile(self, binding: Binding) -> None:
        rule = getattr(binding.profile, self.rule)
        if has_wide_codes(binding.step) and binding.profile.lowering not in SIXTEEN_BIT_LOWERINGS:
            hint = "tflite-16x8 and exact have 16-bit codes."
            problem = Problem("the codes", "8 bits", "16 bits", hint)
            raise ProfileError(f"the profile has no {self.op} of 16-bit codes", [problem])
        if isinstance(rule, Undefined):
            rule.bind()

    def parameters(self, binding: Binding, parts: Sequence[Part]) -> Mapping[str, Any]:
        """Return the numbers that the arithmetic uses for these questions, by name."""
        if not parts:
            return {}
        first = parts[0].question
        return first.parameters(getattr(binding.profile, first.rule))


@dataclass(frozen=True, eq=False)
class PlacedProducts:
    """Products, and where their sums stand in the operator's output."""

    products: Products
    #: As in `Part`; `last` likewise.
    where: Where = EVERYWHERE
    last: int | None = None


class SumOperator(IntegerOperator):
    """An operator that sums products of codes; operand 1 is the weights, operand 2, where it exists, the bias."""

    asks = Sums
    reads = ("accumulate",)
    weight_operand = 1
    bias_operand: ClassVar[int | None] = 2
    #: The geometry of the operator's products.
    sums_over: ClassVar[type[Products]]

    @abstractmethod
    def products(self, step: Step, *inputs: Any, **_: Any) -> Sequence[PlacedProducts]:
        """Return what is added up, in the order of the output."""

    @abstractmethod
    def weights(self, step: Step, w: Codes) -> SumWeights | None:
        """Return constant weights as rows; None where they make several layers of different weights."""

    def alpha(self, step: Step) -> float:
        """Return the factor of all sums."""
        return 1.0

    def context(self, step: Step, weights: SumWeights, bias: Codes | None) -> SumContext:
        """Return what the rule may look at besides the sums."""
        y = step.outputs[0].quant
        x, w = step.quant(0), step.quant(1)
        return SumContext(x, w, y, bias, self.alpha(step), weights.rows, step.label)

    def questions(self, step: Step, *inputs: Any, **_: Any) -> Sequence[Part]:
        bias = inputs[2] if len(inputs) > 2 else None
        return [
            Part(
                Sums(self.rule, self.context(step, placed.products.weights, bias), placed.products),
                placed.where,
                placed.last,
            )
            for placed in self.products(step, *inputs)
        ]

    def fixed(self, binding: Binding) -> bool:
        return all(name in binding.consts for name in binding.step.input_names[1:])
