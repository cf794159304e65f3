"""com.microsoft.QLinearGlobalAveragePool: requantize the sum of (x - z_x) over all spatial positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics.questions import Means
from qdqnp.ops.geometry.pool import global_shape
from qdqnp.ops.integer.asking import Part
from qdqnp.ops.integer.unary import FromOneInput, input_and_output
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Inferred
from qdqnp.program import Step
from qdqnp.quant import ACTIVATIONS, Codes


def plane_means(step: Step, x: Codes) -> Means:
    """Return the question about the mean over each plane of x (N, C, ...)."""
    planes = x.reshape(x.shape[0] * x.shape[1], math.prod(x.shape[2:]))
    sums = planes.sum(axis=1, dtype=np.int64) - int(step.quant(0).zero_point) * planes.shape[1]
    return Means(step.label, step.quant(0), step.y, planes.shape[1], sums, planes, dims=x.ndim - 2)


class QLinearGlobalAveragePool(FromOneInput):
    op = "QLinearGlobalAveragePool"
    only = "NCHW"
    ignored = frozenset({"channels_last"})
    asks = Means
    rule = "global_average_pool"
    numbers_of_shapes = True  # of how many elements a mean is made

    def attributes(self, check: NodeCheck) -> Any:
        check.channels_first()
        return super().attributes(check)

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        dtype = check.dtype_in(0, ACTIVATIONS, "x")
        check.rank_in(0, (3, 4, 5), "x")
        input_and_output(check)
        return ((dtype, global_shape(check.value(0).shape)),)

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (global_shape(x),)

    def questions(self, step: Step, x: Codes) -> Sequence[Part]:
        return [Part(plane_means(step, x))]
