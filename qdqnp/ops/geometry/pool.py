"""Pools: attributes, checks, output shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from qdqnp.errors import Problem, ProfileError
from qdqnp.graph import Shape, Sizes
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.windows import WindowAttributes, check_window, padded_plane, spatial_output, taps_at
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array


@dataclass(frozen=True)
class PoolAttributes(WindowAttributes):
    crops: ClassVar[bool] = True

    ceil_mode: int = 0


def pool_shape(attributes: PoolAttributes, x: Shape) -> Shape:
    if len(x) != len(attributes.kernel_shape) + 2:
        raise ShapeError(f"rank {len(attributes.kernel_shape) + 2} (kernel_shape's + 2)", str(list(x)))
    return (*x[:2], *spatial_output(attributes, attributes.kernel_shape, x[2:], bool(attributes.ceil_mode)))


def check_pool(check: NodeCheck, attributes: PoolAttributes) -> None:
    """Refuse attributes that are out of range."""
    rank = check.rank_in(0, (3, 4, 5), "x")
    if not attributes.kernel_shape:
        check.refuse("attribute 'kernel_shape'", f"{rank - 2} sizes", "nothing")
    check_window(check, attributes, rank - 2, attributes.kernel_shape)
    for axis, size in enumerate(attributes.kernel_shape):
        pads = attributes.pads[axis :: rank - 2] if attributes.pads else ()
        dilation = attributes.dilations[axis] if attributes.dilations else 1
        if any(pad >= dilation * (size - 1) + 1 for pad in pads):
            check.refuse("attribute 'pads'", f"less than the window on axis {axis + 2}", list(attributes.pads))
    if attributes.ceil_mode not in (0, 1):
        check.refuse("attribute 'ceil_mode'", "0 or 1", attributes.ceil_mode)


def check_mlas(label: str, pads: Sequence[int]) -> None:
    """Raise ProfileError for a window that MLAS's pools refuse: auto_pad SAME cuts off what strides leave over."""
    if min(pads) < 0:
        hint = "The stride is larger than the window; write auto_pad VALID, or the pads."
        problem = Problem(f"step {label}, padding by auto_pad SAME", "at least 0", str(list(pads)), hint)
        raise ProfileError("ONNX Runtime's pool of floats does not run", [problem])


def pool_work(attributes: PoolAttributes, x: Sizes, out: Sizes, taps: int) -> int:
    """Count the elements of the padded input and of all taps; an empty tap costs a few as well."""
    plane = padded_plane(attributes, attributes.kernel_shape, x[2:], out[2:])
    return math.prod(x[:2]) * math.prod(plane) + taps * max(40, math.prod(out))


def pool_origin(attributes: PoolAttributes, index: Index, x: Array) -> Any:
    """Return what lies under the window of an output element, as `Operator.origin` does."""
    taps = taps_at(attributes, attributes.kernel_shape, x.shape[2:], index[2:])
    return [0 if tap is None else x[(*index[:2], *tap)] for tap in taps]


def global_shape(x: Shape) -> Shape:
    """Return the shape (N, C, 1, ...) of a pool over the whole image. Raises ShapeError where the image is empty."""
    if 0 in x[2:]:
        raise ShapeError("at least one element per channel", str(list(x)))
    return (*x[:2], *(1 for _ in x[2:]))
