"""GroupNormalization in float32, which ONNX Runtime computes as ONNX defines it by other operators.

Groups of channels less their mean, over their deviation, scaled and shifted: by group before opset 21, then by channel.
Source: ONNX, onnx/defs/nn/defs.cc and old.cc.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.float.reductions import sums
from qdqnp.ops.geometry.broadcast import may_equal
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array

F = np.float32
#: The opset since which scale and bias belong to channels.
BY_CHANNEL = 21
#: The stash_type of float32.
FLOAT = 1


@dataclass(frozen=True)
class GroupNormalizationAttributes:
    num_groups: int = 0
    epsilon: float = 1e-5
    stash_type: int = FLOAT
    #: Whether scale and bias belong to channels, not to groups.
    _by_channel: bool = True


class GroupNormalization(Operator):
    op = "GroupNormalization"
    reads = ("float_sum",)
    arity = (3, 3)
    Attributes = GroupNormalizationAttributes
    example: ClassVar[Mapping[str, Any]] = {"num_groups": 1}
    bytes_per_element = 48

    def attributes(self, check: NodeCheck) -> Any:
        return replace(super().attributes(check), _by_channel=check.opset >= BY_CHANNEL)

    def infer(self, check: NodeCheck, attributes: GroupNormalizationAttributes) -> Inferred:
        for index, what in enumerate(("x", "scale", "bias")):
            check.dtype_in(index, (F,), what)
        check.rank_in(0, (3, 4, 5), "x")
        if attributes.num_groups < 1:
            check.refuse("attribute 'num_groups'", "at least 1", attributes.num_groups)
        if attributes.stash_type != FLOAT:
            check.refuse("attribute 'stash_type'", f"{FLOAT} (float32)", attributes.stash_type)
        return ((FLOAT32, self.shapes(attributes, *(check.value(index).shape for index in range(3)))[0]),)

    def shapes(
        self, attributes: GroupNormalizationAttributes, x: Shape, scale: Shape, bias: Shape
    ) -> tuple[Shape, ...]:
        if isinstance(x[1], int) and x[1] % attributes.num_groups:
            raise ShapeError(f"channels in {attributes.num_groups} groups", str(x[1]))
        wanted = x[1:2] if attributes._by_channel else (attributes.num_groups,)
        for shape, what in ((scale, "scale"), (bias, "bias")):
            if not may_equal(shape, wanted):
                raise ShapeError(f"a {what} of shape {list(wanted)}", str(list(shape)))
        if 0 in x:
            raise ShapeError("at least one element to average", str(list(x)))
        return (x,)

    def compute(self, binding: Binding, x: Array, scale: Array, bias: Array) -> tuple[Array, ...]:
        attributes: GroupNormalizationAttributes = binding.step.attributes
        rule, groups = binding.profile.float_sum, attributes.num_groups
        rows = x.reshape(x.shape[0], groups, math.prod(x.shape[1:]) // groups)
        count = F(rows.shape[2])
        with np.errstate(all="ignore"):
            mean = (sums(rows, (2,), rule) / count).reshape(x.shape[0], groups, 1)
            variance = (sums(rows * rows, (2,), rule) / count).reshape(mean.shape) - mean * mean
            normal = (rows - mean) / np.sqrt(variance + F(attributes.epsilon))
            if attributes._by_channel:
                normal = normal.reshape(*x.shape[:2], math.prod(x.shape[2:]))
            return ((scale.reshape(1, -1, 1) * normal + bias.reshape(1, -1, 1)).reshape(x.shape),)

    def origin(self, step: Step, output: int, index: Index, x: Array, scale: Array, bias: Array) -> Any:
        attributes: GroupNormalizationAttributes = step.attributes
        each = x.shape[1] // attributes.num_groups
        group = index[1] // each
        at = index[1] if attributes._by_channel else group
        return [*x[index[0], group * each : (group + 1) * each].reshape(-1), scale[at], bias[at]]

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(False)
