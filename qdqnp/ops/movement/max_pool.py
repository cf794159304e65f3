"""MaxPool on codes or float32: the maximum needs no arithmetic, so codes stay codes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from qdqnp.graph import Shape, concrete
from qdqnp.kernels.pool import max_pool
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.ops.base import AUTO, Bound, Inferred, Operator, ShapeError, Site
from qdqnp.ops.geometry.windows import (
    WindowAttributes,
    as_planes,
    check_window,
    padded_plane,
    spatial_output,
    window_for,
)
from qdqnp.program import Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class PoolAttributes(WindowAttributes):
    crops: ClassVar[bool] = True

    ceil_mode: int = 0


def pool_shape(attributes: PoolAttributes, x: Shape) -> Shape:
    if len(x) != len(attributes.kernel_shape) + 2:
        raise ShapeError(f"rank {len(attributes.kernel_shape) + 2} (kernel_shape's + 2)", str(list(x)))
    return (*x[:2], *spatial_output(attributes, attributes.kernel_shape, x[2:], bool(attributes.ceil_mode)))


def check_pool(site: Site, attributes: PoolAttributes) -> None:
    rank = site.rank_in(0, (3, 4), "x")
    if not attributes.kernel_shape:
        site.refuse("attribute 'kernel_shape'", f"{rank - 2} sizes", "nothing")
    check_window(site, attributes, rank - 2, attributes.kernel_shape)
    for axis, size in enumerate(attributes.kernel_shape):
        pads = attributes.pads[axis :: rank - 2] if attributes.pads else ()
        dilation = attributes.dilations[axis] if attributes.dilations else 1
        if any(pad >= dilation * (size - 1) + 1 for pad in pads):
            site.refuse("attribute 'pads'", f"less than the window on axis {axis + 2}", list(attributes.pads))
    if attributes.auto_pad.startswith("SAME") and any(d != 1 for d in attributes.dilations):
        # ONNX Runtime pads as if there were no dilation, and ONNX's own shapes then do not fit
        site.refuse(
            "attributes 'auto_pad' and 'dilations'",
            "one of them",
            f"{attributes.auto_pad} and dilations",
            "State the padding with 'pads'.",
        )
    if attributes.ceil_mode not in (0, 1):
        site.refuse("attribute 'ceil_mode'", "0 or 1", attributes.ceil_mode)


def pool_work(attributes: PoolAttributes, x: Shape, out: Shape, taps: int) -> int:
    """Elements of the padded input and of all taps; an empty tap costs a few as well."""
    x, out = concrete(x), concrete(out)
    plane = padded_plane(attributes, attributes.kernel_shape, x[2:], out[2:])
    return math.prod(x[:2]) * math.prod(plane) + taps * max(40, math.prod(out))


class MaxPool(Operator):
    op = "MaxPool"
    Attributes = PoolAttributes
    ignored = frozenset({"storage_order"})  # orders the indices, an output that is refused below

    def infer(self, site: Site, attributes: PoolAttributes) -> Inferred:
        dtype = site.dtype_in(0, (np.int8, np.uint8, np.float32), "x")
        if len([name for name in site.node.outputs if name]) > 1:
            site.refuse("output 1 (Indices)", "no such output", site.node.outputs[1], "Only the values are computed.")
        check_pool(site, attributes)
        return ((dtype, pool_shape(attributes, site.value(0).shape)),)

    def shapes(self, attributes: PoolAttributes, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        assert inputs[0] is not None
        return (pool_shape(attributes, inputs[0]),)

    def work(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        assert inputs[0] is not None
        kernel = step.attributes.kernel_shape
        return pool_work(step.attributes, inputs[0], outputs[0], sum(kernel))  # one axis after the other

    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        def evaluate(arrays: Sequence[Array | None], scratch: Scratch) -> tuple[Array, ...]:
            (x,) = arrays
            assert x is not None
            shape = concrete(pool_shape(step.attributes, x.shape))
            window = window_for(step.attributes, step.attributes.kernel_shape, x.shape[2:])
            info = np.finfo(x.dtype) if x.dtype.kind == "f" else np.iinfo(x.dtype)
            planes = as_planes(x)
            rows = shape[2] if len(shape) == 4 else 1
            pooled = max_pool(planes, window, rows, shape[-1], info.min)
            return (pooled.reshape(shape),)

        return Bound(evaluate)
