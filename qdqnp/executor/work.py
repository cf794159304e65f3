"""Bounds what one run may ask for, in proportion to what the run was given.

A few bytes of a model file can ask for any amount of work: broadcasting, padding, a chain of Concats. Before a run
starts, the elements and the products that it will compute are added up from shapes alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from qdqnp.errors import InputError, Problem
from qdqnp.graph import Sizes
from qdqnp.limits import (
    RUN_BYTES,
    RUN_BYTES_PER_BYTE,
    RUN_ELEMENTS,
    RUN_ELEMENTS_PER_BYTE,
    RUN_PRODUCTS,
    RUN_PRODUCTS_PER_BYTE,
)
from qdqnp.ops.operator import Operator
from qdqnp.program import Program, Step
from qdqnp.quant import Array


class Budget:
    """What a run may still compute, for `given` bytes of constants and inputs.

    Elements are those that steps read and make, and their work memory; bytes are those that are needed at once.
    """

    def __init__(self, given: int) -> None:
        self._given = given
        self._elements = self._allowed_elements = RUN_ELEMENTS + RUN_ELEMENTS_PER_BYTE * given
        self._products = self._allowed_products = RUN_PRODUCTS + RUN_PRODUCTS_PER_BYTE * given
        self._bytes = RUN_BYTES + RUN_BYTES_PER_BYTE * given

    def spend(self, operator: Operator, step: Step, shapes: Mapping[str, Sizes], held: int = 0) -> None:
        """Subtract what one step computes from what is left.

            shapes: the shape of every tensor, by name.
            held: bytes of the tensors that are kept meanwhile.

        Raises InputError where the step computes more than is left, or needs more memory than a run may.
        """
        inputs, output = shapes_of(step, shapes)
        handled = sum(math.prod(shapes[name]) for name in (*step.input_names, *step.output_names))
        handled += operator.work(step.attributes, inputs, output)
        self._elements -= handled
        self._products -= operator.macs(step.attributes, inputs, output)
        if self._elements < 0:
            self._refuse(step, self._allowed_elements, "elements", "up to here")
        if self._products < 0:
            self._refuse(step, self._allowed_products, "multiply-accumulates", "up to here")
        if held + handled * operator.bytes_per_element > self._bytes:
            self._refuse(step, self._bytes, "bytes of memory", "at once")

    def _refuse(self, step: Step, allowed: int, what: str, when: str) -> None:
        problem = Problem(
            f"step {step.label}",
            f"at most {allowed} {what} {when}, for {self._given} bytes of constants and inputs",
            "more",
            "The model asks for far more than it was given; see SECURITY.md.",
        )
        raise InputError("the run would take too much memory or time", [problem])


def given_bytes(program: Program, inputs: Mapping[str, Sizes], consts: Mapping[str, Array]) -> int:
    """Count the bytes of the constants and of inputs of these shapes."""
    arrays = sum(math.prod(inputs[name]) * program.tensors[name].dtype.itemsize for name in program.inputs)
    return arrays + sum(const.nbytes for const in consts.values())


def shapes_of(step: Step, shapes: Mapping[str, Sizes]) -> tuple[list[Sizes | None], Sizes]:
    """Return the shapes of a step's operands, None where one is absent, and of its first output."""
    inputs = [shapes[operand.name] if operand is not None else None for operand in step.inputs]
    return inputs, shapes[step.output_names[0]]
