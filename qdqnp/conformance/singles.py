"""Layers that work code by code, on windows or on rows: additions, lookups, joins, averages, Softmax."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from qdqnp.conformance.drawn import (
    LOW,
    MIDDLE,
    SIGNED,
    UNSIGNED,
    F,
    ParameterKind,
    choices,
    codes,
    generator,
    input_scale,
    zero_point,
)
from qdqnp.conformance.layer import LayerCase
from qdqnp.graph import DEVICES, MICROSOFT
from qdqnp.quant import Array

TYPES = (UNSIGNED, SIGNED)
#: Shapes of both inputs; the first lets one input of the network show every pair of codes.
PAIRS = (((256, 1), (1, 256)), ((1, 3, 4, 5), (1, 3, 4, 5)), ((2, 4, 3), (1, 4, 1)), ((1, 1, 1), (2, 3, 4)))
#: The output's scale by the kind of parameters: twice the input's, two thirds of it, or any.
OUTPUT_SCALES = {"pow2": F(1 / 8), "third": F(1 / 16), "odd": F(0.0713)}
WINDOWS: tuple[tuple[tuple[int, ...], Mapping[str, Any]], ...] = (
    ((4, 8, 6, 6), {"kernel_shape": (2, 2), "strides": (2, 2)}),
    ((4, 8, 5, 5), {"kernel_shape": (3, 2), "pads": (1, 0, 1, 1), "strides": (2, 2)}),
    ((4, 8, 4, 3), {"kernel_shape": (2, 2), "pads": (1, 0, 0, 1), "count_include_pad": 1}),
    ((8, 8, 9), {"kernel_shape": (4,), "strides": (2,), "ceil_mode": 1}),
)
PLANES = ((1, 3, 4, 4), (2, 2, 5, 5), (1, 4, 7, 7))
#: Functions whose values are hardly ever halves: scales of input and output, and the place of the output's zero point,
#: under which they meet some, and both ends of the codes. sigmoid(0) is 1/2; tanh(16) is 1 in float32.
HALVES = {
    "QLinearSigmoid": (F(1 / 16), F(1), LOW),
    "QLinearHardSigmoid": (F(1 / 16), F(1), LOW),
    "QLinearTanh": (F(1 / 8), F(2), MIDDLE),
    "QLinearSoftmax": (F(1 / 16), F(1), LOW),  # of two equal codes each is 1/2
}


def _unary(x: Any, kind: ParameterKind, rng: np.random.Generator, scale: Any = None) -> dict[str, Array]:
    """Return scales and zero points of x and y by name. Both zero points lie at the same end, or no result would be
    inside the range.

    scale: that of the output, where the operator has a usual one.
    """
    ys = np.asarray(OUTPUT_SCALES[kind.name] if scale is None else scale, F)
    return {"xs": input_scale(kind, rng), "xz": zero_point(x, kind.x), "ys": ys, "yz": zero_point(x, kind.x)}


def _halves(op: str, shape: tuple[int, ...]) -> Iterator[dict[str, Array]]:
    """Yield the arrays of a layer of HALVES, for each type."""
    xs, ys, where = HALVES[op]
    for x in TYPES:
        arrays = {"x": codes(generator(op, "halves", x.name), x, shape), "xs": np.asarray(xs), "ys": np.asarray(ys)}
        yield {**arrays, "xz": zero_point(x, MIDDLE), "yz": zero_point(x, where)}


def pairs(op: str, domain: str = MICROSOFT) -> Iterator[LayerCase]:
    """Yield the layers of QLinearAdd, QLinearMul or QLinearSub."""
    for chosen in choices(op, PAIRS, TYPES):
        kind, rng, x, (first, second) = chosen.kind, chosen.rng, chosen.type, chosen.shape
        arrays = {"x": codes(rng, x, first), "w": codes(rng, x, second)}
        arrays |= _unary(x, kind, rng)
        other = np.asarray(arrays["xs"] * (F(0.5) if kind.name != "odd" else F(0.613)), F)
        arrays |= {"ws": other, "wz": zero_point(x, kind.w)}
        if op == "QLinearMul":
            factor = {"pow2": F(1 / 8), "third": F(3 / 16), "odd": F(0.1317)}[kind.name]
            arrays["ys"] = np.asarray(factor, F)
        yield LayerCase(op, domain, arrays, ("x", "w"), note=kind.name)


def joins(op: str) -> Iterator[LayerCase]:
    """Yield the layers of QLinearConcat (two inputs) or QLinearWhere (with a condition)."""
    for chosen in choices(op, (((16, 16), 0), ((1, 64, 2, 2), 1), ((1, 2, 3, 8), 3)), TYPES):
        kind, rng, x, (shape, axis) = chosen.kind, chosen.rng, chosen.type, chosen.shape
        arrays = {"x": codes(rng, x, shape), "w": codes(rng, x, shape)}
        arrays |= _unary(x, kind, rng)
        same = kind.name == "third"  # then one input is copied
        arrays |= {"ws": arrays["ys"] if same else np.asarray(arrays["xs"] * F(3), F)}
        arrays |= {"wz": arrays["yz"] if same else zero_point(x, kind.w)}
        if op == "QLinearWhere":
            condition = rng.integers(0, 2, shape).astype(bool)
            yield LayerCase(op, MICROSOFT, {**arrays, "c": condition}, ("x", "w"), note=kind.name)
        else:
            yield LayerCase(op, MICROSOFT, arrays, ("x", "w"), {"axis": axis}, note=kind.name)


def lookups(op: str, domain: str = MICROSOFT, attributes: Mapping[str, Any] | None = None) -> Iterator[LayerCase]:
    """Yield the layers of a function of single codes."""
    fixed = {"QLinearSigmoid": F(1 / 256), "QLinearTanh": F(1 / 128)}.get(op)
    for chosen in choices(op, ((256,), (1, 4, 8, 8), (2, 3, 15)), TYPES):
        kind, rng, x, shape = chosen.kind, chosen.rng, chosen.type, chosen.shape
        arrays = {"x": codes(rng, x, shape), **_unary(x, kind, rng, fixed)}
        if fixed is not None and kind.name == "odd":
            arrays["ys"] = np.asarray(fixed * F(1.3), F)
        yield LayerCase(op, domain, arrays, ("x",), attributes or {}, note=kind.name)
    if op in HALVES:
        for arrays in _halves(op, (256,)):
            yield LayerCase(op, domain, arrays, ("x",), attributes or {}, note="half")


def softmaxes(op: str) -> Iterator[LayerCase]:
    """Yield the layers of QLinearSoftmax; its output's scale is 1/256, as every exporter has it, or another."""
    for chosen in choices(op, (((3, 10), -1), ((2, 4, 5), 1), ((1, 100), 1)), TYPES):
        kind, rng, x, (shape, axis) = chosen.kind, chosen.rng, chosen.type, chosen.shape
        scale = F(1 / 256) if kind.name != "odd" else F(0.0051)
        arrays = {"x": codes(rng, x, shape), **_unary(x, kind, rng, np.asarray(scale))}
        arrays["yz"] = zero_point(x, LOW)
        yield LayerCase(op, MICROSOFT, arrays, ("x",), {"axis": axis, "opset": 13}, note=kind.name)
    for arrays in _halves(op, (3, 2)):
        yield LayerCase(op, MICROSOFT, arrays, ("x",), {"axis": -1, "opset": 13}, note="half")


def averages(op: str) -> Iterator[LayerCase]:
    """Yield the layers of QLinearAveragePool or QLinearGlobalAveragePool."""
    windows = WINDOWS if op == "QLinearAveragePool" else tuple((shape, {"channels_last": 0}) for shape in PLANES)
    for chosen in choices(op, windows, TYPES):
        kind, rng, x, (shape, attributes) = chosen.kind, chosen.rng, chosen.type, chosen.shape
        ratio = {"pow2": F(1), "third": F(0.25), "odd": F(0.613)}[kind.name]
        arrays = {"x": codes(rng, x, shape), **_unary(x, kind, rng)}
        arrays["ys"] = np.asarray(arrays["xs"] * ratio, F)
        yield LayerCase(op, MICROSOFT, arrays, ("x",), attributes, note=kind.name)


def requantizations(op: str) -> Iterator[LayerCase]:
    """Yield the layers that change scale and zero point and nothing else."""
    return lookups(op, DEVICES)


def interpolations(op: str) -> Iterator[LayerCase]:
    """Yield the layers of a Resize of mode linear; input and output share their parameters."""
    for chosen in choices(op, (((1, 2, 4, 4), (2.0, 2.0)), ((1, 1, 4, 6), (1.5, 3.0))), TYPES):
        kind, rng, x, (shape, factors) = chosen.kind, chosen.rng, chosen.type, chosen.shape
        arrays = {"x": codes(rng, x, shape), **_unary(x, kind, rng)}
        arrays |= {"ys": arrays["xs"], "yz": arrays["xz"]}
        arrays["scales"] = np.array([1, 1, *factors], F)
        attributes = {"mode": "linear"}
        yield LayerCase(op, DEVICES, arrays, ("x",), attributes, note=kind.name, plain=("", "scales"))
