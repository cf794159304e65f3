"""Every compiled form against the step on codes: alone, in networks, and in every placement that a network gives it."""

from __future__ import annotations

from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest
from onnx import TensorProto, helper

import qdqnp
from qdqnp.errors import ProfileError
from qdqnp.executor.walk import walk
from qdqnp.model import feeds_for
from qdqnp.schedule import compile as compiling
from qdqnp.schedule.actions import Compiled, Defined
from qdqnp.schedule.addition import PairTable
from qdqnp.schedule.choose import Convolved
from qdqnp.schedule.compile import compile_plan
from qdqnp.schedule.finish import Direct
from qdqnp.schedule.form import Banded
from qdqnp.schedule.layer import ConvolvedLayer
from qdqnp.schedule.planes import Planes
from qdqnp.schedule.pointwise import Pointwise
from qdqnp.schedule.rows import KernelRows
from qdqnp.schedule.schedule import Schedule
from qdqnp.schedule.winograd import Winograd
from tests.networks import Builder, dla
from tests.ops.cases import CASES
from tests.schedule.compiled import PROFILES, chain, change_window, check, computed, forms, windowed

NAMES = ("QLinearConv", "QLinearAdd", "QLinearMul", "QLinearConcat", "MaxPool", "QLinearSigmoid", "QLinearLeakyRelu")


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
