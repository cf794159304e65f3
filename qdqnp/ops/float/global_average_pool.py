"""GlobalAveragePool in float32, summed in the order of the profile's float_sum rule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, FLOAT32, Bound, Inferred, Operator, Site, sums_apart
from qdqnp.ops.integer.qlinear_global_average_pool import global_shape
from qdqnp.program import Step
from qdqnp.quant import Array


class GlobalAveragePool(Operator):
    op = "GlobalAveragePool"

    def infer(self, site: Site, attributes: Any) -> Inferred:
        site.dtype_in(0, (np.float32,), "x")
        site.rank_in(0, (3, 4, 5), "x")
        return ((FLOAT32, global_shape(site.value(0).shape)),)

    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (global_shape(inputs[0]),)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            (x,) = arrays
            assert x is not None
            rows = x.reshape(x.shape[0] * x.shape[1], math.prod(x.shape[2:]))
            mean = profile.float_sum.global_sums(rows) / np.float32(rows.shape[1])
            return (mean.reshape(concrete(global_shape(x.shape))),)

        def error(arrays: Sequence[Array | None]) -> Array:
            (x,) = arrays
            assert x is not None
            magnitude = np.abs(x).mean(axis=tuple(range(2, x.ndim)), keepdims=True, dtype=np.float64)
            return sums_apart(magnitude, math.prod(x.shape[2:]) + 1)

        return Bound(evaluate, doubt=profile.float_sum.doubt(True), error=error)
