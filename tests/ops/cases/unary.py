"""QLinearLeakyRelu, QLinearSigmoid, QLinearSoftmax, Relu and Clip on codes."""

from __future__ import annotations

import numpy as np

from tests.ops import draw
from tests.ops.case import MS, Case, one_node


def _lookup(rng: draw.Rng, op: str, typical: float, x_scale: draw.Array, **attributes: object) -> Case:
    dtype = draw.pick(rng, draw.EIGHT)
    arguments = [
        ("x", draw.codes(rng, dtype, draw.shape(rng))),
        ("xs", x_scale),
        ("xz", draw.zero_point(rng, dtype)),
        ("ys", draw.output_scale(rng, typical)),
        ("yz", draw.zero_point(rng, dtype)),
    ]
    return one_node(op, arguments, domain=MS, **attributes)


def qlinear_leaky_relu(rng: draw.Rng) -> Case:
    scale = draw.scale(rng)
    alpha = draw.pick(rng, (None, 0.1, 0.5, 0.0, -0.3, 2.0, float(rng.uniform(0, 1))))
    return _lookup(rng, "QLinearLeakyRelu", 100 * float(scale), scale, alpha=alpha)


def qlinear_sigmoid(rng: draw.Rng) -> Case:
    return _lookup(rng, "QLinearSigmoid", 1.0, draw.scale(rng))


def qlinear_softmax(rng: draw.Rng) -> Case:
    """Rows along one axis, or along all from one on; the output's scale is 1 / 256 or about."""
    dtype = draw.pick(rng, draw.EIGHT)
    dims = draw.shape(rng, most=7)
    y_scale = draw.pick(rng, (1 / 256, 1 / 255, 1 / 128, 0.01, 1e-4, 10 ** rng.uniform(-3, 0.5)))
    arguments = [
        ("x", draw.codes(rng, dtype, dims)),
        ("xs", np.float32(10 ** rng.uniform(-4, 1) if draw.chance(rng, 0.7) else 2.0 ** -int(rng.integers(0, 8)))),
        ("xz", draw.zero_point(rng, dtype)),
        ("ys", np.float32(y_scale)),
        ("yz", draw.zero_point(rng, dtype)),
    ]
    axis = int(rng.integers(-len(dims), len(dims)))
    return one_node("QLinearSoftmax", arguments, domain=MS, axis=axis, opset_=int(draw.pick(rng, (11, 13))))


def relu(rng: draw.Rng) -> Case:
    return one_node("Relu", [("x", draw.codes(rng, np.int8, draw.shape(rng)))], opset=14)


def clip(rng: draw.Rng) -> Case:
    """Either limit may be missing, and the lower one may be the larger."""
    dtype = draw.pick(rng, draw.EIGHT)
    limits = [(name, draw.zero_point(rng, dtype)) if draw.chance(rng, 0.7) else None for name in ("low", "high")]
    return one_node("Clip", [("x", draw.codes(rng, dtype, draw.shape(rng))), *limits], opset=13)
