"""Targets: the tensors of a program that a dump may hold, with how their codes are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.executor.plan import Plan
from qdqnp.program import Step
from qdqnp.quant import Array, Quant


@dataclass(frozen=True, eq=False)
class Target:
    """name: the ONNX name. codes: the tensor whose codes it is compared in (of a DequantizeLinear's real output, the
    codes that go in; else itself). step: index of the step that makes it, -1 for a network input. shape: of one case.
    quant: how codes are read; None for real tensors and for integers that are no codes. alias: another name that it may
    have in a dump."""

    name: str
    codes: str
    step: int
    label: str
    op: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    quant: Quant | None
    role: str = ""
    alias: str = ""

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def limits(self) -> tuple[int, int]:
        """Lowest and highest code; for real tensors nothing is beyond a limit."""
        if self.dtype.kind == "f":
            return (-(2**62), 2**62)
        info = np.iinfo(self.dtype)
        return int(info.min), int(info.max)


def targets(plan: Plan, values: Mapping[str, Array]) -> list[Target]:
    """The targets of a program in the order of its steps, inputs first. values: every tensor of one run."""
    program = plan.program
    found: list[Target] = []
    for name in program.inputs:
        if name in values:
            array, tensor = values[name], program.tensors[name]
            found.append(Target(name, name, -1, "", "", array.shape, array.dtype, tensor.quant, "network_input"))
    for index, step in enumerate(program.steps):
        for operand in step.outputs:
            if operand.name not in values:
                continue
            role = "network_output" if operand.name in program.outputs else ""
            codes, quant = _codes(plan, step, operand.name)
            array = values[codes] if codes in values else values[operand.name]
            found.append(Target(operand.name, codes, index, step.label, step.op, array.shape, array.dtype, quant, role))
    return found


def _codes(plan: Plan, step: Step, name: str) -> tuple[str, Quant | None]:
    source = step.inputs[0]
    if step.dequantizes and source is not None and source.quant is not None:
        if source.quant.per_tensor and source.name not in plan.consts:
            return source.name, source.quant
        return name, None
    return name, plan.program.tensors[name].quant
