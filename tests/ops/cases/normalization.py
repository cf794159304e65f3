"""Norms and normalizations in float32 over windows, groups and neighbouring channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.ops import draw
from tests.ops.case import Case, one_node
from tests.ops.cases.functions import reals
from tests.ops.cases.pool import pooling, spatial


def lrn(rng: draw.Rng) -> Case:
    """Exponents that are multiplied out, and others; more channels than the window has, and fewer."""
    x = reals(rng, (draw.size(rng, 2), draw.pick(rng, (1, 2, 5, 12)), draw.size(rng, 5), draw.size(rng, 5)), 0.2)
    return one_node(
        "LRN",
        [("x", x)],
        size=draw.pick(rng, (1, 3, 5)),
        alpha=draw.pick(rng, (None, 1e-4, 1.0, 0.3)),
        beta=draw.pick(rng, (None, 0.75, 0.5, 1.0, 2.0, 3.5, 4.0)),
        bias=draw.pick(rng, (None, 2.0, 0.0, -0.5)),
    )


def lp_pool(rng: draw.Rng) -> Case:
    sizes = spatial(rng, 3)
    opset = draw.pick(rng, (11, 18, 22))
    attributes = pooling(rng, sizes, dilate=opset > 11)
    if opset == 11:
        attributes = {
            name: attributes[name] for name in ("kernel_shape", "auto_pad", "strides", "pads") if name in attributes
        }
    x = reals(rng, (draw.size(rng, 2), draw.size(rng, 3), *sizes))
    return one_node("LpPool", [("x", x)], opset=opset, p=draw.pick(rng, (None, 1, 2)), **attributes)


def global_lp_pool(rng: draw.Rng) -> Case:
    x = reals(rng, (draw.size(rng, 2), draw.size(rng, 3), *spatial(rng, 3)))
    return one_node("GlobalLpPool", [("x", x)], p=draw.pick(rng, (None, 1, 2)))


def mean_variance_normalization(rng: draw.Rng) -> Case:
    dims = draw.shape(rng, 4, 8)
    axes = draw.pick(rng, (None, (0, 1, 2, 3), (1,), (-1,), (2, 3), (0, 2), (1, -1)))
    return one_node("MeanVarianceNormalization", [("x", reals(rng, dims))], axes=axes)


def group_normalization(rng: draw.Rng) -> Case:
    groups, each = draw.size(rng, 3), draw.size(rng, 3)
    dims = (draw.size(rng, 2), groups * each, *spatial(rng, 3))
    opset = draw.pick(rng, (18, 21))
    scaled = dims[1:2] if opset == 21 else (groups,)
    arguments = [("x", reals(rng, dims)), *((name, reals(rng, scaled, 0.1)) for name in ("scale", "bias"))]
    epsilon = draw.pick(rng, (None, 1e-3))
    return one_node("GroupNormalization", arguments, opset=opset, num_groups=groups, epsilon=epsilon)


NORMALIZATION: Mapping[str, Callable[[draw.Rng], Case]] = {
    "LRN": lrn,
    "LpPool": lp_pool,
    "GlobalLpPool": global_lp_pool,
    "MeanVarianceNormalization": mean_variance_normalization,
    "GroupNormalization": group_normalization,
}
