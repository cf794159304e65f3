"""Softmax in float32. Its exponential and its order of sums are not specified, so its result carries no promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, FLOAT32, Bound, Inferred, Operator, Site, sums_apart
from qdqnp.program import Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class SoftmaxAttributes:
    """_flat: before opset 13 all axes from `axis` on form one row."""

    axis: int | None = None
    _flat: bool = False


class Softmax(Operator):
    op = "Softmax"
    Attributes = SoftmaxAttributes

    def attributes(self, site: Site) -> Any:
        given = super().attributes(site)
        flat = site.opset < 13
        axis = given.axis if given.axis is not None else (1 if flat else -1)
        return SoftmaxAttributes(axis, flat)

    def infer(self, site: Site, attributes: SoftmaxAttributes) -> Inferred:
        site.dtype_in(0, (np.float32,), "x")
        rank = len(site.value(0).shape)
        assert attributes.axis is not None
        if not -rank <= attributes.axis < rank:
            site.refuse("attribute 'axis'", f"an axis of rank {rank}", attributes.axis)
        return ((FLOAT32, site.value(0).shape),)

    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (inputs[0],)

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        axis, flat = step.attributes.axis, step.attributes._flat

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            (x,) = arrays
            assert x is not None
            if x.size == 0:
                return (x.copy(),)
            axes = tuple(range(axis % x.ndim, x.ndim)) if flat else axis
            power = np.exp(x - x.max(axis=axes, keepdims=True))
            return ((power / power.sum(axis=axes, keepdims=True, dtype=np.float32)).astype(np.float32),)

        def error(arrays: Sequence[Array | None]) -> Array:
            """The rounded difference from the maximum is a relative error of its power; an exponential is taken to be
            within 4 roundings."""
            (x,) = arrays
            assert x is not None
            axes = tuple(range(axis % x.ndim, x.ndim)) if flat else axis
            shifted = x.astype(np.float64) - x.max(axis=axes, keepdims=True)
            power = np.exp(shifted)
            total = power.sum(axis=axes, keepdims=True)
            slack = 1 + np.abs(shifted).max(axis=axes, keepdims=True)
            return sums_apart(power / total * slack, x.size // max(1, total.size) + 8)

        return Bound(evaluate, doubt="its exponential and order of sums are not specified", error=error)
