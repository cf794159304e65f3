"""Sliding windows of Conv and the pools: attributes, padding and output sizes, in 1-D to 3-D."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import ClassVar

from qdqnp.graph import Dim, Shape, Sizes
from qdqnp.kernels.sums import Window
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import ShapeError
from qdqnp.quant import Array

AUTO_PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
# No sensible window attribute exceeds this; it keeps every size computation far from overflow.
LARGEST = 2**20


@dataclass(frozen=True)
class WindowAttributes:
    """The attributes that Conv and the pools share; () stands for the ONNX default."""

    #: What auto_pad SAME does where strides leave elements between the windows: Conv starts at the first element
    #: (False); the pools drop the surplus from both ends, as negative padding (True).
    crops: ClassVar[bool] = False

    auto_pad: str = "NOTSET"
    kernel_shape: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()


def check_window(check: NodeCheck, attributes: WindowAttributes, spatial: int, kernel: Sequence[int]) -> None:
    """Refuse window attributes that are out of range or of the wrong length for `spatial` axes."""
    if attributes.auto_pad not in AUTO_PADS:
        check.refuse("attribute 'auto_pad'", " or ".join(AUTO_PADS), repr(attributes.auto_pad))
    if attributes.kernel_shape and tuple(attributes.kernel_shape) != tuple(kernel):
        check.refuse("attribute 'kernel_shape'", f"{list(kernel)}, the weights' own", attributes.kernel_shape)
    for name, value, length, least in (
        ("kernel_shape", tuple(kernel), spatial, 1),
        ("strides", attributes.strides, spatial, 1),
        ("dilations", attributes.dilations, spatial, 1),
        ("pads", attributes.pads, 2 * spatial, 0),
    ):
        if check.node.attributes.get(name) == ():  # ONNX Runtime takes an empty list for a wrong length, not for none
            check.refuse(f"attribute '{name}'", f"{length} integers, or no such attribute", "none")
        if value and (len(value) != length or not all(least <= item <= LARGEST for item in value)):
            check.refuse(f"attribute '{name}'", f"{length} integers in [{least}, {LARGEST}]", list(value))
    if attributes.auto_pad != "NOTSET" and any(attributes.pads):
        check.refuse("attributes 'auto_pad' and 'pads'", "one of them", f"{attributes.auto_pad} and {attributes.pads}")
    if attributes.auto_pad.startswith("SAME") and any(d != 1 for d in attributes.dilations):
        # ONNX Runtime's Conv refuses it; its pools pad as if there were no dilation, and ONNX's own shapes do not fit
        check.refuse(
            "attributes 'auto_pad' and 'dilations'",
            "one of them",
            f"{attributes.auto_pad} and dilations",
            "State the padding with 'pads'.",
        )


def spatial_output(
    attributes: WindowAttributes, kernel: Sequence[int], spatial: Sequence[Dim], ceil_mode: bool = False
) -> Shape:
    """Return the output sizes along the spatial axes; unknown sizes stay unknown.

    Raises ShapeError where a window does not fit.
    """
    result: list[Dim] = []
    for axis, size in enumerate(spatial):
        if not isinstance(size, int):
            result.append(None)
            continue
        stride, dilation, before, after = _axis(attributes, kernel, axis, size)
        reach = dilation * (kernel[axis] - 1) + 1
        room = size + before + after - reach
        if room < 0 or size == 0:
            raise ShapeError(
                f"at least {reach} elements under a window of axis {axis + 2}",
                f"{size} elements and {before + after} of padding",
            )
        count = room // stride + 1
        if ceil_mode and room % stride and count * stride < size + before:
            count += 1  # the partial last window counts if it starts inside the image or its leading padding
        result.append(count)
    return tuple(result)


def _axis(attributes: WindowAttributes, kernel: Sequence[int], axis: int, size: int) -> tuple[int, int, int, int]:
    """Return (stride, dilation, padding before, padding after) of one axis of the given size."""
    rank = len(kernel)
    stride = attributes.strides[axis] if attributes.strides else 1
    dilation = attributes.dilations[axis] if attributes.dilations else 1
    if attributes.auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        reach = dilation * (kernel[axis] - 1) + 1
        total = (-(-size // stride) - 1) * stride + reach - size
        if not attributes.crops:
            total = max(0, total)
        # divided toward zero, as in C: what is cut off divides like what is added
        before = int(total / 2) if attributes.auto_pad == "SAME_UPPER" else int((total + 1) / 2)
        return stride, dilation, before, total - before
    if attributes.pads and attributes.auto_pad == "NOTSET":
        return stride, dilation, attributes.pads[axis], attributes.pads[axis + rank]
    return stride, dilation, 0, 0


def padded_plane(attributes: WindowAttributes, kernel: Sequence[int], spatial: Sizes, out: Sizes) -> Sizes:
    """Return the sizes of one plane with all that its windows reach."""
    sizes = []
    for axis, size in enumerate(spatial):
        stride, dilation, before, after = _axis(attributes, kernel, axis, size)
        reach = (out[axis] - 1) * stride + dilation * (kernel[axis] - 1) + 1
        sizes.append(max(size, size + before + after, reach))
    return tuple(sizes)


def axes_for(attributes: WindowAttributes, kernel: Sequence[int], spatial: Sizes) -> list[tuple[int, int, int, int]]:
    """Return (stride, dilation, padding before, padding after) of each axis for concrete sizes."""
    return [_axis(attributes, kernel, axis, size) for axis, size in enumerate(spatial)]


@lru_cache(maxsize=4096)  # the same few shapes again in every run
def window_for(attributes: WindowAttributes, kernel: Sizes, spatial: Sizes) -> Window:
    """Return the 2-D window for concrete sizes; a 1-D window becomes a single row."""
    axes, sizes = axes_for(attributes, kernel, spatial), list(kernel)
    if len(axes) == 1:
        axes, sizes = [(1, 1, 0, 0), *axes], [1, *sizes]
    (sh, dh, top, bottom), (sw, dw, left, right) = axes
    return Window((sizes[0], sizes[1]), (sh, sw), (dh, dw), (top, left, bottom, right))


def taps_at(attributes: WindowAttributes, kernel: Sizes, spatial: Sizes, place: Index) -> Iterator[Index | None]:
    """Yield where in the image each tap of one window lies, row-major; None for taps in the padding.

    place: the position of the window, an index of the output without image and channel.
    """
    axes = axes_for(attributes, kernel, spatial)
    for tap in product(*(range(size) for size in kernel)):
        at = tuple(p * axis[0] - axis[2] + t * axis[1] for p, t, axis in zip(place, tap, axes, strict=True))
        yield at if all(0 <= i < size for i, size in zip(at, spatial, strict=True)) else None


def as_planes(x: Array) -> Array:
    """Return (N, C, W) as (N, C, 1, W), and (N, C, H, W) as it is."""
    return x.reshape(x.shape[0], x.shape[1], 1, x.shape[2]) if x.ndim == 3 else x
