"""com.microsoft.QLinearAveragePool: the profile's average rule on the window's codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape, concrete
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, Site
from qdqnp.ops.geometry.taps import AverageAttributes, Taps, taps_of
from qdqnp.ops.geometry.windows import window_for
from qdqnp.ops.integer.qlinear_global_average_pool import global_average
from qdqnp.ops.movement.max_pool import check_pool, pool_shape, pool_work
from qdqnp.program import Operand, Step
from qdqnp.quant import EIGHT_BIT, Array, Int64


class QLinearAveragePool(Operator):
    op = "QLinearAveragePool"
    domain = MICROSOFT
    arity = (4, 5)
    Attributes = AverageAttributes
    ignored = frozenset({"channels_last"})

    def attributes(self, site: Site) -> Any:
        if site.node.attributes.get("channels_last", 0) != 0:
            site.refuse("attribute 'channels_last'", "0 (NCHW)", 1, "Save the model without layout optimization.")
        return super().attributes(site)

    def infer(self, site: Site, attributes: AverageAttributes) -> Inferred:
        dtype = site.dtype_in(0, EIGHT_BIT, "x")
        check_pool(site, attributes)
        if any(d != 1 for d in attributes.dilations):
            site.refuse("attribute 'dilations'", "1 on every axis", attributes.dilations)
        if not (site.quant(1, 2, dtype).per_tensor and site.quant(3, 4, dtype).per_tensor):
            site.refuse("scales", "one value each", "several")
        return ((dtype, pool_shape(attributes, site.value(0).shape)),)

    def step(self, site: Site, attributes: AverageAttributes) -> Step:
        dtype = site.value(0).dtype
        x, y = site.quant(1, 2, dtype), site.quant(3, 4, dtype)
        return self.make_step(site, attributes, (Operand(site.node.inputs[0], x),), (Operand(site.node.outputs[0], y),))

    def shapes(self, attributes: AverageAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (pool_shape(attributes, inputs[0]),)

    def work(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        assert inputs[0] is not None
        return pool_work(step.attributes, inputs[0], outputs[0], math.prod(step.attributes.kernel_shape))

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        attributes: AverageAttributes = step.attributes
        operand = step.inputs[0]
        assert operand is not None and operand.quant is not None and step.outputs[0].quant is not None
        x_quant, y_quant = operand.quant, step.outputs[0].quant
        rule = profile.average_pool.bind(x_quant, y_quant)

        def windows(x: Array) -> tuple[Taps, Int64]:
            """The windows' elements and divisors."""
            shape = concrete(pool_shape(attributes, x.shape))
            taps = taps_of(attributes, x, shape[2] if len(shape) == 4 else 1, shape[-1])
            # unlike AveragePool, it counts the elements that ceil_mode puts beyond the padding
            every = np.full_like(taps.count, len(taps.values))
            return taps, every if attributes.count_include_pad else taps.count

        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            (x,) = arrays
            assert x is not None
            if covers_all(attributes, x.shape[2:]):
                # ONNX Runtime calls its global average here, whose arithmetic is another
                return (global_average(x, profile, x_quant, y_quant),)
            taps, count = windows(x)
            shape = concrete(pool_shape(attributes, x.shape))
            return (rule(taps.values, taps.inside[:, None, None], count).reshape(shape),)

        def parameters(arrays: Sequence[Array | None]) -> Mapping[str, Any]:
            (x,) = arrays
            assert x is not None
            if covers_all(attributes, x.shape[2:]):
                count = math.prod(x.shape[2:])
                return {"count": count, **profile.global_average_pool.bind(x_quant, y_quant, count).parameters}
            return rule.numbers(np.unique(windows(x)[1]))

        return Bound(evaluate, more_parameters=parameters)


def covers_all(attributes: AverageAttributes, spatial: Sequence[int]) -> bool:
    """Whether one window, unpadded (auto_pad may pad as well), is the whole image."""
    kernel = attributes.kernel_shape
    return tuple(kernel) == tuple(spatial) and not any(window_for(attributes, kernel, spatial).pads)
