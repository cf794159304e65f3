"""Targets: the tensors of a program that a dump may hold, and how their codes are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.diagnosis.dumps.storage import Storage
from qdqnp.element_types import is_float
from qdqnp.executor.plan import Plan
from qdqnp.program import Step
from qdqnp.quant import Array, Quant, code_range


@dataclass(frozen=True, eq=False)
class DumpTarget:
    """A tensor that a dump may hold."""

    #: The ONNX name.
    name: str
    #: Name of the tensor that is compared. For the float output of a DequantizeLinear this is its integer input;
    #: otherwise it is the tensor itself.
    codes: str
    #: Index of the step that makes the tensor, -1 for a network input.
    step: int
    #: The step's label, '' for a network input.
    label: str
    #: The step's operator, '' for a network input.
    op: str
    #: The shape of one case.
    shape: tuple[int, ...]
    #: The dtype of `codes`.
    dtype: np.dtype[Any]
    #: The quantization of the codes; None for real tensors and for integers that are not codes.
    quant: Quant | None
    #: 'network_input', 'network_output' or ''.
    role: str = ""
    #: Which of the network's inputs or outputs it is, from 0.
    number: int = 0
    #: Of a network input of real values, the tensor that holds its codes; '' where there is none.
    quantized: str = ""
    #: Other names that the tensor may have in a dump.
    aliases: tuple[str, ...] = ()
    #: How the golden set stores it.
    stored: Storage = field(default_factory=Storage)

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def limits(self) -> tuple[int, int]:
        """Return the lowest and the highest code, as `tally.ordered` counts them: (-2**62, 2**62), which no real value
        exceeds, for real tensors."""
        if is_float(self.dtype):
            return (-(2**62), 2**62)
        if self.dtype.kind == "b":
            return 0, 1
        return code_range(self.dtype)


def dump_targets(plan: Plan, values: Mapping[str, Array]) -> list[DumpTarget]:
    """Return the targets of a program in the order of its steps, inputs first.

    plan: the program under a profile.
    values: every tensor of one run, by name.
    """
    program = plan.program
    found: list[DumpTarget] = []
    quantized = {step.input_names[0]: step.output_names[0] for step in reversed(program.steps) if step.quantizes}
    numbers = {name: ("network_output", number) for number, name in enumerate(program.outputs)}
    for number, name in enumerate(program.inputs):
        codes = quantized.get(name, "")
        if name not in values:  # codes were given in its place
            numbers[codes] = ("network_input", number)
            continue
        array, kind = values[name], program.tensors[name].quant
        real = is_float(array.dtype) and codes in values
        found.append(
            DumpTarget(
                name, name, -1, "", "", array.shape, array.dtype, kind, "network_input", number, codes if real else ""
            )
        )
    for index, step in enumerate(program.steps):
        for operand in step.outputs:
            if operand.name not in values:
                continue
            role, number = numbers.get(operand.name, ("", 0))
            codes, quant = _codes(plan, step, operand.name)
            array = values[codes] if codes in values else values[operand.name]
            found.append(
                DumpTarget(
                    operand.name, codes, index, step.label, step.op, array.shape, array.dtype, quant, role, number
                )
            )
    return found


def _codes(plan: Plan, step: Step, name: str) -> tuple[str, Quant | None]:
    source = step.inputs[0]
    if step.dequantizes and source is not None and source.quant is not None:
        if source.quant.per_tensor and source.name not in plan.consts:
            return source.name, source.quant
        return name, None
    return name, plan.program.tensors[name].quant
