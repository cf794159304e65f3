"""The bound on what one run may ask for, in proportion to what it was given.

A few bytes of a model file can ask for any amount of work: broadcasting, padding, a chain of Concats. Before a run
starts, the elements and the products that it will compute are added up from shapes alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from qdqnp.errors import InputError, Problem
from qdqnp.graph import Shape, Sizes
from qdqnp.limits import (
    RUN_ELEMENTS,
    RUN_ELEMENTS_PER_BYTE,
    RUN_PRODUCTS,
    RUN_PRODUCTS_PER_BYTE,
)
from qdqnp.ops.base import Operator
from qdqnp.program import Program, Step
from qdqnp.quant import Array


class Budget:
    """What a run may still compute, for `given` bytes of constants and inputs."""

    def __init__(self, given: int) -> None:
        self._given = given
        self._elements = self._allowed_elements = RUN_ELEMENTS + RUN_ELEMENTS_PER_BYTE * given
        self._products = self._allowed_products = RUN_PRODUCTS + RUN_PRODUCTS_PER_BYTE * given

    def spend(self, operator: Operator, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> None:
        """Take off what one step computes for concrete shapes. Raises InputError where that is more than is left."""
        self._elements -= sum(math.prod(map(_size, shape)) for shape in outputs) + operator.work(step, inputs, outputs)
        self._products -= operator.macs(step, inputs, outputs)
        if self._elements < 0:
            self._refuse(step, self._allowed_elements, "elements")
        if self._products < 0:
            self._refuse(step, self._allowed_products, "multiply-accumulates")

    def _refuse(self, step: Step, allowed: int, what: str) -> None:
        problem = Problem(
            f"step {step.label}",
            f"at most {allowed} {what} up to here, for {self._given} bytes of constants and inputs",
            "more",
            "The model asks for far more than it was given; see SECURITY.md.",
        )
        raise InputError("the run would take too much memory or time", [problem])


def given_bytes(program: Program, inputs: Mapping[str, Sizes], consts: Mapping[str, Array]) -> int:
    """Bytes of the constants and of inputs of these shapes."""
    arrays = sum(math.prod(inputs[name]) * program.tensors[name].dtype.itemsize for name in program.inputs)
    return arrays + sum(const.nbytes for const in consts.values())


def _size(dim: object) -> int:
    assert isinstance(dim, int)
    return dim
