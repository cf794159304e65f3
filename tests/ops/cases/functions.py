"""Float32 functions, reductions and normalizations, which ONNX Runtime computes in an order and by polynomials of its
own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tests.ops import draw
from tests.ops.case import MS, Array, Case, one_node
from tests.ops.cases.binary import broadcast_pair
from tests.ops.cases.pool import spatial

F = np.float32
LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 19, 23, 24, 31, 33, 48, 49, 100, 257)


def reals(rng: draw.Rng, dims: tuple[int, ...], odd: float = 0.3) -> Array:
    """Values around 1, or of all magnitudes; by a chance of `odd` with zeros of both signs, infinities, NaNs and
    subnormals among them."""
    wide = 10 ** rng.uniform(-2, 1) if draw.chance(rng, 0.6) else 2.0 ** rng.uniform(-30, 8, dims)
    x = rng.normal(0, 1, dims) * wide
    if draw.chance(rng, odd):
        rare = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-44, -1e-39, 3e38, -3e38])
        x = np.where(rng.random(dims) < 0.1, rng.choice(rare, dims), x)
    return np.asarray(x, F)


def of_one(op: str, domain: str = "", opset: int = 22, **options: Any) -> Callable[[draw.Rng], Case]:
    """An operator of one input. options: values to choose from for each attribute."""

    def case(rng: draw.Rng) -> Case:
        x = reals(rng, (draw.pick(rng, LENGTHS),) if draw.chance(rng, 0.5) else draw.shape(rng))
        attributes = {name: draw.pick(rng, values) for name, values in options.items()}
        return one_node(op, [("x", x)], domain=domain, opset=opset, **attributes)

    return case


def power(rng: draw.Rng) -> Case:
    a, b = broadcast_pair(rng)
    exponents = rng.choice(np.array([2, 3, 0.5, -1, -0.5, 1, 0, 4, 1.7, np.inf], F), b)
    if draw.chance(rng, 0.2):  # as exporters write it
        b, exponents = (), np.asarray(draw.pick(rng, (2.0, 3.0, 0.5)), F)
    return one_node("Pow", [("x", reals(rng, a)), ("e", exponents)], draw.pick(rng, (["x"], ["x", "e"])))


def prelu(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    slope = tuple(size if draw.chance(rng, 0.5) else 1 for size in dims[int(rng.integers(0, len(dims))) :])
    return one_node("PRelu", [("x", reals(rng, dims)), ("slope", reals(rng, slope, 0.1))])


def fast_gelu(op: str) -> Callable[[draw.Rng], Case]:
    def case(rng: draw.Rng) -> Case:
        x = reals(rng, (*draw.shape(rng, 2), draw.pick(rng, LENGTHS)))
        bias = op == "BiasGelu" or draw.chance(rng, 0.5)
        arguments = [("x", x), ("bias", reals(rng, x.shape[-1:], 0)) if bias else None]
        return one_node(op, arguments, domain=MS)

    return case


def softmax(op: str) -> Callable[[draw.Rng], Case]:
    def case(rng: draw.Rng) -> Case:
        dims = draw.shape(rng)
        if draw.chance(rng, 0.5):
            dims = (*dims[:2], draw.pick(rng, LENGTHS))
        odd = 0.0 if op == "Hardmax" else 0.3
        axis = draw.pick(rng, (None, int(rng.integers(-len(dims), len(dims)))))
        opset = draw.pick(rng, (11, 13, 17)) if len(dims) > 1 or axis is not None else 13
        return one_node(op, [("x", reals(rng, dims, odd))], axis=axis, opset=opset)

    return case


def reduction(op: str, odd: float = 0.3) -> Callable[[draw.Rng], Case]:
    """Few and many elements, along any axes, which decide the order."""

    def case(rng: draw.Rng) -> Case:
        few = draw.chance(rng, 0.7)
        dims = draw.shape(rng) if few else tuple(draw.pick(rng, (2, 3, 17, 40, 260)) for _ in range(draw.size(rng, 2)))
        axes = [axis - len(dims) * draw.chance(rng, 0.2) for axis in range(len(dims)) if draw.chance(rng, 0.5)]
        x = reals(rng, dims, odd)
        if op == "ReduceLogSum" and draw.chance(rng, 0.7):
            x = np.abs(x)
        keepdims = draw.pick(rng, (None, 0, 1))
        if op != "ReduceSum" and draw.chance(rng, 0.3):
            return one_node(op, [("x", x)], axes=axes or None, keepdims=keepdims, opset=13)
        given = ("axes", np.array(axes, np.int64)) if axes or draw.chance(rng, 0.5) else None
        noop = draw.pick(rng, (None, 0, 1))
        return one_node(op, [("x", x), given], keepdims=keepdims, noop_with_empty_axes=noop, opset=18)

    return case


def batch_normalization(rng: draw.Rng) -> Case:
    dims = (draw.size(rng, 2), draw.size(rng, 4), *spatial(rng))
    statistics = [(name, reals(rng, (dims[1],), 0.1)) for name in ("s", "b", "m")]
    variance = ("v", np.abs(reals(rng, (dims[1],), 0.1)))
    return one_node("BatchNormalization", [("x", reals(rng, dims)), *statistics, variance], opset=15)


def instance_normalization(rng: draw.Rng) -> Case:
    dims = (draw.size(rng, 2), draw.size(rng, 4), *spatial(rng))
    arguments = [("x", reals(rng, dims)), *((name, reals(rng, (dims[1],), 0.1)) for name in ("scale", "bias"))]
    return one_node("InstanceNormalization", arguments, epsilon=draw.pick(rng, (None, 1e-3)))


def lp_normalization(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    axis, p = draw.pick(rng, (None, int(rng.integers(-len(dims), len(dims))))), draw.pick(rng, (None, 1, 2))
    return one_node("LpNormalization", [("x", reals(rng, dims))], axis=axis, p=p)


def _rows(rng: draw.Rng) -> tuple[tuple[int, ...], int]:
    """A shape, and the first axis of a row."""
    dims = (*draw.shape(rng, int(rng.integers(1, 4)), 3), draw.pick(rng, LENGTHS))
    return dims, len(dims) - draw.pick(rng, (1, 1, 1, 2))


def layer_normalization(rng: draw.Rng) -> Case:
    dims, first = _rows(rng)
    arguments = [
        ("x", reals(rng, dims)),
        ("scale", reals(rng, dims[first:], 0.1)),
        ("bias", reals(rng, dims[first:], 0.1)) if draw.chance(rng, 0.7) else None,
    ]
    axis = draw.pick(rng, (first, first - len(dims)))
    return one_node("LayerNormalization", arguments, axis=axis, epsilon=draw.pick(rng, (None, 1e-3, 1e-12)))


def rms_normalization(rng: draw.Rng) -> Case:
    dims, first = _rows(rng)
    arguments = [("x", reals(rng, dims)), ("scale", reals(rng, dims[first:], 0.1))]
    return one_node("RMSNormalization", arguments, axis=first, epsilon=draw.pick(rng, (None, 1e-3)), opset=23)


def skip_layer_normalization(op: str) -> Callable[[draw.Rng], Case]:
    def case(rng: draw.Rng) -> Case:
        dims = (*draw.shape(rng, draw.pick(rng, (1, 2)), 3), draw.pick(rng, LENGTHS))
        names = ("gamma", "beta", "bias") if op == "SkipLayerNormalization" else ("gamma", "bias")
        arguments = [
            ("x", reals(rng, dims)),
            ("skip", reals(rng, (1, *dims[1:]) if len(dims) == 3 and draw.chance(rng, 0.3) else dims)),
            *(
                (name, reals(rng, dims[-1:], 0.1)) if name == "gamma" or draw.chance(rng, 0.6) else None
                for name in names
            ),
        ]
        return one_node(op, arguments, ["x", "skip"], domain=MS, epsilon=draw.pick(rng, (None, 1e-5)))

    return case


def cum_prod(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    x: Array = reals(rng, dims) if draw.chance(rng, 0.7) else rng.integers(-(2**31), 2**31 - 1, dims, np.int32)
    axis = np.asarray(rng.integers(-len(dims), len(dims)), np.int64)
    exclusive, reverse = (draw.pick(rng, (None, 0, 1)) for _ in range(2))
    return one_node("CumProd", [("x", x), ("axis", axis)], opset=26, exclusive=exclusive, reverse=reverse)


def cum_sum(rng: draw.Rng) -> Case:
    dims = draw.shape(rng)
    x: Array = reals(rng, dims) if draw.chance(rng, 0.7) else rng.integers(-(2**31), 2**31 - 1, dims, np.int32)
    axis = np.asarray(rng.integers(-len(dims), len(dims)), draw.pick(rng, (np.int32, np.int64)))
    exclusive, reverse = (draw.pick(rng, (None, 0, 1)) for _ in range(2))
    return one_node("CumSum", [("x", x), ("axis", axis)], exclusive=exclusive, reverse=reverse)


def angles(op: str, low: float = -50.0, high: float = 50.0) -> Callable[[draw.Rng], Case]:
    """A function of numbers between two."""

    def case(rng: draw.Rng) -> Case:
        return one_node(op, [("x", rng.uniform(low, high, draw.shape(rng)).astype(F))], opset=18)

    return case


# the C library's, or Eigen's: not promised
CLOSE_FUNCTIONS: Mapping[str, Callable[[draw.Rng], Case]] = {
    "Softplus": angles("Softplus"),
    "Mish": angles("Mish"),
    **{op: angles(op) for op in ("Sin", "Cos", "Tan", "Atan", "Asinh")},
    **{op: angles(op, -1, 1) for op in ("Asin", "Acos", "Atanh")},
    **{op: angles(op, -9, 9) for op in ("Sinh", "Cosh")},
    "Acosh": angles("Acosh", 1, 50),
}

FUNCTIONS: Mapping[str, Callable[[draw.Rng], Case]] = {
    "Exp": of_one("Exp"),
    "Log": of_one("Log"),
    "Tanh": of_one("Tanh"),
    "Erf": of_one("Erf"),
    "Gelu": of_one("Gelu", approximate=(None, "none", "tanh")),
    "Softsign": of_one("Softsign"),
    "Reciprocal": of_one("Reciprocal"),
    "Ceil": of_one("Ceil"),
    "Floor": of_one("Floor"),
    "Round": of_one("Round"),
    "Elu": of_one("Elu", alpha=(None, 0.3, 2.0)),
    "Celu": of_one("Celu", alpha=(None, 0.3, 2.0)),
    "Selu": of_one("Selu", alpha=(None, 0.3), gamma=(None, 2.0)),
    "ThresholdedRelu": of_one("ThresholdedRelu", alpha=(None, 0.1, -1.0)),
    "Swish": of_one("Swish", opset=24, alpha=(None, 0.5)),
    "PRelu": prelu,
    "Pow": power,
    "Gelu of com.microsoft": of_one("Gelu", MS),
    "QuickGelu": of_one("QuickGelu", MS, alpha=(None, 1.0, 0.5)),
    "FastGelu": fast_gelu("FastGelu"),
    "BiasGelu": fast_gelu("BiasGelu"),
    "Softmax": softmax("Softmax"),
    "LogSoftmax": softmax("LogSoftmax"),
    "Hardmax": softmax("Hardmax"),
    "ReduceMean": reduction("ReduceMean"),
    "ReduceSum": reduction("ReduceSum"),
    "ReduceL1": reduction("ReduceL1"),
    "ReduceL2": reduction("ReduceL2"),
    "ReduceSumSquare": reduction("ReduceSumSquare"),
    "ReduceProd": reduction("ReduceProd"),
    "ReduceLogSum": reduction("ReduceLogSum"),
    "ReduceLogSumExp": reduction("ReduceLogSumExp", 0.0),
    "BatchNormalization": batch_normalization,
    "InstanceNormalization": instance_normalization,
    "LpNormalization": lp_normalization,
    "LayerNormalization": layer_normalization,
    "RMSNormalization": rms_normalization,
    "SkipLayerNormalization": skip_layer_normalization("SkipLayerNormalization"),
    "SkipSimplifiedLayerNormalization": skip_layer_normalization("SkipSimplifiedLayerNormalization"),
    "CumSum": cum_sum,
    "CumProd": cum_prod,
}
