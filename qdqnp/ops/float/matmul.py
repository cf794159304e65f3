"""MatMul in float32, summed in the order of the profile's float_sum rule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.float_sum import GemmCall
from qdqnp.ops.base import AUTO, FLOAT32, Bound, Inferred, Operator, Site, sums_apart
from qdqnp.ops.integer.qlinear_matmul import QLinearMatMul, matmul_shape
from qdqnp.program import Step
from qdqnp.quant import Array


class MatMul(Operator):
    op = "MatMul"
    arity = (2, 2)

    def infer(self, site: Site, attributes: Any) -> Inferred:
        site.dtype_in(0, (np.float32,), "a")
        site.dtype_in(1, (np.float32,), "b")
        return ((FLOAT32, matmul_shape(site.value(0).shape, site.value(1).shape)),)

    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None and inputs[1] is not None
        return (matmul_shape(inputs[0], inputs[1]),)

    def macs(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        return QLinearMatMul().macs(step, inputs, outputs)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        operand = step.inputs[1]
        assert operand is not None
        packed = operand.name in consts and consts[operand.name].ndim == 2
        call = GemmCall(packed)

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            a, b = arrays
            assert a is not None and b is not None
            out = np.empty(concrete(matmul_shape(a.shape, b.shape)), np.float32)
            if b.ndim == 2 and a.ndim > 1:  # one product of all rows
                rows = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
                np.copyto(out.reshape(rows.shape[0], b.shape[1]), profile.float_sum.gemm(rows, b, None, call))
                return (out,)
            # by a vector: one product for each row
            left, right = a[..., None, :] if 1 in (a.ndim, b.ndim) else a, b[:, None] if b.ndim == 1 else b
            batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
            left = np.broadcast_to(left, (*batch, *left.shape[-2:]))
            right = np.broadcast_to(right, (*batch, *right.shape[-2:]))
            target = out.reshape(*batch, left.shape[-2], right.shape[-1])
            for index in np.ndindex(*batch):
                target[index] = profile.float_sum.gemm(left[index], right[index], None, call)
            return (out,)

        def error(arrays: Sequence[Array | None]) -> Array:
            assert arrays[0] is not None and arrays[1] is not None
            magnitude = np.matmul(np.abs(arrays[0]).astype(np.float64), np.abs(arrays[1]))
            return sums_apart(np.asarray(magnitude), arrays[0].shape[-1])

        return Bound(evaluate, doubt=profile.float_sum.doubt(False), error=error)
