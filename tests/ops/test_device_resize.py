"""Resize of mode linear on codes: against fractions under 'exact', and what the lowering of devices makes of it.

TFLite's and XNNPACK's own kernels are held against in tests/numerics/profiles/test_tflite_kernels.py.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

import qdqnp
from qdqnp.errors import ModelError, ProfileError
from qdqnp.numerics.rules.interpolate import InterpolatedAxis, RationalInterpolate, TfliteInterpolate
from qdqnp.quant import Quant
from tests.lowering.models import F, Net
from tests.ops.cases.device import DEVICE_CASES

SEEDS = st.integers(0, 2**32 - 1)


def place(i: int, before: int, after: int, scale: Fraction, mode: str) -> Fraction:
    """Where ONNX's Resize says that an element lies, cut off at both ends."""
    if mode == "asymmetric":
        found = i / scale
    elif mode == "align_corners" or (mode == "pytorch_half_pixel" and after == 1):
        found = Fraction(i * (before - 1), max(after - 1, 1))
    else:
        found = (i + Fraction(1, 2)) / scale - Fraction(1, 2)
    return min(max(found, Fraction(0)), Fraction(before - 1))


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_the_exact_value_rounded_once(seed: int) -> None:
    case = DEVICE_CASES["QLinearResizeLinear"](np.random.default_rng(seed))
    attributes = {one.name: helper.get_attribute_value(one) for one in case.model.graph.node[0].attribute}
    x, axes, mode = case.inputs["x"], attributes["axes"], attributes["coordinate_transformation_mode"].decode()
    y = qdqnp.load(case.model).run(case.inputs, profile="exact")["y"]
    images, made = ((a if list(axes) == [1, 2] else np.moveaxis(a, 1, -1)) for a in (x, y))
    scales = [
        Fraction(attributes["scales"][at]) if "scales" in attributes else Fraction(y.shape[axis], x.shape[axis])
        for at, axis in enumerate(axes)
    ]
    for n, i, j, c in itertools.product(*map(range, made.shape)):
        real = Fraction(0)
        places = [place(at, images.shape[d + 1], made.shape[d + 1], scales[d], mode) for d, at in enumerate((i, j))]
        low = [int(value) for value in places]
        for down, right in itertools.product((0, 1), repeat=2):
            weight, corner = Fraction(1), []
            for value, first, second, size in zip(places, low, (down, right), images.shape[1:3], strict=True):
                weight *= value - first if second else 1 - (value - first)
                corner.append(min(first + second, size - 1))
            real += weight * int(images[n, corner[0], corner[1], c])
        assert made[n, i, j, c] == round(real)


def resized(**given: Any) -> Net:
    """x quantized, resized and quantized again; `given`: sizes or scales, attributes, parameters of the second Q."""
    net, (scale, zero) = Net(opset=18), given.pop("second", (0.05, 3))
    x = net.qdq(net.input(given.pop("shape", (1, 2, 4, 5))), 0.05, 3)
    sizes, scales = given.pop("sizes", None), given.pop("scales", None)
    inputs = (x, "", net.const(F(scales)) if scales else "", net.const(np.array(sizes)) if sizes else "")
    attributes = {"mode": "linear", **given}
    net.output(net.qdq(net.node("Resize", *inputs, **attributes), scale, zero))
    return net


@pytest.mark.parametrize("profile", ["tflite", "tflite-ruy", "tflm", "cmsis-nn", "xnnpack-fp32", "exact"])
@pytest.mark.parametrize(
    ("given_", "between"),
    [
        ({"sizes": [1, 2, 8, 10]}, []),
        ({"scales": [1, 1, 2, 2]}, []),
        ({"sizes": [9, 7], "axes": [2, 3]}, []),
        ({"sizes": [1, 8, 10, 2], "shape": (1, 4, 5, 2)}, []),
        ({"sizes": [1, 2, 8, 10], "second": (0.07, -2)}, ["QLinearConcat"]),
    ],
)
def test_a_network_has_it_on_codes(profile: str, given_: dict[str, Any], between: list[str]) -> None:
    model = qdqnp.load(resized(**given_).model())
    steps = [step.op for step in model.program(profile).steps]
    assert steps == ["QuantizeLinear", "QLinearResizeLinear", *between, "DequantizeLinear"]
    x = np.random.default_rng(0).normal(0, 3, given_.get("shape", (1, 2, 4, 5))).astype(F)
    made, real = (next(iter(model.run(x, profile=name).values())) for name in (profile, "ort-unfused"))
    assert made.shape == real.shape
    assert np.abs(made - real).max() <= 0.071 * (2 if between else 1)  # a code or two: float32 against integers


def test_readers_that_quantize_differently() -> None:
    net = Net(opset=18)
    x = net.qdq(net.input((1, 2, 4, 5)), 0.05, 3)
    y = net.node("Resize", x, "", net.const(F([1, 1, 2, 2])), mode="linear")
    net.output(net.qdq(y, 0.05, 3))
    net.output(net.qdq(y, 0.1, 0))
    steps = [step.op for step in qdqnp.load(net.model()).program("tflite").steps]
    assert sorted(steps) == [
        "DequantizeLinear",
        "DequantizeLinear",
        "QLinearConcat",
        "QLinearResizeLinear",
        "QuantizeLinear",
    ]


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        ({"sizes": [2, 8, 10], "shape": (2, 4, 5)}, "height and width"),
        ({"sizes": [1, 2, 8, 10], "antialias": 1}, "antialias"),
        ({"sizes": [1, 2, 8, 10], "coordinate_transformation_mode": "half_pixel_symmetric"}, "half_pixel_symmetric"),
        ({"sizes": [8, 10], "axes": [2, 3], "keep_aspect_ratio_policy": "not_larger"}, "a ratio is kept"),
    ],
)
def test_what_stays_a_float_operator(given_: dict[str, Any], reason: str) -> None:
    net = resized(**given_)
    net.opset = 19
    with pytest.raises(ProfileError, match=reason):
        qdqnp.load(net.model()).plan("tflite")


def test_a_profile_without_a_rule() -> None:
    model = qdqnp.load(resized(sizes=[1, 2, 8, 10]).model())
    with pytest.raises(ProfileError, match=r"n_resize.* expected a rule"):
        model.plan("ethos-u")


@pytest.mark.parametrize("mode", ["half_pixel", "asymmetric", "align_corners"])
def test_tflite_and_the_exact_value_part(mode: str) -> None:
    """The places of ten fractional bits are not the real ones: 9 elements from 7."""
    axes = (InterpolatedAxis(7, 9, Fraction(9, 7), mode),) * 2
    quant = Quant(np.dtype(np.int8), np.float32(0.1), np.int8(0))
    image = np.random.default_rng(0).integers(-128, 128, (1, 7, 7, 3)).astype(np.int8)
    places = np.arange(9 * 9 * 3)
    ours, exact = (
        rule.bind(quant, quant, axes)(places, image) for rule in (TfliteInterpolate(), RationalInterpolate())
    )
    assert 0 < (ours != exact).sum() < 100
    assert np.abs(ours.astype(int) - exact).max() <= 2


def test_a_quotient_in_float32_is_one_of_sizes() -> None:
    third = InterpolatedAxis(3, 1, Fraction(float(F(1 / 3))), "half_pixel")
    assert third.by_sizes and not InterpolatedAxis(3, 1, Fraction(2, 5), "half_pixel").by_sizes
    assert TfliteInterpolate().neighbours(third).first.tolist() == [1]


def test_a_tie_and_its_stages() -> None:
    axes = (InterpolatedAxis(1, 1, Fraction(1), "half_pixel"), InterpolatedAxis(2, 3, Fraction(3, 2), "align_corners"))
    quant = Quant(np.dtype(np.int8), np.float32(0.1), np.int8(0))
    bound = RationalInterpolate().bind(quant, quant, axes)
    image = np.array([-2, -1], np.int8).reshape(1, 1, 2, 1)
    assert bound(np.arange(3), image).tolist() == [-2, -2, -1]
    assert bound.ties(np.arange(3), image).tolist() == [0, -1, 0]
    assert [stage.name for stage in bound.stages(np.arange(3), image)] == ["acc", "unclipped", "y"]


@pytest.mark.parametrize(
    ("axis", "title"),
    [
        (InterpolatedAxis(3, 4, Fraction(7, 5), "half_pixel"), "a scale that TFLite does not have"),
        (InterpolatedAxis(3, 1, Fraction(1, 3), "pytorch_half_pixel"), "a mode that TFLite does not have"),
        (InterpolatedAxis(1, 2048, Fraction(2048), "asymmetric"), "beyond its input"),
    ],
)
def test_what_tflite_does_not_define(axis: InterpolatedAxis, title: str) -> None:
    quant = Quant(np.dtype(np.int8), np.float32(0.1), np.int8(0))
    with pytest.raises(ProfileError, match=title):
        TfliteInterpolate().bind(quant, quant, (axis, axis))


def test_scales_without_an_end() -> None:
    quant = Quant(np.dtype(np.int8), np.float32(0.1), np.int8(0))
    small = Fraction(float(np.float32(1e-38)))
    with pytest.raises(ProfileError, match="places beyond 64 bits"):
        axis = InterpolatedAxis(3, 1, small, "half_pixel")
        RationalInterpolate().bind(quant, quant, (axis, axis))
    with pytest.raises(ProfileError, match="weights beyond 64 bits"):
        axis = InterpolatedAxis(3, 4, Fraction(float(np.float32(1.3333334))) + Fraction(1, 2**30), "half_pixel")
        RationalInterpolate().bind(quant, quant, (axis, axis))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"axes": [0, 1], "sizes": [1, 1]}, "'axes'"),
        ({"axes": [2, 3]}, "two scales or two sizes"),
        ({"axes": [2, 3], "sizes": [0, 1]}, "'sizes'"),
        ({"axes": [2, 3], "scales": [-1.0, 1.0]}, "'scales'"),
        ({"axes": [2, 3], "sizes": [2, 2], "coordinate_transformation_mode": "tf_crop_and_resize"}, "half_pixel or"),
    ],
)
def test_nodes_that_nobody_makes(attributes: dict[str, Any], message: str) -> None:
    case = DEVICE_CASES["QLinearResizeLinear"](np.random.default_rng(0))
    node = case.model.graph.node[0]
    del node.attribute[:]
    node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
    with pytest.raises(ModelError, match=message):
        qdqnp.load(case.model)
