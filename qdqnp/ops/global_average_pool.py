"""GlobalAveragePool in float32. The order of its sums is not specified, so its result carries no promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, FLOAT32, Bound, Inferred, Operator, Site
from qdqnp.ops.conv import unspecified_sum
from qdqnp.ops.qlinear_global_average_pool import global_shape
from qdqnp.program import Promise, Step
from qdqnp.quant import Array


class GlobalAveragePool(Operator):
    op = "GlobalAveragePool"

    def infer(self, site: Site, attributes: Any) -> Inferred:
        site.dtype_in(0, (np.float32,), "x")
        site.rank_in(0, (3, 4, 5), "x")
        return ((FLOAT32, global_shape(site.value(0).shape)),)

    def promise(self, step: Step) -> Promise:
        return unspecified_sum(step)

    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (global_shape(inputs[0]),)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            (x,) = arrays
            assert x is not None
            return (x.mean(axis=tuple(range(2, x.ndim)), keepdims=True, dtype=np.float32),)

        return Bound(evaluate)
