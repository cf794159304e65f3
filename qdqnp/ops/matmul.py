"""MatMul in float32. Its order of sums is BLAS's, so its result carries no promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, FLOAT32, Bound, Inferred, Operator, Site
from qdqnp.ops.conv import unspecified_sum
from qdqnp.ops.qlinear_matmul import QLinearMatMul, matmul_shape
from qdqnp.program import Promise, Step
from qdqnp.quant import Array


class MatMul(Operator):
    op = "MatMul"
    arity = (2, 2)

    def infer(self, site: Site, attributes: Any) -> Inferred:
        site.dtype_in(0, (np.float32,), "a")
        site.dtype_in(1, (np.float32,), "b")
        return ((FLOAT32, matmul_shape(site.value(0).shape, site.value(1).shape)),)

    def promise(self, step: Step) -> Promise:
        return unspecified_sum(step)

    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None and inputs[1] is not None
        return (matmul_shape(inputs[0], inputs[1]),)

    def macs(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        return QLinearMatMul().macs(step, inputs, outputs)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            assert arrays[0] is not None and arrays[1] is not None
            return (np.asarray(np.matmul(arrays[0], arrays[1])),)

        return Bound(evaluate)
