"""com.microsoft.QLinearSoftmax: the profile's softmax rule on rows of codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, Site
from qdqnp.program import Operand, Step
from qdqnp.quant import EIGHT_BIT, Array


@dataclass(frozen=True)
class QLinearSoftmaxAttributes:
    """opset: of the Softmax that this stands for; before 13 all axes from `axis` on form one row."""

    axis: int = -1
    opset: int = 13


class QLinearSoftmax(Operator):
    op = "QLinearSoftmax"
    domain = MICROSOFT
    arity = (4, 5)
    Attributes = QLinearSoftmaxAttributes

    def infer(self, site: Site, attributes: QLinearSoftmaxAttributes) -> Inferred:
        dtype = site.dtype_in(0, EIGHT_BIT, "x")
        rank = len(site.value(0).shape)
        if not -rank <= attributes.axis < rank:
            site.refuse("attribute 'axis'", f"an axis of rank {rank}", attributes.axis)
        if not (site.quant(1, 2, dtype).per_tensor and site.quant(3, 4, dtype).per_tensor):
            site.refuse("scales", "one value each", "several")
        return ((dtype, site.value(0).shape),)

    def step(self, site: Site, attributes: QLinearSoftmaxAttributes) -> Step:
        dtype = site.value(0).dtype
        x, y = site.quant(1, 2, dtype), site.quant(3, 4, dtype)
        return self.make_step(site, attributes, (Operand(site.node.inputs[0], x),), (Operand(site.node.outputs[0], y),))

    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0],)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        attributes: QLinearSoftmaxAttributes = step.attributes
        operand = step.inputs[0]
        assert operand is not None and operand.quant is not None and step.outputs[0].quant is not None
        x_quant, y_quant = operand.quant, step.outputs[0].quant

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            (x,) = arrays
            assert x is not None
            if x.size == 0:
                return (x.copy(),)
            axis = attributes.axis % x.ndim
            if attributes.opset < 13:
                rows = x.reshape(int(np.prod(x.shape[:axis], dtype=np.int64)), -1)
                return (profile.softmax.bind(x_quant, y_quant, rows.shape[1])(rows).reshape(x.shape),)
            last = np.moveaxis(x, axis, -1)
            rows = last.reshape(-1, last.shape[-1])
            codes = profile.softmax.bind(x_quant, y_quant, rows.shape[1])(rows).reshape(last.shape)
            return (np.ascontiguousarray(np.moveaxis(codes, -1, axis)),)

        return Bound(evaluate)
