"""com.microsoft.QLinearAveragePool: the profile's average rule on the window's codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.numerics.questions import Means, Windows
from qdqnp.ops.geometry.pool import check_pool, pool_shape, pool_work
from qdqnp.ops.geometry.taps import AverageAttributes, taps_of
from qdqnp.ops.geometry.windows import axes_for
from qdqnp.ops.integer.asking import Part
from qdqnp.ops.integer.qlinear_global_average_pool import plane_means
from qdqnp.ops.integer.unary import FromOneInput, input_and_output
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred
from qdqnp.program import Step
from qdqnp.quant import ACTIVATIONS, Codes


class QLinearAveragePool(FromOneInput):
    op = "QLinearAveragePool"
    only = "NCHW, no dilations"
    Attributes = AverageAttributes
    ignored = frozenset({"channels_last"})
    asks = Windows
    rule = "average_pool"

    def attributes(self, check: NodeCheck) -> Any:
        check.channels_first()
        return super().attributes(check)

    def infer(self, check: NodeCheck, attributes: AverageAttributes) -> Inferred:
        dtype = check.dtype_in(0, ACTIVATIONS, "x")
        check_pool(check, attributes)
        if any(d != 1 for d in attributes.dilations):
            check.refuse("attribute 'dilations'", "1 on every axis", attributes.dilations)
        input_and_output(check)
        return ((dtype, pool_shape(attributes, check.value(0).shape)),)

    def shapes(self, attributes: AverageAttributes, x: Shape) -> tuple[Shape, ...]:
        return (pool_shape(attributes, x),)

    def work(self, attributes: AverageAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        return pool_work(attributes, inputs[0], output, math.prod(attributes.kernel_shape))

    def questions(self, step: Step, x: Codes) -> Sequence[Part]:
        """Ask about the windows, or about whole planes where one window is the whole image.

        ONNX Runtime then calls its global average, whose arithmetic differs.
        """
        attributes: AverageAttributes = step.attributes
        if covers_all(attributes, x.shape[2:]):
            return [Part(plane_means(step, x))]
        taps = taps_of(attributes, x, concrete(pool_shape(attributes, x.shape))[2:])
        # unlike AveragePool, the operator counts the elements that ceil_mode puts beyond the padding
        count = np.full_like(taps.count, len(taps.values)) if attributes.count_include_pad else taps.count
        inside = taps.inside[:, None, None]
        return [Part(Windows(step.label, step.quant(0), step.y, taps.values, inside, count))]

    def parameters(self, binding: Binding, parts: Sequence[Part]) -> Mapping[str, Any]:
        found, question = super().parameters(binding, parts), parts[0].question
        return {"count": question.count, **found} if isinstance(question, Means) else found


def covers_all(attributes: AverageAttributes, spatial: Sizes) -> bool:
    """Tell whether one window, unpadded (auto_pad may pad as well), is the whole image."""
    kernel = attributes.kernel_shape
    pads = [pad for axis in axes_for(attributes, kernel, spatial) for pad in axis[2:]]
    return tuple(kernel) == tuple(spatial) and not any(pads)
