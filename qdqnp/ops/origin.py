"""Where an output element comes from: the input elements that an operator makes it of.

Every operator says so itself (`Operator.origin`), by doing what it always does on arrays that hold, in place of values,
the number of each element: what is moved, chosen from or added up then tells where it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.graph import Sizes
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.operator import Operator
from qdqnp.ops.runtime_sizes import WithRuntimeSizes
from qdqnp.program import Step
from qdqnp.quant import Array, Int64


@dataclass(frozen=True)
class InputElement:
    """One input element."""

    #: Which operand of the step it belongs to.
    operand: int
    index: Index


@dataclass(frozen=True, eq=False)
class Origin:
    """What one output element is made of."""

    #: The numbers of input elements, (terms, factors), as `numbered` counts them; 0 stands for what no input has.
    numbers: Int64
    #: The shape of each operand; None where an optional one is absent.
    shapes: tuple[Sizes | None, ...]

    @property
    def products(self) -> Int64 | None:
        """The products of a sum, (terms, 2): an element of x, 0 in the padding, and the weight; None for no sum."""
        return self.numbers[self.numbers[:, 1] > 0] if self.numbers.shape[1] == 2 else None

    @property
    def elements(self) -> Int64:
        """The numbers of all input elements, those of the first operand first, each in C order."""
        return np.sort(self.numbers[self.numbers > 0])

    def element(self, number: int) -> InputElement:
        """Return the element that has this number."""
        first = 1
        for operand, shape in enumerate(self.shapes):
            size = 0 if shape is None else math.prod(shape)
            if shape is not None and number - first < size:
                return InputElement(operand, tuple(int(i) for i in np.unravel_index(number - first, shape)))
            first += size
        raise IndexError(number)


def numbered(inputs: Sequence[Array | None]) -> list[Array | None]:
    """Replace each element of each input by its number: 1 + its flat index, counted through all inputs."""
    total = sum(array.size for array in inputs if array is not None)
    dtype = np.int32 if total < 2**31 - 1 else np.int64
    found: list[Array | None] = []
    first = 1
    for array in inputs:
        if array is None:
            found.append(None)
            continue
        found.append(np.arange(first, first + array.size, dtype=dtype).reshape(array.shape))
        first += array.size
    return found


def origin_of(operator: Operator, step: Step, inputs: Sequence[Array | None], output: int, index: Index) -> Origin:
    """Return where one output element comes from.

    inputs: the step's inputs in the order of its operands; only their shapes matter, but of those that say sizes.
    output: which output of the step.
    index: the element's index in that output.
    """
    numbers = numbered(inputs)
    if isinstance(operator, WithRuntimeSizes):
        operator, step, numbers = operator.for_origin(step, inputs, numbers)
    found = np.asarray(operator.origin(step, output, index, *numbers), np.int64)
    terms = found.reshape(-1, 1) if found.ndim < 2 else found
    return Origin(terms, tuple(None if array is None else array.shape for array in inputs))
