"""Quantized operators whose scales and zero points are computed, so that they are known only when a step runs.

A lowering puts such a node into the program with all its inputs as operands. Each run reads the parameters, makes of
the node the step that constants would have made, and computes that by the operator's definition. There is no fast form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.errors import InputError, Problems
from qdqnp.graph import Shape, Value
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import NodeCheck, Refused
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Operand, Step
from qdqnp.quant import Array


@dataclass(frozen=True, eq=False)
class RuntimeScales:
    """The attributes of a step that reads scales or zero points."""

    #: The node, with all that was known of its inputs when the model was loaded.
    check: NodeCheck
    #: The step of the same node with ones and zeros in place of the parameters.
    step: Step
    #: The step's operands as numbers of the node's inputs; None for an absent one.
    operands: tuple[int | None, ...]
    #: The numbers of the node's inputs that are parameters known at run time only.
    parameters: tuple[int, ...]


def with_runtime_scales(operator: Operator, check: NodeCheck, step: Step) -> Step:
    """Return the step that reads the node's scales when it runs.

    operator: the node's operator.
    check: the node, whose `runtime_scales` are those inputs.
    step: what the operator made of the node.
    """
    names = check.node.inputs
    operands = tuple(None if operand is None else names.index(operand.name) for operand in step.inputs)
    inputs = tuple(Operand(name) if name else None for name in names)
    outputs = tuple(Operand(operand.name) for operand in step.outputs)
    attributes = RuntimeScales(check, step, operands, tuple(sorted(check.runtime_scales)))
    return replace(step, attributes=attributes, inputs=inputs, outputs=outputs)


def scales_read(step: Step) -> list[str]:
    """Return the names of the tensors that a step reads as scales or zero points when it runs."""
    if not isinstance(step.attributes, RuntimeScales):
        return []
    return [step.attributes.check.node.inputs[number] for number in step.attributes.parameters]


class WithRuntimeScales(Operator):
    """An operator whose scales are inputs like others. It asks no questions, as nothing is known before a run."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        # what the class would say, for operators that are defined
        vars(self).update(
            op=operator.op, domain=operator.domain, arity=operator.arity, bytes_per_element=operator.bytes_per_element
        )

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        return self.operator.infer(check, attributes)

    def shapes(self, attributes: RuntimeScales, *inputs: Any, **_: Any) -> tuple[Shape, ...]:
        return self.operator.shapes(attributes.step.attributes, *_chosen(attributes, inputs))

    def macs(self, attributes: RuntimeScales, inputs: Sequence[Any], output: Any) -> int:
        return self.operator.macs(attributes.step.attributes, _chosen(attributes, inputs), output)

    def work(self, attributes: RuntimeScales, inputs: Sequence[Any], output: Any) -> int:
        return self.operator.work(attributes.step.attributes, _chosen(attributes, inputs), output)

    def check_profile(self, binding: Binding) -> None:
        self.operator.check_profile(replace(binding, step=binding.step.attributes.step))

    def doubt(self, binding: Binding) -> str:
        return self.operator.doubt(replace(binding, step=binding.step.attributes.step))

    def fixed(self, binding: Binding) -> bool:
        return False

    def compute(self, binding: Binding, *inputs: Any, **_: Any) -> tuple[Array, ...]:
        """Compute the outputs.

        Raises InputError where a scale is not finite and above 0, or does not fit otherwise.
        """
        attributes: RuntimeScales = binding.step.attributes
        step = self._settled(attributes, inputs)
        return self.operator.compute(replace(binding, step=step), *_chosen(attributes, inputs))

    def _settled(self, attributes: RuntimeScales, inputs: Sequence[Array | None]) -> Step:
        """Return the step that the node makes with these parameters as constants."""
        values: list[Value | None] = []
        for index, (value, array) in enumerate(zip(attributes.check.inputs, inputs, strict=True)):
            if value is None or array is None:
                values.append(None)
                continue
            const = array if index in attributes.parameters else value.const
            values.append(Value(value.name, array.dtype, array.shape, const))
        check = NodeCheck(attributes.check.node, attributes.check.opset, tuple(values), Problems())
        try:
            read = self.operator.attributes(check)
            self.operator.infer(check, read)
            return self.operator.step(check, read)
        except ShapeError as error:
            check.problems.add(f"node {check.node.label}, shapes", error.expected, error.got)
        except Refused:
            pass
        check.problems.raise_if_any("the step's scales or zero points do not fit", InputError)
        raise AssertionError(f"{check.node.label} refuses without a problem")

    def origin(self, step: Step, output: int, index: Index, *inputs: Any, **_: Any) -> Any:
        """Return the elements that the operator says, and the parameters of the element's slice."""
        attributes: RuntimeScales = step.attributes
        made = self.operator.origin(attributes.step, output, index, *_chosen(attributes, inputs))
        own = attributes.step.attributes
        axis, block = getattr(own, "axis", self.operator.channel_axis), getattr(own, "block_size", 0)
        place = list(index)
        if block:
            place[axis] //= block
        found = np.asarray(made).reshape(-1).tolist()
        for number in attributes.parameters:
            parameter = inputs[number]
            at = tuple(place) if parameter.ndim == len(index) and block else index[axis] if parameter.size > 1 else 0
            found.append(int(parameter[at] if parameter.ndim else parameter))
        return found


def _chosen(attributes: RuntimeScales, inputs: Sequence[Any]) -> list[Any]:
    """Return what belongs to the operands of the step with constants."""
    return [None if number is None else inputs[number] for number in attributes.operands]
