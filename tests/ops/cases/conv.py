"""QLinearConv."""

from __future__ import annotations

import numpy as np

from tests.ops import draw
from tests.ops.case import Case, one_node


def window(rng: draw.Rng, sizes: tuple[int, ...], dilate: bool = True) -> tuple[list[int], dict[str, object]]:
    """A kernel and window attributes under which at least one window fits an image of those sizes."""
    rank = len(sizes)
    kernel = [draw.size(rng, 3) for _ in sizes]
    strides = [draw.size(rng, 3) for _ in sizes]
    dilations = [draw.size(rng, 2) if dilate and draw.chance(rng, 0.4) else 1 for _ in sizes]
    auto = draw.pick(rng, ("NOTSET", "NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"))
    if auto.startswith("SAME"):
        dilations = [1] * rank  # ONNX Runtime refuses the combination
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    pads = [int(rng.integers(0, r)) if draw.chance(rng, 0.7) else 0 for r in reach * 2]
    if auto != "NOTSET":
        pads = [0] * (2 * rank)
    if not auto.startswith("SAME"):
        for axis, size in enumerate(sizes):
            if reach[axis] > size + pads[axis] + pads[axis + rank]:
                kernel[axis] = dilations[axis] = 1
                pads[axis] = pads[axis + rank] = 0
    attributes: dict[str, object] = {}
    if auto != "NOTSET" or draw.chance(rng, 0.3):
        attributes["auto_pad"] = auto
    for name, value, default in (("strides", strides, 1), ("dilations", dilations, 1), ("pads", pads, 0)):
        if any(item != default for item in value) or (draw.chance(rng, 0.3) and (name != "pads" or auto == "NOTSET")):
            attributes[name] = value
    return kernel, attributes


def qlinear_conv(rng: draw.Rng) -> Case:
    """Dense, grouped and depthwise; 1-D to 3-D; constant and computed weights."""
    x_dtype, w_dtype = draw.sums_dtypes(rng)
    rank = draw.pick(rng, (1, 2, 2, 3))
    sizes = tuple(draw.size(rng, 9 if rank < 3 else 5) for _ in range(rank))
    kernel, attributes = window(rng, sizes)
    groups = draw.pick(rng, (1, 1, 1, 2, 3))
    per_group, filters = draw.pick(rng, (1, 2, 3, 5)), draw.pick(rng, (1, 2, 3))
    if draw.chance(rng, 0.2) and groups == 1:
        per_group = draw.pick(rng, (300, 600, 1200))  # sums past 2^24
    channels = groups * filters
    terms = per_group * int(np.prod(kernel))
    x_scale, w_scale = draw.scale(rng), draw.scale(rng, _per(rng, channels))
    w_zero = draw.zero_point(rng, w_dtype, w_scale.shape if draw.chance(rng, 0.3) else ())
    if draw.chance(rng, 0.4):
        w_zero = np.zeros_like(w_zero)
    typical = float(x_scale) * float(np.mean(w_scale.astype(np.float64))) * draw.typical_sum(terms)
    arguments = [
        ("x", draw.codes(rng, x_dtype, (draw.size(rng, 2), groups * per_group, *sizes))),
        ("xs", x_scale),
        ("xz", draw.zero_point(rng, x_dtype)),
        ("w", draw.codes(rng, w_dtype, (channels, per_group, *kernel))),
        ("ws", w_scale),
        ("wz", w_zero),
        ("ys", draw.output_scale(rng, typical)),
        ("yz", draw.zero_point(rng, x_dtype)),
        ("b", draw.bias(rng, (channels,), draw.typical_sum(terms))) if draw.chance(rng, 0.7) else None,
    ]
    feeds = ["x"]
    if draw.chance(rng, 0.15):
        feeds.append("w")
    if arguments[-1] is not None and draw.chance(rng, 0.1):
        feeds.append("b")
    attributes["kernel_shape"] = kernel if draw.chance(rng, 0.7) else None
    attributes["group"] = groups if groups > 1 or draw.chance(rng, 0.5) else None
    return one_node("QLinearConv", arguments, feeds, **attributes)


def _per(rng: draw.Rng, channels: int) -> tuple[int, ...]:
    return (channels,) if draw.chance(rng, 0.6) else ()
