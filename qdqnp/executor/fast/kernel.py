"""A kernel says how one step is computed. The slow form, which is the operator's definition, is a kernel as well."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qdqnp.executor.fast.certificate import Certificate
from qdqnp.graph import Sizes
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.strategy import Proof
from qdqnp.ops.integer.asking import IntegerOperator, Part
from qdqnp.ops.operator import Binding, Operator
from qdqnp.quant import Array


class Kernel(ABC):
    """A step that is bound to a profile: all that does not depend on the inputs is computed."""

    #: Why sums are exact, for steps that sum with constant weights.
    proof: Proof | None = None
    #: How sums become codes, for the same steps.
    certificate: Certificate | None = None

    #: The numbers that the step's arithmetic uses, by name; None where inputs change them or they are not known yet.
    numbers: Mapping[str, Any] | None = None

    def __init__(self, operator: Operator, binding: Binding) -> None:
        self.operator = operator
        self.binding = binding
        if not isinstance(operator, IntegerOperator):  # it asks nothing
            self.numbers = {}
        #: Shapes of inputs, and the numbers for them, of an operator whose numbers depend on the shapes alone.
        self._for_shapes: tuple[list[Sizes | None], Mapping[str, Any]] | None = None

    @abstractmethod
    def __call__(self, arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
        """Compute output arrays from input arrays in the operands' order. Inputs are not changed."""

    def questions(self, arrays: Sequence[Array | None]) -> Sequence[Part]:
        """Return what the step asks of its inputs; () for operators that ask nothing."""
        if not isinstance(self.operator, IntegerOperator):
            return ()
        return self.operator.questions(self.binding.step, *arrays)

    def parameters(self, arrays: Sequence[Array | None]) -> Mapping[str, Any]:
        """Return the numbers that the step's arithmetic uses, by name, where `numbers` is None."""
        assert isinstance(self.operator, IntegerOperator)
        if not self.operator.numbers_of_shapes:
            return self.operator.parameters(self.binding, self.questions(arrays))
        shapes = [None if array is None else array.shape for array in arrays]
        found = self._for_shapes
        if found is None or found[0] != shapes:
            found = self._for_shapes = shapes, self.operator.parameters(self.binding, self.questions(arrays))
        return found[1]


class Answered(Kernel):
    """A step whose questions the rules of another profile answer.

    The questions, sums included, are computed as before.
    """

    def __init__(self, operator: IntegerOperator, binding: Binding, asking: Kernel) -> None:
        super().__init__(operator, binding)
        operator.check_profile(binding)
        self._asking = asking

    def __call__(self, arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
        assert isinstance(self.operator, IntegerOperator)
        return (self.operator.answered(self.binding, self.questions(arrays), arrays),)

    def questions(self, arrays: Sequence[Array | None]) -> Sequence[Part]:
        parts, profile = self._asking.questions(arrays), self.binding.profile
        return [replace(part, question=part.question.under(profile)) for part in parts]


class Definition(Kernel):
    """Computes the operator as it is defined."""

    def __call__(self, arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
        return self.operator.compute(self.binding, *arrays)
