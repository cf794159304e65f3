"""Gemm in float32: alpha * A B + beta * C, summed in the order of the profile's float_sum rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.graph import Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.float_sum import GemmCall
from qdqnp.ops.base import AUTO, FLOAT32, Bound, Inferred, Operator, Site, sums_apart
from qdqnp.ops.integer.qgemm import QGemm, QGemmAttributes, gemm_shape
from qdqnp.program import Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class GemmAttributes(QGemmAttributes):
    beta: float = 1.0


class Gemm(Operator):
    op = "Gemm"
    arity = (2, 3)
    Attributes = GemmAttributes

    def infer(self, site: Site, attributes: GemmAttributes) -> Inferred:
        for index in range(2 + site.given(2)):
            site.dtype_in(index, (np.float32,))
        return ((FLOAT32, self.shapes(attributes, [value.shape if value else None for value in site.inputs])[0]),)

    def shapes(self, attributes: GemmAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        a, b, c = (*inputs, None)[:3]
        assert a is not None and b is not None
        return (gemm_shape((attributes.transA, attributes.transB), a, b, c),)

    def macs(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        return QGemm().macs(step, inputs, outputs)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        attributes: GemmAttributes = step.attributes
        operand = step.inputs[1]
        assert operand is not None
        transposed = (bool(attributes.transA), bool(attributes.transB))
        call = GemmCall(operand.name in consts, attributes.alpha, attributes.beta, transposed)

        def laid_out(arrays: Sequence[Array | None]) -> tuple[Array, Array, Array | None]:
            """Left (M, K), right (K, N), and what is added, (M, N)."""
            a, b, c = (*arrays, None)[:3]
            assert a is not None and b is not None
            left, right = a.T if attributes.transA else a, b.T if attributes.transB else b
            return left, right, None if c is None else np.broadcast_to(c, (left.shape[0], right.shape[1]))

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            return (profile.float_sum.gemm(*laid_out(arrays), call),)

        def error(arrays: Sequence[Array | None]) -> Array:
            a, b, c = laid_out(arrays)
            magnitude = abs(attributes.alpha) * (np.abs(a).astype(np.float64) @ np.abs(b))
            added = 0.0 if c is None else np.abs(attributes.beta * c.astype(np.float64))
            return sums_apart(magnitude + added, a.shape[1] + 4)

        return Bound(evaluate, doubt=profile.float_sum.doubt(False), error=error)
