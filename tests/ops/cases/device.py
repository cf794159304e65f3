"""Operators that only the lowerings of devices make: there is nothing of ONNX Runtime's to compare them with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from onnx import helper

from tests.ops import draw
from tests.ops.case import Case, one_node
from tests.ops.cases.binary import _binary

DOMAIN = "qdqnp"


def _function(rng: draw.Rng, op: str, **attributes: object) -> Case:
    dtype = draw.pick(rng, draw.EIGHT)
    arguments = [
        ("x", draw.codes(rng, dtype, draw.shape(rng))),
        ("xs", draw.scale(rng)),
        ("xz", draw.zero_point(rng, dtype)),
        ("ys", draw.output_scale(rng, 1.0)),
        ("yz", draw.zero_point(rng, dtype)),
    ]
    case = one_node(op, arguments, domain=DOMAIN, **attributes)
    case.model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return case


def tanh(rng: draw.Rng) -> Case:
    return _function(rng, "QLinearTanh")


def hard_swish(rng: draw.Rng) -> Case:
    return _function(rng, "QLinearHardSwish")


def hard_sigmoid(rng: draw.Rng) -> Case:
    alpha = float(draw.pick(rng, (0.2, 1 / 6, 0.5, -1.0, float(rng.uniform(-2, 2)))))
    return _function(rng, "QLinearHardSigmoid", alpha=alpha, beta=float(draw.pick(rng, (0.5, 0.0, 1.5))))


def sub(rng: draw.Rng) -> Case:
    a_scale, b_scale = draw.scale(rng), draw.scale(rng)
    case = _binary(
        rng, "QLinearSub", a_scale, b_scale, draw.output_scale(rng, 100 * max(float(a_scale), float(b_scale)))
    )
    (node,) = case.model.graph.node
    node.domain = DOMAIN
    case.model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return case


def requantize(rng: draw.Rng) -> Case:
    kinds = [draw.pick(rng, draw.EIGHT) for _ in range(2)]
    scale = draw.scale(rng)
    arguments = [
        ("x", draw.codes(rng, kinds[0], draw.shape(rng))),
        ("xs", scale),
        ("xz", draw.zero_point(rng, kinds[0])),
        ("ys", draw.output_scale(rng, 100 * float(scale))),
        ("yz", draw.zero_point(rng, kinds[1])),
    ]
    case = one_node("QLinearRequantize", arguments, domain=DOMAIN, output=kinds[1])
    case.model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return case


def resize(rng: draw.Rng) -> Case:
    """Height and width of either layout, by sizes or by scales, longer and shorter."""
    dtype, scale, axes = draw.pick(rng, draw.EIGHT), draw.scale(rng), draw.pick(rng, ((2, 3), (1, 2)))
    dims, zero = tuple(draw.size(rng, 6) for _ in range(4)), draw.zero_point(rng, dtype)
    arguments = [("x", draw.codes(rng, dtype, dims)), ("xs", scale), ("xz", zero), ("ys", scale), ("yz", zero)]
    mode = draw.pick(rng, ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"))
    given: dict[str, object] = {"sizes": [draw.size(rng, 9), draw.size(rng, 9)]}
    if draw.chance(rng, 0.5):
        given = {"scales": [max(float(draw.pick(rng, (2.0, 1.5, 1.0, 0.4, 1 / 3, 4 / 3))), 1 / dims[a]) for a in axes]}
    case = one_node(
        "QLinearResizeLinear", arguments, domain=DOMAIN, coordinate_transformation_mode=mode, axes=list(axes), **given
    )
    case.model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return case


DEVICE_CASES: Mapping[str, Callable[[np.random.Generator], Case]] = {
    "QLinearTanh": tanh,
    "QLinearHardSwish": hard_swish,
    "QLinearHardSigmoid": hard_sigmoid,
    "QLinearSub": sub,
    "QLinearRequantize": requantize,
    "QLinearResizeLinear": resize,
}
