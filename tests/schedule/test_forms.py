"""Every compiled form against the step on codes: alone, in networks, and in every placement that a network gives it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.errors import ProfileError
from qdqnp.executor.walk import walk
from qdqnp.model import feeds_for
from qdqnp.numerics.profiles import profile_named
from qdqnp.numerics.questions import Means
from qdqnp.quant import Array, Quant
from qdqnp.schedule import chain as chains
from qdqnp.schedule import compile as compiling
from qdqnp.schedule import depthwise, means, rows, winograd
from qdqnp.schedule.actions import Compiled, Defined, Reshaped
from qdqnp.schedule.addition import PairTable
from qdqnp.schedule.chain import FormChain
from qdqnp.schedule.choose import Convolved
from qdqnp.schedule.compile import compile_plan
from qdqnp.schedule.finish import Direct
from qdqnp.schedule.form import Banded, Form
from qdqnp.schedule.image import Image, PlacedImage
from qdqnp.schedule.joined import CodeTable, Rescaling
from qdqnp.schedule.layer import ConvolvedLayer
from qdqnp.schedule.means import Asked, averaged
from qdqnp.schedule.planes import Planes
from qdqnp.schedule.pointwise import Pointwise
from qdqnp.schedule.rows import KernelRows
from qdqnp.schedule.schedule import Schedule
from qdqnp.schedule.winograd import Winograd
from tests.networks import Builder, dla
from tests.ops.cases import CASES

PROFILES = ("ort", "ort-x64", "ort-avx2", "exact", "tflite", "tflite-single", "cmsis-nn", "neural-art")
NAMES = ("QLinearConv", "QLinearAdd", "QLinearMul", "QLinearConcat", "MaxPool", "QLinearSigmoid", "QLinearLeakyRelu")


def forms(schedule: Schedule) -> Counter[str]:
    """How many steps take each compiled form."""
    return Counter(type(form).__name__ for form in computed(schedule))


def computed(schedule: Schedule) -> list[Form]:
    """The compiled forms, those of chains too, each chain before its own."""
    found: list[Form] = []
    for action in schedule.actions:
        if isinstance(action, Compiled):
            found += [action.form, *(action.form.forms if isinstance(action.form, FormChain) else ())]
    return found


def check(
    model: qdqnp.Model,
    x: Array,
    profile: str,
    wanted: Collection[str] | None = None,
    prefer: type[Convolved] | None = None,
) -> Schedule:
    """Run a schedule and hold its tensors against the walk's. wanted: of which; all that steps make by default."""
    plan = model.plan(profile)
    feeds = feeds_for(plan, x)
    names = [name for step in plan.program.steps for name in step.output_names if name not in feeds]
    made = [name for name in names if wanted is None or name in wanted]
    shapes = plan.shapes({plan.program.inputs[0]: x.shape})
    schedule = compile_plan(plan, plan.steps, shapes, feeds, made, {}, always=True, prefer=prefer)
    assert schedule is not None
    expected = walk(plan, feeds, made)
    for _ in range(2):  # the second time, the arena holds what the first run left there
        found = schedule.run(feeds)
        for name in made:
            np.testing.assert_array_equal(found[name], expected[name], strict=True, err_msg=f"{profile}, {name}")
    return schedule


def random_layer(net: Builder, rng: np.random.Generator, x: str) -> str:
    """A convolution of any window and any groups, as far as the builder has them."""
    channels = net.channels[x]
    group = int(rng.choice([g for g in range(1, channels + 1) if channels % g == 0]))
    return windowed(net, rng, x, group * int(rng.integers(1, 1 + max(1, 40 // group))), group)


def windowed(net: Builder, rng: np.random.Generator, x: str, out: int, group: int) -> str:
    """A convolution of these groups and any window."""
    kernel, stride = int(rng.choice([1, 2, 3, 3, 3, 4, 5, 7])), int(rng.choice([1, 1, 2, 3]))
    y = net.conv(x, out, kernel, stride, group)
    pads = [int(pad) for pad in rng.integers(0, kernel, 4)]
    dilation = [int(rng.choice([1, 1, 2])), int(rng.choice([1, 1, 1, 2]))]
    change_window(net, pads=pads, dilations=dilation, strides=[stride, int(rng.choice([1, stride]))])
    return y


def change_window(net: Builder, **changed: list[int]) -> None:
    """Give the last convolution other attributes."""
    node = next(node for node in reversed(net.nodes) if node.op_type == "Conv")
    kept = [attribute for attribute in node.attribute if attribute.name not in changed]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in changed.items())])


def chain(seed: int, profile: str) -> tuple[onnx.ModelProto, Array]:
    """A picture of any channels through two random convolutions, with a third of the same shape added."""
    rng = np.random.default_rng(seed)
    net = Builder(seed, dtype=np.int8 if rng.integers(2) else np.uint8, per_channel=bool(rng.integers(2)))
    channels = int(rng.choice([1, 3, 8, 12, 16, 24, 32]))
    x = net.quantized("input", channels, 1.0)
    y = random_layer(net, rng, x)
    z = random_layer(net, rng, y)
    out, other = net.conv(z, 18), net.conv(z, 18)
    added = net.add(out, other) if rng.integers(2) else net.add(other, out)
    joined = net.concat(added, other, z)
    size = [int(side) for side in rng.integers(16, 40, 2)]
    values = rng.normal(0, 1.2, (1, channels, *size)).astype(np.float32)
    return net.model(net.max_pool(net.conv(joined, 20)), [1, channels, *size]), values


@pytest.mark.parametrize("profile", PROFILES)
def test_random_convolutions_give_the_codes_of_the_steps(profile: str) -> None:
    seen: Counter[str] = Counter()
    for seed in range(40):
        proto, x = chain(seed, profile)
        try:
            model = qdqnp.load(proto)
            model.plan(profile)
            model.run(x, profile=profile)
        except qdqnp.QdqnpError:  # a window larger than the picture, or a layer outside the profile's domain
            continue
        outputs = model.plan(profile).program.outputs
        seen += forms(check(model, x, profile))
        check(model, x, profile, outputs)
    if profile in ("ort", "exact", "tflite"):
        assert {"Pointwise", "Planes", "KernelRows", "Winograd", "Joined", "Maxima"} <= set(seen), seen


@pytest.mark.parametrize("profile", ("ort", "tflite", "neural-art"))
def test_chains_give_the_codes_of_the_steps(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image that one convolution reads lies between two forms, however small; in bands of few rows."""
    monkeypatch.setattr(compiling, "CHAINED", 1)
    seen: Counter[str] = Counter()
    lengths: Counter[int] = Counter()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        monkeypatch.setattr(chains, "BETWEEN", int(rng.choice([1, 2000, 10**9])))
        for room in (rows, winograd, depthwise):
            monkeypatch.setattr(room, "BAND", int(rng.choice([1, 20_000, 10**9])))
        net = Builder(seed, dtype=np.int8 if rng.integers(2) else np.uint8, per_channel=bool(rng.integers(2)))
        channels = int(rng.choice([1, 3, 16, 24]))
        y = net.quantized("input", channels, 1.0)
        for _ in range(int(rng.integers(2, 6))):
            kind = int(rng.integers(4))
            if kind == 0:
                y = net.conv(y, int(rng.choice([8, 16])))
            elif kind == 1:
                y = net.conv(y, net.channels[y], 3, int(rng.choice([1, 2])), net.channels[y])
            elif kind == 2:
                y = net.conv(y, int(rng.choice([8, 16])), 3)
            else:
                y = random_layer(net, rng, y)
        size = [int(side) for side in rng.integers(16, 60, 2)]
        x = rng.normal(0, 1.2, (1, channels, *size)).astype(np.float32)
        try:
            model = qdqnp.load(net.model(net.conv(y, 8), [1, channels, *size]))
            model.run(x, profile=profile)
        except qdqnp.QdqnpError:
            continue
        found = check(model, x, profile, model.plan(profile).program.outputs)
        seen += forms(found)
        chained = [form for form in computed(found) if isinstance(form, FormChain)]
        lengths.update(len(form.forms) for form in chained)
    assert {"FormChain", "Pointwise", "Planes", "KernelRows", "Winograd", "Depthwise"} <= set(seen), seen
    assert len(lengths) > 2, lengths


@pytest.mark.parametrize("profile", ["ort", "tflite", "neural-art"])
def test_strips_between_forms_give_the_codes_of_the_steps(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who makes the input of a window, of one group or several, writes rows as its kernel reads them."""
    monkeypatch.setattr(compiling, "CHAINED", 1)
    seen: Counter[tuple[bool, bool]] = Counter()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        monkeypatch.setattr(chains, "BETWEEN", int(rng.choice([1, 2000, 10**9])))
        for room in (rows, winograd):
            monkeypatch.setattr(room, "BAND", int(rng.choice([1, 20_000, 10**9])))
        net = Builder(seed, dtype=np.int8 if rng.integers(2) else np.uint8, per_channel=bool(rng.integers(2)))
        y = net.conv(net.conv(net.quantized("input", 5, 1.0), 8), 32, int(rng.choice([1, 1, 3])))
        y = windowed(net, rng, y, int(rng.choice([32, 64])), int(rng.choice([1, 2, 4])))
        height, width = (int(side) for side in rng.integers(12, 40, 2))
        x = rng.normal(0, 1.2, (1, 5, height, width)).astype(np.float32)
        try:
            model = qdqnp.load(net.model(net.conv(y, 8), [1, 5, height, width]))
            model.run(x, profile=profile)
        except qdqnp.QdqnpError:
            continue
        found = computed(check(model, x, profile, model.plan(profile).program.outputs))
        readers = [form for chain in found if isinstance(chain, FormChain) for form in chain.in_strips]
        layouts = [form.strips for form in readers if form.strips is not None]
        seen.update((layout.down > 1, layout.blocks > 1) for layout in layouts)
    assert len(seen) == 4, f"strips with and without a stride, of one block and of several: {seen}"


def test_who_adds_a_shortcut_or_a_large_bias_does_not_write_strips_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "CHAINED", 1)
    x = np.random.default_rng(2).normal(0, 1, (1, 5, 12, 17)).astype(np.float32)
    for how in ("plain", "shortcut", "bias"):
        net = Builder(3)
        before = net.conv(net.quantized("input", 5, 1.0), 8)
        y = net.conv(before, 32)
        if how == "bias":
            last = [values for name, values in net.constants.items() if name.startswith("b_codes")][-1]
            last[:2] = 2**31 - 1, 2**24 + 1
        if how == "shortcut":
            y = net.add(y, net.conv(before, 32))
        model = qdqnp.load(net.model(net.conv(net.conv(y, 32, 3, 1, 4), 8), [1, 5, 12, 17]))
        found = computed(check(model, x, "ort", model.plan().program.outputs))
        readers = [form for made in found if isinstance(made, FormChain) for form in made.in_strips]
        blocks = [form.strips.blocks for form in readers if form.strips is not None]
        assert blocks == ([2] if how == "plain" else []), how


@pytest.mark.parametrize("profile", ["ort", "tflite"])
def test_windows_that_end_before_the_last_column(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who makes the image writes whole rows all the same."""
    monkeypatch.setattr(compiling, "CHAINED", 1)
    x = np.random.default_rng(2).normal(0, 1, (1, 5, 12, 17)).astype(np.float32)
    for kernel, stride in ((1, 2), (2, 2), (3, 3), (4, 5)):
        net = Builder(stride)
        y = net.conv(net.conv(net.conv(net.quantized("input", 5, 1.0), 8), 16), 16, kernel, stride)
        change_window(net, pads=[0] * 4)
        model = qdqnp.load(net.model(net.conv(y, 8), [1, 5, 12, 17]))
        schedule = check(model, x, profile, model.plan(profile).program.outputs, KernelRows)
        assert forms(schedule)["FormChain"], (kernel, stride)


@pytest.mark.parametrize("profile", ["ort", "tflite"])
def test_windows_of_one_pixel_with_padding(profile: str) -> None:
    """They are no products of pixels where they lie; a stride leaves out columns, of which the padding has some."""
    x = np.random.default_rng(2).normal(0, 1, (1, 12, 9, 10)).astype(np.float32)
    for pads, strides in product(([1, 0, 0, 0], [0, 1, 0, 0], [0, 2, 1, 1]), ([1, 1], [2, 3])):
        net = Builder(3)
        y = net.conv(net.conv(net.quantized("input", 12, 1.0), 16), 16)
        change_window(net, pads=pads, strides=strides)
        model = qdqnp.load(net.model(net.conv(y, 8), [1, 12, 9, 10]))
        for form in (None, KernelRows):
            schedule = check(model, x, profile, model.plan(profile).program.outputs, form)
            assert len(layers(schedule)) == 3


def test_what_any_rows_read_beyond_an_image_are_its_rows_of_zeros() -> None:
    """Bands, shares of threads and chains begin and end with any row of output."""
    seen: Counter[str] = Counter()
    for seed in range(12):
        proto, x = chain(seed, "ort")
        try:
            schedule = check(qdqnp.load(proto), x, "ort")
        except qdqnp.QdqnpError:
            continue
        for form in computed(schedule):
            if isinstance(form, Banded) and not form.codes:
                height, (above, below) = form.output.height, form.borders
                seen[type(form).__name__] += 1
                for first, stop in combinations(range(height + 1), 2):
                    start, end = form.needs(first, stop - first)
                    assert -above <= start, (type(form), first, stop)
                    assert end <= form.reads[0].height + below, (type(form), first, stop)
    assert {"Pointwise", "KernelRows", "Winograd"} <= set(seen), seen


def test_an_image_with_other_readers_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shortcut, a join, and an output are read as whole images."""
    monkeypatch.setattr(compiling, "CHAINED", 1)
    net = Builder(4)
    y = net.conv(net.quantized("input", 3, 1.0), 16, 3)
    z = net.conv(y, 16, 3)
    both = net.concat(z, net.conv(net.conv(net.add(net.conv(z, 16, 3), z), 16, 3), 16))
    model = qdqnp.load(net.model(net.conv(both, 8), [1, 3, 24, 24]))
    x = np.random.default_rng(2).normal(0, 1, (1, 3, 24, 24)).astype(np.float32)
    outputs = model.plan().program.outputs
    assert forms(check(model, x, "ort", outputs))["FormChain"] == 2
    second = model.layer(model.plan().steps[1].step.label).name
    assert forms(check(model, x, "ort", [*outputs, second]))["FormChain"] == 1


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


@pytest.mark.parametrize("profile", ("ort", "tflite", "cmsis-nn"))
def test_depthwise_convolutions_of_any_window(profile: str) -> None:
    """Every stride, dilation and padding; few channels and many; an addition behind it, a part of a joined image."""
    seen: Counter[str] = Counter()
    for seed in range(20):
        rng = np.random.default_rng(seed)
        net = Builder(seed, dtype=np.int8 if rng.integers(2) else np.uint8, per_channel=bool(rng.integers(2)))
        channels = int(rng.choice([1, 2, 3, 12, 16, 40, 72]))
        y = windowed(net, rng, net.conv(net.quantized("input", channels, 1.0), channels), channels, channels)
        z = net.add(net.conv(y, channels, 3, group=channels), net.conv(y, channels))
        size = [int(side) for side in rng.integers(16, 60, 2)]
        x = rng.normal(0, 1.2, (1, channels, *size)).astype(np.float32)
        try:
            model = qdqnp.load(net.model(net.conv(net.concat(y, z), 8), [1, channels, *size]))
            model.run(x, profile=profile)
        except qdqnp.QdqnpError:
            continue
        seen += forms(check(model, x, profile))
        check(model, x, profile, model.plan(profile).program.outputs)
    assert seen["Depthwise"] > 20, seen


def test_depthwise_strides_and_dilations_together() -> None:
    """Taps of one remainder of the stride lie at distances that depend on both."""
    for stride, dilation in product((1, 2, 3, 4), (1, 2, 3, 4)):
        net = Builder(stride)
        y = net.conv(net.conv(net.quantized("input", 3, 1.0), 12), 12, 3, stride, 12)
        change_window(net, dilations=[dilation, dilation])
        model = qdqnp.load(net.model(net.conv(y, 8), [1, 3, 24, 26]))
        x = np.random.default_rng(2).normal(0, 1, (1, 3, 24, 26)).astype(np.float32)
        assert forms(check(model, x, "ort", model.plan().program.outputs))["Depthwise"] == 1


def test_channels_whose_bias_float32_does_not_hold() -> None:
    """Quantizers give channels without weights a bias of nearly 2^31; where weights are left, the accumulator wraps."""
    net = Builder(3)
    y = net.conv(net.quantized("input", 3, 1.0), 16, 3)
    z = net.conv(net.conv(y, 16, 3, group=16), 8)
    for name, values in net.constants.items():
        if name.startswith("b_codes"):
            values[[1, 4, 6]] = 2**31 - 1, -(2**31) + 300, 2**24 + 1
    model = qdqnp.load(net.model(z, [1, 3, 24, 24]))
    x = np.random.default_rng(2).normal(0, 1, (1, 3, 24, 24)).astype(np.float32)
    schedule = check(model, x, "ort", model.plan().program.outputs)
    finishes = [layer.finish for layer in layers(schedule)]
    assert len(finishes) == 3
    assert all(isinstance(finish, Direct) and finish.large is not None for finish in finishes)


@pytest.mark.parametrize("group", [1, 2, 8])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("profile", PROFILES)
def test_networks_give_the_codes_of_the_steps(profile: str, dtype: type, group: int) -> None:
    model = qdqnp.load(dla(1, size=48, dtype=dtype, group=group))
    x = np.random.default_rng(2).normal(0, 1, (1, 3, 48, 48)).astype(np.float32)
    check(model, x, profile)
    schedule = check(model, x, profile, model.plan(profile).program.outputs)
    if profile in ("ort", "tflite"):
        assert any(layer.shortcut is not None for layer in layers(schedule)), "no addition was fused"


@pytest.mark.parametrize("profile", PROFILES)
def test_images_joined_in_place(profile: str) -> None:
    """Parts of the joined scale are written in their place: of a convolution, of an addition, and of a join."""
    rng = np.random.default_rng(6)
    for seed in range(6):
        net = Builder(seed)
        y = net.conv(net.quantized("input", 3, 1.0), 12, 3)
        z = net.conv(y, 8)
        parts = [y, z, net.add(y, net.conv(z, 12))][: int(rng.integers(2, 4))]
        like = parts[int(rng.integers(len(parts)))]
        inner = joined(net, [parts[at] for at in rng.permutation(len(parts))], like)
        outer = joined(net, [z, inner, inner][: int(rng.integers(2, 4))], like)
        proto = net.model(net.add(net.max_pool(net.conv(outer, 8, 3)), net.max_pool(z)), [1, 3, 20, 20])
        x = rng.normal(0, 1, (1, 3, 20, 20)).astype(np.float32)
        model = qdqnp.load(proto)
        check(model, x, profile)
        schedule = check(model, x, profile, model.plan(profile).program.outputs)
        check(model, x, profile, [*model.plan(profile).program.outputs, outer.replace("_dq", "_q")])
        if profile == "ort":
            assert any(place.pitch > place.image.channels for place in schedule.places.values())


def joined(net: Builder, parts: list[str], like: str) -> str:
    name = net.name("concat")
    net.nodes.append(helper.make_node("Concat", parts, [name], name=f"Concat_{name}", axis=1))
    return net.quantized(name, sum(net.channels[part] for part in parts), 1.0, like=like)


def layers(schedule: Schedule) -> list[ConvolvedLayer]:
    return [form.layer for form in computed(schedule) if isinstance(form, Convolved)]


@pytest.mark.parametrize("profile", ("ort", "tflite"))
@pytest.mark.parametrize("name", NAMES)
def test_operators_give_the_codes_of_the_steps(name: str, profile: str, rng: np.random.Generator) -> None:
    """A single step that has a compiled form takes it, from codes and back to codes."""
    for _ in range(40):
        case = CASES[name](rng)
        model = qdqnp.load(case.model)
        try:
            plan = model.plan(profile, lowering="ort")
            feeds = feeds_for(plan, case.inputs)
            made = plan.program.outputs
            expected = walk(plan, feeds, made)
        except ProfileError:
            continue
        shapes = plan.shapes({key: value.shape for key, value in case.inputs.items()})
        found = compile_plan(plan, plan.steps, shapes, feeds, made, {}, always=True).run(feeds)
        for key in made:
            if key in expected:
                np.testing.assert_array_equal(found[key], expected[key], strict=True)


def test_additions_and_joins_are_images_under_every_rule() -> None:
    """No float32 expression gives the additions of `neural-art`: they are looked up, and nothing leaves images."""
    model = qdqnp.load(dla(1, size=48))
    x = np.random.default_rng(2).normal(0, 1, (1, 3, 48, 48)).astype(np.float32)
    schedule = check(model, x, "neural-art", model.plan("neural-art").program.outputs)
    steps = [action.bound.step.op for action in schedule.actions if isinstance(action, Defined)]
    assert not {"QLinearAdd", "QLinearConcat", "QLinearConv"} & set(steps), steps
    assert any(isinstance(layer.shortcut.addition, PairTable) for layer in layers(schedule) if layer.shortcut)


def test_functions_of_codes_stay_images() -> None:
    """A Sigmoid between two convolutions is looked up on the image."""
    net = Builder(7)
    y = net.conv(net.quantized("input", 3, 1.0), 16, 3)
    made = net.name("sigmoid")
    net.nodes.append(helper.make_node("Sigmoid", [y], [made]))
    z = net.conv(net.quantized(made, 16, 1.0), 8, 3)
    x = np.random.default_rng(2).normal(0, 1, (1, 3, 20, 20)).astype(np.float32)
    model = qdqnp.load(net.model(z, [1, 3, 20, 20]))
    for profile in ("ort", "tflite", "exact"):
        assert forms(check(model, x, profile, model.plan(profile).program.outputs))["Joined"] == 1


@pytest.mark.parametrize("op", ["Mul", "Add"])
def test_a_function_and_what_is_made_with_it_are_one_table(op: str) -> None:
    """x * Sigmoid(x) or x + Sigmoid(x) is looked up at once, whichever operand comes first; not where another step
    reads the Sigmoid."""
    x = np.random.default_rng(2).normal(0, 1, (1, 3, 20, 20)).astype(np.float32)
    for order, others in product((False, True), (False, True)):
        net = Builder(7)
        y = net.conv(net.quantized("input", 3, 1.0), 16, 3)
        made, times = net.name("sigmoid"), net.name("times")
        net.nodes.append(helper.make_node("Sigmoid", [y], [made]))
        gate = net.quantized(made, 16, 1.0)
        net.nodes.append(helper.make_node(op, [gate, y] if order else [y, gate], [times]))
        z = net.conv(net.quantized(times, 16, 1.0), 16, 3)
        model = qdqnp.load(net.model(net.add(z, gate) if others else z, [1, 3, 20, 20]))
        for profile in ("ort", "tflite", "exact"):
            found = forms(check(model, x, profile, model.plan(profile).program.outputs))
            assert found["Joined"] == 1
            assert found["Added"] == int(others)
            check(model, x, profile)


def test_steps_that_move_elements_stay_images() -> None:
    """Halves of the channels are views; Resize takes pixels; what moves otherwise is computed on codes."""
    net = Builder(8)
    y = net.conv(net.quantized("input", 3, 1.0), 16, 3)
    scales = net.constant("scales", np.array([1, 1, 2, 1.5], np.float32))

    def moved(op: str, source: str, *inputs: str, outputs: int = 1, channels: int = 8, **attributes: Any) -> list[str]:
        names = [net.name(op.lower()) for _ in range(outputs)]
        net.nodes.append(helper.make_node(op, [source, *inputs], names, **attributes))
        return [net.quantized(name, channels, 1.0, like=source) for name in names]

    first, second = moved("Split", y, net.constant("parts", np.array([8, 8])), outputs=2, axis=1)
    ends = [net.constant("ends", np.array(values)) for values in ([1, 3, 5], [7, 20, 19], [1, 2, 3])]
    (cut,) = moved("Slice", second, ends[0], ends[1], ends[2], channels=6)
    (large,) = moved("Resize", cut, "", scales, channels=6, mode="nearest", coordinate_transformation_mode="asymmetric")
    (turned,) = moved("Transpose", large, channels=6, perm=[0, 1, 3, 2])
    halves = net.concat(net.add(net.conv(first, 8, 3), second), first)
    deep = net.conv(net.conv(turned, 8, 3), 8)
    proto = net.model(deep, [1, 3, 20, 20])
    proto.graph.output.append(helper.make_tensor_value_info(halves, TensorProto.FLOAT, None))
    model = qdqnp.load(proto)
    x = np.random.default_rng(2).normal(0, 1, (1, 3, 20, 20)).astype(np.float32)
    for profile in ("ort", "tflite"):
        schedule = check(model, x, profile, model.plan(profile).program.outputs)
        assert forms(schedule)["Taken"] == 2
        steps = {action.bound.step.op for action in schedule.actions if isinstance(action, Defined)}
        assert "Transpose" in steps
        assert not {"Split", "Slice", "Resize"} & steps
        check(model, x, profile)


def sliced(net: Builder, x: str, first: int, stop: int) -> str:
    """Some channels of a tensor, quantized as they are."""
    name, ends = net.name("slice"), [net.constant("end", np.array([value])) for value in (first, stop, 1)]
    net.nodes.append(helper.make_node("Slice", [x, *ends], [name]))
    return net.quantized(name, stop - first, 1.0, like=x)


@pytest.mark.parametrize("profile", ("ort", "tflite"))
def test_parts_of_an_image_and_the_whole(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts that overlap, one that is added to what is made earlier, and one of an image that is else between two
    forms alone."""
    values = np.random.default_rng(2).normal(0, 1, (1, 3, 20, 20)).astype(np.float32)
    for also, chained in product((False, True), (1, compiling.CHAINED)):
        monkeypatch.setattr(compiling, "CHAINED", chained)
        net = Builder(4)
        before = net.conv(net.quantized("input", 3, 1.0), 8, 3)
        early, y = net.conv(before, 8), net.conv(before, 12)
        first, second = sliced(net, y, 0, 8), sliced(net, y, 4, 12)
        summed = net.conv(net.add(early, first), 8, 3)
        z = net.conv(net.add(summed, net.add(net.conv(y, 8, 3), net.conv(second, 8, 3))), 8)
        turned = net.name("turned")
        if also:
            net.nodes.append(helper.make_node("Transpose", [y], [turned], perm=[0, 2, 3, 1]))
            turned = net.quantized(turned, 20, 1.0, like=y)
        proto = net.model(z, [1, 3, 20, 20])
        if also:
            proto.graph.output.append(helper.make_tensor_value_info(turned, TensorProto.FLOAT, None))
        model = qdqnp.load(proto)
        outputs = model.plan(profile).program.outputs
        check(model, values, profile)
        check(model, values, profile, outputs)
        check(model, values, profile, [*outputs, first.replace("_dq", "_q"), second.replace("_dq", "_q")])


@pytest.mark.parametrize("profile", ("ort", "tflite", "neural-art"))
def test_a_convolution_computes_one_addition(profile: str) -> None:
    """What is added to its sum with a shortcut is added by itself, also what is made before it."""
    net = Builder(4)
    y = net.conv(net.quantized("input", 3, 1.0), 8, 3)
    early = net.conv(y, 8)
    total = net.add(net.add(net.conv(y, 8), y), net.conv(y, 8))
    more = net.add(early, net.add(y, net.conv(y, 8)))
    model = qdqnp.load(net.model(net.conv(net.concat(total, more), 8), [1, 3, 20, 20]))
    x = np.random.default_rng(2).normal(0, 1, (1, 3, 20, 20)).astype(np.float32)
    found = check(model, x, profile, model.plan(profile).program.outputs)
    assert forms(found)["Added"] == 1


def test_steps_that_leave_elements_in_their_order_are_another_shape() -> None:
    """What they make is a view, and a copy where it is wanted; what is turned or a part is computed."""
    rows, first, last, ones = np.array([16, 3]), np.array([0]), np.array([3]), np.array([1])
    kept = [("Reshape", rows), ("Unsqueeze", first), ("Squeeze", first), ("Flatten",), ("Slice", first, rows[1:])]
    others = [
        ("Transpose",),
        ("Slice", first, ones, last),
        ("Slice", last, -9 * ones, last, -ones),
        ("Slice", first, 2 * ones, ones),  # lies together, and is a view
    ]
    nodes, constants = [], []
    for at, (op, *given) in enumerate((*kept, *others)):
        names = [f"c{at}_{index}" for index in range(len(given))]
        constants += [numpy_helper.from_array(array, name) for array, name in zip(given, names, strict=True)]
        nodes.append(helper.make_node(op, ["x", *names], [f"y{at}"]))
    x = np.random.default_rng(2).normal(0, 1, (1, 3, 4, 4)).astype(np.float32)
    values = [helper.make_tensor_value_info(f"y{at}", TensorProto.FLOAT, None) for at in range(len(nodes))]
    read = [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)]
    graph = helper.make_graph(nodes, "shapes", read, values, constants)
    model = qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    schedule = check(model, x, "ort")
    assert [type(action) for action in schedule.actions] == [Reshaped] * len(kept) + [Defined] * len(others)
    found = schedule.run({"x": x})
    for name, other in product(found, ("x", *found)):
        assert name == other or not np.shares_memory(found[name], {"x": x, **found}[other])


def test_images_that_are_read_more_than_once_keep_their_values() -> None:
    """Every subset of tensors may be asked for: what is fused, joined in place or let go of must not change them."""
    model = qdqnp.load(dla(3, size=32))
    x = np.random.default_rng(4).normal(0, 1, (1, 3, 32, 32)).astype(np.float32)
    rng = np.random.default_rng(5)
    names = [name for step in model.plan().program.steps for name in step.output_names]
    for _ in range(12):
        check(model, x, "ort", set(rng.choice(names, int(rng.integers(1, 6)), replace=False)))


def test_a_tensor_info_without_a_picture_has_no_schedule() -> None:
    """A network of matrices alone is computed step by step."""
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in "xy"]
    proto = helper.make_model(
        helper.make_graph(nodes, "relu", value[:1], value[1:]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    plan = qdqnp.load(proto).plan()
    assert compile_plan(plan, plan.steps, plan.shapes({"x": (2, 3)}), {"x"}, {"y"}, {}) is None


def test_the_weights_of_all_layers_have_one_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are spread out for each layer that reads them. What is beyond the bound is computed on codes."""
    model = qdqnp.load(dla(size=16))
    x = np.random.default_rng(0).standard_normal((1, 3, 16, 16), np.float32)
    monkeypatch.setattr(compiling, "SCHEDULE_BYTES_PER_BYTE", 0)
    rooms = (2**28, 60_000, 0)
    counts = []
    for room in rooms:
        monkeypatch.setattr(compiling, "SCHEDULE_BYTES", room)
        schedule = check(model, x, "ort")
        layers = [
            action.form.layer
            for action in schedule.actions
            if isinstance(action, Compiled) and isinstance(action.form, Convolved)
        ]
        assert sum(layer.weight_bytes for layer in layers) <= room
        counts.append(len(layers))
    assert counts[0] > counts[1] > counts[2] == 0


@pytest.mark.parametrize("profile", ("ort", "tflite"))
@pytest.mark.parametrize("form", [Planes, Pointwise, KernelRows, Winograd])
def test_every_form_of_a_convolution_gives_the_codes_of_the_steps(form: type[Convolved], profile: str) -> None:
    """The form is forced wherever it is exact, also where another is faster: with an addition, or joined in place."""
    taken = 0
    for seed in range(100, 116):
        proto, x = chain(seed, profile)
        try:
            model = qdqnp.load(proto)
            model.run(x, profile=profile)
        except qdqnp.QdqnpError:
            continue
        for wanted in (None, model.plan(profile).program.outputs):
            taken += forms(check(model, x, profile, wanted, form))[form.__name__]
    assert taken > 5


@pytest.mark.parametrize("profile", ("ort", "tflite"))
def test_forced_forms_in_a_network(profile: str) -> None:
    """Kernel rows take pointwise layers too, so that one form reads what every other writes, and adds shortcuts."""
    for group in (1, 2):
        model = qdqnp.load(dla(1, size=48, group=group))
        x = np.random.default_rng(2).normal(0, 1, (1, 3, 48, 48)).astype(np.float32)
        outputs = model.plan(profile).program.outputs
        for form in (KernelRows, Winograd, Planes):
            schedule = check(model, x, profile, outputs, form)
            assert forms(schedule)[form.__name__]
            if form is KernelRows:
                assert not forms(schedule).keys() & {"Pointwise", "Winograd"}
                assert any(layer.shortcut is not None for layer in layers(schedule))
