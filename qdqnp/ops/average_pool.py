"""AveragePool in float32. The order of its sums is not specified, so its result carries no promise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.average import AverageAttributes, taps_of
from qdqnp.ops.base import AUTO, FLOAT32, Bound, Inferred, Operator, Site
from qdqnp.ops.conv import unspecified_sum
from qdqnp.ops.max_pool import check_pool, pool_shape, pool_work
from qdqnp.program import Promise, Step
from qdqnp.quant import Array


class AveragePool(Operator):
    op = "AveragePool"
    Attributes = AverageAttributes

    def infer(self, site: Site, attributes: AverageAttributes) -> Inferred:
        site.dtype_in(0, (np.float32,), "x")
        check_pool(site, attributes)
        return ((FLOAT32, pool_shape(attributes, site.value(0).shape)),)

    def promise(self, step: Step) -> Promise:
        return unspecified_sum(step)

    def shapes(self, attributes: AverageAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (pool_shape(attributes, inputs[0]),)

    def work(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        assert inputs[0] is not None
        return pool_work(step.attributes, inputs[0], outputs[0], math.prod(step.attributes.kernel_shape))

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            (x,) = arrays
            assert x is not None
            shape = concrete(pool_shape(step.attributes, x.shape))
            taps = taps_of(step.attributes, x, shape[2] if len(shape) == 4 else 1, shape[-1])
            total = np.where(taps.inside[:, None, None], taps.values, np.float32(0)).sum(axis=0, dtype=np.float32)
            return ((total / taps.count.astype(np.float32)).reshape(shape),)

        return Bound(evaluate)
