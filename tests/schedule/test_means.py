"""Means of images against the steps, and against the rule for every sum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import helper

import qdqnp
from qdqnp.numerics.profiles import profile_named
from qdqnp.numerics.questions import Means
from qdqnp.quant import Quant
from qdqnp.schedule import means
from qdqnp.schedule.image import Image, PlacedImage
from qdqnp.schedule.joined import CodeTable, Rescaling
from qdqnp.schedule.means import Asked, averaged
from tests.networks import Builder
from tests.schedule.compiled import PROFILES, check, forms


@pytest.mark.parametrize("profile", PROFILES)
def test_means_of_images(profile: str) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        net = Builder(seed, dtype=np.int8 if seed % 2 else np.uint8)
        y = net.conv(net.quantized("input", 3, 1.0), 16, 3)
        made = net.name("mean")
        net.nodes.append(helper.make_node("GlobalAveragePool", [y], [made]))
        size = [int(side) for side in rng.integers(3, 30, 2)]
        x = rng.normal(0, 2, (1, 3, *size)).astype(np.float32)
        model = qdqnp.load(net.model(net.conv(net.quantized(made, 16, 0.3), 8), [1, 3, *size]))
        found = forms(check(model, x, profile, model.plan(profile).program.outputs))
        assert profile not in ("ort", "exact", "tflite", "neural-art") or found["Averaged"] == 1


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("profile", ("ort", "exact", "tflite", "cmsis-nn", "neural-art"))
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_a_mean_of_every_sum(dtype: type, profile: str, few: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel for each sum that 2 x 3 pixels may have: by an expression, by the table of answers, by the rule."""
    quants = [Quant(np.dtype(dtype), np.float32(scale), np.array(zero, dtype)) for scale, zero in ((0.1, 5), (0.07, 9))]
    low, high = (6 * (code - 5) for code in quants[0].range)
    sums = np.arange(low, high + 1)
    x = Image("x", 2, 3, len(sums), np.dtype(dtype), 5)
    y = Image("y", 1, 1, len(sums), np.dtype(dtype), 9)
    monkeypatch.setattr(means, "FEW", len(sums) if few else 1)
    question = Means("mean", *quants, 6, sums)
    form = averaged("mean", x, y, question, profile_named(profile))
    assert form is not None
    assert type(form.answer) is (Rescaling if profile == "ort" else CodeTable if few else Asked)
    pixels = (sums // 6 + (np.arange(6)[:, None] < sums % 6)).astype(np.float32).reshape(2, 3, -1)
    placed = {"x": PlacedImage(x, pixels, 0), "y": PlacedImage(y, np.zeros((1, 1, len(sums)), np.float32), 0)}
    (call,) = form.bind(placed, [np.full(form.work, np.nan, np.float32)])
    call({})
    np.testing.assert_array_equal(placed["y"].array[0, 0] + 9, question.answer(profile_named(profile)))


@pytest.mark.parametrize("zero", [-128, 127])
def test_sums_of_pixels_that_float32_does_not_hold_are_the_steps(zero: int) -> None:
    """Of values of up to 255 or down to -255, as the zero point is."""
    x = Image("x", 256, 258, 4, np.dtype(np.int8), zero)  # 66,048 pixels
    y = Image("y", 1, 1, 4, np.dtype(np.int8), 0)
    scale = Quant(np.dtype(np.int8), np.float32(0.1), np.array(zero, np.int8))
    question = Means("mean", scale, scale, 256 * 258, np.zeros(4, np.int64))
    assert averaged("mean", x, y, question, profile_named("ort")) is None
    assert averaged("mean", replace(x, width=256), y, replace(question, count=256 * 256), profile_named("ort"))


def test_a_mean_that_the_rule_refuses_is_the_steps() -> None:
    """ONNX Runtime's kernel takes multipliers below 256."""
    x, y = (Image(name, side, side, 4, np.dtype(np.int8), 0) for name, side in (("x", 2), ("y", 1)))
    fine, coarse = (Quant(np.dtype(np.int8), np.float32(scale), np.array(0, np.int8)) for scale in (1e-3, 1))
    question = Means("mean", coarse, fine, 4, np.zeros(4, np.int64))
    assert averaged("mean", x, y, question, profile_named("ort")) is not None
    assert averaged("mean", x, y, replace(question, count=3), profile_named("ort")) is None
