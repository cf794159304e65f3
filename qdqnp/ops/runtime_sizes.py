"""Operators whose sizes, axes or the like are computed, from sizes or from inputs that a run knows when it begins.

A lowering puts such a node into the program with all its inputs as operands. When the shapes of a run are known, and
the values of these inputs with them, the node becomes the step that constants would have made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.errors import InputError, Problem, Problems
from qdqnp.graph import Shape, Sizes, Value
from qdqnp.limits import RUN_BYTES, RUN_BYTES_PER_BYTE, bytes_needed
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.examine import unknown
from qdqnp.ops.node_check import NodeCheck, Refused
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Operand, Step
from qdqnp.quant import Array

#: The widest type of an element.
LARGEST = np.dtype(np.int64)


@dataclass(frozen=True, eq=False)
class RuntimeSizes:
    """The attributes of a step whose sizes are known when a run begins."""

    #: The node, with all that was known of its inputs when the model was loaded.
    check: NodeCheck
    #: The step of the same node, with what is known of its sizes.
    step: Step
    #: The numbers of the node's inputs that a run knows when it begins.
    parameters: tuple[int, ...]
    #: The shapes of the outputs, as far as they are known.
    made: tuple[Shape, ...]


def with_runtime_sizes(check: NodeCheck, step: Step, inferred: Inferred) -> Step:
    """Return the step that reads the node's sizes when it runs.

    check: the node, whose `runtime_sizes` are those inputs.
    step: what the operator made of the node.
    """
    inputs = tuple(Operand(name) if name else None for name in check.node.inputs)
    made = tuple(shape for _, shape in inferred)
    attributes = RuntimeSizes(check, step, tuple(sorted(check.runtime_sizes)), made)
    return replace(step, attributes=attributes, inputs=inputs)


def sizes_read(step: Step) -> list[str]:
    """Return the names of the tensors that a step reads as sizes, axes or the like."""
    if not isinstance(step.attributes, RuntimeSizes):
        return []
    return [step.attributes.check.node.inputs[number] for number in step.attributes.parameters]


def settled(operator: Operator, step: Step, shapes: Mapping[str, Sizes], values: Mapping[str, Array]) -> Step:
    """Return the step that the node makes with these parameters as constants.

    operator: the node's own.
    shapes: of the step's operands, by name.
    values: the parameters, by name.

    Raises InputError where they do not fit.
    """
    attributes: RuntimeSizes = step.attributes
    inputs: list[Value | None] = []
    for index, value in enumerate(attributes.check.inputs):
        if value is None:
            inputs.append(None)
        else:
            const = values[value.name] if index in attributes.parameters else value.const
            inputs.append(Value(value.name, value.dtype, shapes[value.name], const, value.known))
    check = NodeCheck(attributes.check.node, attributes.check.opset, tuple(inputs), Problems())
    try:
        read = operator.attributes(check)
        operator.infer(check, read)
        return replace(operator.step(check, read), doubt=step.doubt)
    except ShapeError as error:
        check.problems.add(f"node {check.node.label}, shapes", error.expected, error.got)
    except Refused:
        pass
    check.problems.raise_if_any("the inputs' shapes do not fit the model", InputError)
    raise AssertionError(f"{check.node.label} refuses without a problem")


class WithRuntimeSizes(Operator):
    """An operator whose sizes are inputs like others."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        # what the class would say, for operators that are defined
        vars(self).update(
            op=operator.op,
            domain=operator.domain,
            arity=operator.arity,
            bytes_per_element=operator.bytes_per_element,
            views=operator.views,
        )

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        return self.operator.infer(check, attributes)

    def shapes(self, attributes: RuntimeSizes, *inputs: Any, **_: Any) -> tuple[Shape, ...]:
        """Return the ranks: the sizes are known of the step that is settled."""
        return tuple(unknown(shape) for shape in attributes.made)

    def only_moves(self, step: Step) -> bool:
        return self.operator.only_moves(step.attributes.step)

    def doubt(self, binding: Binding) -> str:
        return self.operator.doubt(replace(binding, step=binding.step.attributes.step))

    def check_profile(self, binding: Binding) -> None:
        self.operator.check_profile(replace(binding, step=binding.step.attributes.step))

    def fixed(self, binding: Binding) -> bool:
        return False

    def compute(self, binding: Binding, *inputs: Any, **_: Any) -> tuple[Array, ...]:
        """Compute the outputs. Raises InputError where a size does not fit."""
        step, chosen = self._settled(binding.step, inputs)
        return self.operator.compute(replace(binding, step=step), *chosen)

    def error(self, binding: Binding, *inputs: Any, **_: Any) -> Array | None:
        step, chosen = self._settled(binding.step, inputs)
        return self.operator.error(replace(binding, step=step), *chosen)

    def for_origin(
        self, step: Step, inputs: Sequence[Array | None], numbers: Sequence[Array | None]
    ) -> tuple[Operator, Step, list[Array | None]]:
        """Return the operator and the step that is settled, and the numbers of the elements that it reads."""
        made, _ = self._settled(step, inputs)
        by_name = {o.name: found for o, found in zip(step.inputs, numbers, strict=True) if o is not None}
        return self.operator, made, [None if operand is None else by_name[operand.name] for operand in made.inputs]

    def _settled(self, step: Step, inputs: Sequence[Array | None]) -> tuple[Step, list[Array | None]]:
        names = [operand.name if operand is not None else "" for operand in step.inputs]
        arrays = {name: array for name, array in zip(names, inputs, strict=True) if array is not None}
        made = settled(self.operator, step, {name: array.shape for name, array in arrays.items()}, arrays)
        self._check_bytes(made, arrays)
        return made, [None if operand is None else arrays[operand.name] for operand in made.inputs]

    def _check_bytes(self, step: Step, arrays: Mapping[str, Array]) -> None:
        """Check what the step makes: a device's dump may hold any sizes. Raises InputError where it is too much."""
        shapes = self.operator.shapes(step.attributes, *(arrays[o.name].shape if o else None for o in step.inputs))
        need = sum(bytes_needed(LARGEST, shape) for shape in shapes)
        allowed = RUN_BYTES + RUN_BYTES_PER_BYTE * sum(array.nbytes for array in arrays.values())
        if need > allowed:
            problem = Problem(f"step {step.label}", f"at most {allowed} bytes for what it reads", str(need))
            raise InputError("the sizes ask for too much memory", [problem])

    def origin(self, step: Step, output: int, index: Index, *inputs: Any, **_: Any) -> Any:
        raise AssertionError("an origin is asked of the step that is settled")  # qdqnp/ops/origin.py
