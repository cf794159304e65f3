"""AveragePool in float32, summed in the order of the profile's float_sum rule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.float_sum import FloatSumRule
from qdqnp.ops.base import AUTO, FLOAT32, Bound, Inferred, Operator, Site, sums_apart
from qdqnp.ops.geometry.taps import AverageAttributes, Taps, taps_of
from qdqnp.ops.geometry.windows import window_for
from qdqnp.ops.movement.max_pool import check_pool, pool_shape, pool_work
from qdqnp.program import Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class FloatAverageAttributes(AverageAttributes):
    """_opset: ONNX Runtime has another kernel since 19."""

    _opset: int = 0


class AveragePool(Operator):
    op = "AveragePool"
    Attributes = FloatAverageAttributes

    def attributes(self, site: Site) -> Any:
        return replace(super().attributes(site), _opset=site.opset)

    def infer(self, site: Site, attributes: AverageAttributes) -> Inferred:
        site.dtype_in(0, (np.float32,), "x")
        check_pool(site, attributes)
        return ((FLOAT32, pool_shape(attributes, site.value(0).shape)),)

    def shapes(self, attributes: AverageAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (pool_shape(attributes, inputs[0]),)

    def work(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        assert inputs[0] is not None
        return pool_work(step.attributes, inputs[0], outputs[0], math.prod(step.attributes.kernel_shape))

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        attributes: FloatAverageAttributes = step.attributes

        def window_taps(x: Array) -> tuple[Array, Taps, tuple[int, ...]]:
            """The taps, those outside the image as 0; all about them; and the output's shape."""
            shape = concrete(pool_shape(attributes, x.shape))
            taps = taps_of(attributes, x, shape[2] if len(shape) == 4 else 1, shape[-1])
            return np.where(taps.inside[:, None, None], taps.values, x.dtype.type(0)), taps, shape

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            (x,) = arrays
            assert x is not None
            values, taps, shape = window_taps(x)
            total = _total(profile.float_sum, attributes, values, x.shape)
            return ((total / taps.count.astype(np.float32)).reshape(shape),)

        def error(arrays: Sequence[Array | None]) -> Array:
            (x,) = arrays
            assert x is not None
            values, taps, shape = window_taps(np.abs(x).astype(np.float64))
            return sums_apart((values.sum(axis=0) / taps.count).reshape(shape), values.shape[0] + 1)

        return Bound(evaluate, doubt=profile.float_sum.doubt(True), error=error)


def _total(rule: FloatSumRule, attributes: FloatAverageAttributes, values: Array, x: tuple[int, ...]) -> Array:
    """The sum of each window. Since opset 19, and where a window may reach beyond the counted padding, ONNX Runtime
    adds up row by row; else MLAS has a kernel for one window that is the whole image, and one for narrow strides."""
    window = window_for(attributes, attributes.kernel_shape, x[2:])
    if attributes._opset >= 19 or (attributes.ceil_mode and attributes.count_include_pad):
        return rule.window_sums(values, window.kernel, False)
    if tuple(attributes.kernel_shape) == x[2:] and not any(window.pads) and window.strides == (1, 1):
        return rule.global_sums(values.reshape(values.shape[0], -1).T).reshape(values.shape[1:])
    vector = len(x) == 4 and window.strides[1] <= 2 and max(window.kernel) <= 32
    return rule.window_sums(values, window.kernel, vector)
