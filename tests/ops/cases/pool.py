"""MaxPool on codes, QLinearAveragePool, QLinearGlobalAveragePool."""

from __future__ import annotations

import numpy as np

from tests.ops import draw
from tests.ops.case import MS, Case, one_node
from tests.ops.cases.conv import window


def pooling(rng: draw.Rng, sizes: tuple[int, ...], dilate: bool = True) -> dict[str, object]:
    kernel, attributes = window(rng, sizes, dilate)
    if any(pad >= kernel[i % len(sizes)] for i, pad in enumerate(attributes.get("pads", ()))):
        return pooling(rng, sizes, dilate)  # ONNX Runtime refuses it, dilated or not
    ceil_mode = draw.pick(rng, (None, 0, 1, 1))
    return {**attributes, "kernel_shape": kernel, "ceil_mode": ceil_mode}


def spatial(rng: draw.Rng, most: int = 2) -> tuple[int, ...]:
    """Sizes of one axis, two, or as many as `most`."""
    return tuple(draw.size(rng, 8 if most == 2 else 6) for _ in range(draw.pick(rng, (1, 2, 2, most))))


def max_pool(rng: draw.Rng) -> Case:
    sizes = spatial(rng, 3)
    x = draw.codes(rng, draw.pick(rng, draw.EIGHT), (draw.size(rng, 2), draw.size(rng, 4), *sizes))
    return one_node("MaxPool", [("x", x)], opset=int(draw.pick(rng, (12, 17, 22))), **pooling(rng, sizes))


def qlinear_average_pool(rng: draw.Rng) -> Case:
    """Windows that overlap the border, and the window that is the whole image, which is computed otherwise."""
    sizes = spatial(rng, 3)
    attributes = pooling(rng, sizes, dilate=False)
    attributes.pop("dilations", None)
    if draw.chance(rng, 0.15):
        attributes = {"kernel_shape": list(sizes)}
    include = draw.pick(rng, (None, 0, 1, 1))
    arguments = _averaged(rng, (draw.size(rng, 2), draw.size(rng, 4), *sizes))
    return one_node("QLinearAveragePool", arguments, domain=MS, count_include_pad=include, **attributes)


def qlinear_global_average_pool(rng: draw.Rng) -> Case:
    sizes = tuple(draw.size(rng, 12) for _ in range(draw.pick(rng, (1, 2, 2, 2, 3))))
    arguments = _averaged(rng, (draw.size(rng, 3), draw.size(rng, 6), *sizes))
    return one_node("QLinearGlobalAveragePool", arguments, domain=MS, channels_last=0)


def _averaged(rng: draw.Rng, dims: tuple[int, ...]) -> list[tuple[str, draw.Array]]:
    """x and its parameters. The kernel of global averages wants a scale ratio in [2^-32, 256)."""
    dtype = draw.pick(rng, draw.EIGHT)
    x_scale = np.clip(draw.scale(rng), np.float32(1e-20), np.float32(1e20))
    ratio = draw.pick(rng, (1.0, 0.5, 2.0, 0.25, 10 ** rng.uniform(-4, 2)))
    return [
        ("x", draw.codes(rng, dtype, dims)),
        ("xs", x_scale),
        ("xz", draw.zero_point(rng, dtype)),
        ("ys", np.float32(float(x_scale) / ratio)),
        ("yz", draw.zero_point(rng, dtype)),
    ]
