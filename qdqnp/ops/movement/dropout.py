"""Dropout passes its input on, as it does where nothing is trained; the mask is true everywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Operand, Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class DropoutAttributes:
    """How much is dropped in training."""

    ratio: float = 0.5
    seed: int = 0


class Dropout(Operator):
    op = "Dropout"
    only = "for inference"
    arity = (1, 3)
    Attributes = DropoutAttributes
    monotone = True

    def infer(self, check: NodeCheck, attributes: DropoutAttributes) -> Inferred:
        x = check.value(0)
        training = check.optional_const(2, "training_mode")
        if training is not None and training.any():
            check.refuse("input 2 (training_mode)", "false", "true", "Export the model for inference.")
        check.named_outputs()
        return ((x.dtype, x.shape), (np.dtype(bool), x.shape))

    def step(self, check: NodeCheck, attributes: Any) -> Step:
        outputs = [Operand(name) for name in check.named_outputs()]
        return self.make_step(check, attributes, (Operand(check.node.inputs[0]),), outputs)

    def shapes(self, attributes: DropoutAttributes, x: Shape) -> tuple[Shape, ...]:
        return x, x

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        return (x.copy(), np.ones(x.shape, bool))[: len(binding.step.outputs)]

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return x[index] if output == 0 else 0
