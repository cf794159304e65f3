"""Conv in float32. Its order of sums is BLAS's, so its result carries no promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.strategy import FLOAT32 as FLOAT32_PRODUCT
from qdqnp.kernels.strategy import Proof
from qdqnp.kernels.sums import Weights, convolve
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, FLOAT32, Bound, Inferred, Operator, Site
from qdqnp.ops.qlinear_conv import ConvAttributes, QLinearConv, check_conv, conv_shapes
from qdqnp.ops.windows import as_planes, window_for
from qdqnp.program import Promise, Step
from qdqnp.quant import Array


def unspecified_sum(step: Step) -> Promise:
    return Promise(f"float32 {step.op} '{step.label}': its order of sums is not specified")


class Conv(Operator):
    op = "Conv"
    arity = (2, 3)
    Attributes = ConvAttributes

    def infer(self, site: Site, attributes: ConvAttributes) -> Inferred:
        for index in range(2 + site.given(2)):
            site.dtype_in(index, (np.float32,))
        check_conv(site, attributes, 0, 1)
        shape = conv_shapes(attributes, site.value(0).shape, site.value(1).shape)
        if site.given(2) and site.value(2).shape != (shape[1],):
            site.refuse("input 2 (bias)", f"shape [{shape[1]}]", list(site.value(2).shape))
        return ((FLOAT32, shape),)

    def promise(self, step: Step) -> Promise:
        return unspecified_sum(step)

    def shapes(self, attributes: ConvAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None and inputs[1] is not None
        return (conv_shapes(attributes, inputs[0], inputs[1]),)

    def macs(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        return QLinearConv().macs(step, inputs, outputs)

    def work(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        return QLinearConv().work(step, inputs, outputs)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        attributes: ConvAttributes = step.attributes

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            x, w, bias = (*arrays, None)[:3]
            assert x is not None and w is not None
            out = np.empty(concrete(conv_shapes(attributes, x.shape, w.shape)), np.float32)
            grouped = w.reshape(attributes.group, w.shape[0] // attributes.group, -1)
            weights = Weights(_NO_PROOF, np.ascontiguousarray(grouped))
            offset: Any = 0 if bias is None else bias[:, None]

            def finish(tile: Array, scratch: Scratch) -> Array:
                np.add(tile, offset, out=tile)
                return tile

            window = window_for(attributes, w.shape[2:], x.shape[2:])
            convolve(as_planes(x), 0, weights, window, finish, as_planes(out), scratch)
            return (out,)

        return Bound(evaluate)


# Real products are rounded, whatever the order: there is nothing to prove here, and the promise says so.
_NO_PROOF = Proof(FLOAT32_PRODUCT, 0, 0, (), 0)
