"""Gemm in float32: alpha * A B + beta * C. Its order of sums is BLAS's, so its result carries no promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.graph import Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, FLOAT32, Bound, Inferred, Operator, Site
from qdqnp.ops.conv import unspecified_sum
from qdqnp.ops.qgemm import QGemm, QGemmAttributes, gemm_shape
from qdqnp.program import Promise, Step
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

    def promise(self, step: Step) -> Promise:
        return unspecified_sum(step)

    def shapes(self, attributes: GemmAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        a, b, c = (*inputs, None)[:3]
        assert a is not None and b is not None
        return (gemm_shape((attributes.transA, attributes.transB), a, b, c),)

    def macs(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        return QGemm().macs(step, inputs, outputs)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        attributes: GemmAttributes = step.attributes

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            a, b, c = (*arrays, None)[:3]
            assert a is not None and b is not None
            out = (a.T if attributes.transA else a) @ (b.T if attributes.transB else b)
            out = out * np.float32(attributes.alpha)
            return (out if c is None else out + np.float32(attributes.beta) * c,)

        return Bound(evaluate)
