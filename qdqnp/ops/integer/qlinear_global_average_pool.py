"""com.microsoft.QLinearGlobalAveragePool: requantize the sum of (x - z_x) over all spatial positions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape, concrete
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.numerics.status import UNKNOWN
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, ShapeError, Site
from qdqnp.program import Operand, Step
from qdqnp.quant import EIGHT_BIT, Array, Codes, Int64, Quant


def global_shape(x: Shape) -> Shape:
    """(N, C, 1, ...). Raises ShapeError where there is nothing to average."""
    if 0 in x[2:]:
        raise ShapeError("at least one element per channel", str(list(x)))
    return (*x[:2], *(1 for _ in x[2:]))


def centered_sums(x: Codes, quant: Quant) -> Int64:
    """Sums of (x - z_x) over the spatial axes, shape (N, C)."""
    planes = x.reshape(*x.shape[:2], math.prod(x.shape[2:]))
    total: Int64 = planes.sum(axis=2, dtype=np.int64)
    total -= int(quant.zero_point) * planes.shape[2]
    return total


def global_average(x: Codes, profile: Profile, x_quant: Quant, y_quant: Quant) -> Codes:
    """Codes (N, C, 1, ...) of the mean over the spatial axes of x (N, C, ...). Raises ProfileError where the profile's
    arithmetic does not cover the multiplier."""
    count = math.prod(x.shape[2:])
    mean = profile.global_average_pool.bind(x_quant, y_quant, count)
    return mean(centered_sums(x, x_quant)).reshape(concrete(global_shape(x.shape)))


class QLinearGlobalAveragePool(Operator):
    op = "QLinearGlobalAveragePool"
    domain = MICROSOFT
    arity = (4, 5)
    ignored = frozenset({"channels_last"})

    def attributes(self, site: Site) -> Any:
        if site.node.attributes.get("channels_last", 0) != 0:
            site.refuse("attribute 'channels_last'", "0 (NCHW)", 1, "Save the model without layout optimization.")
        return super().attributes(site)

    def infer(self, site: Site, attributes: Any) -> Inferred:
        dtype = site.dtype_in(0, EIGHT_BIT, "x")
        site.rank_in(0, (3, 4, 5), "x")
        if not (site.quant(1, 2, dtype).per_tensor and site.quant(3, 4, dtype).per_tensor):
            site.refuse("scales", "one value each", "several")
        return ((dtype, global_shape(site.value(0).shape)),)

    def step(self, site: Site, attributes: Any) -> Step:
        dtype = site.value(0).dtype
        x, y = site.quant(1, 2, dtype), site.quant(3, 4, dtype)
        return self.make_step(site, attributes, (Operand(site.node.inputs[0], x),), (Operand(site.node.outputs[0], y),))

    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (global_shape(inputs[0]),)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        operand = step.inputs[0]
        assert operand is not None and operand.quant is not None and step.outputs[0].quant is not None
        x_quant, y_quant = operand.quant, step.outputs[0].quant
        if profile.global_average_pool.status == UNKNOWN:
            profile.global_average_pool.bind(x_quant, y_quant, 1)  # raises: say so before anything runs

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            assert arrays[0] is not None
            return (global_average(arrays[0], profile, x_quant, y_quant),)

        def sums(arrays: Sequence[Array | None]) -> Int64:
            assert arrays[0] is not None
            return centered_sums(arrays[0], x_quant).reshape(concrete(global_shape(arrays[0].shape)))

        def detail(arrays: Sequence[Array | None]) -> tuple[Int64, Requantizer]:
            assert arrays[0] is not None
            count = math.prod(arrays[0].shape[2:])
            return centered_sums(arrays[0], x_quant), profile.global_average_pool.bind(x_quant, y_quant, count)

        return Bound(evaluate, sums=sums, accumulators=sums, detail=detail)
