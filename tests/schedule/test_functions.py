"""Float steps between codes: looked up where they are functions of one code or two, computed where they are not."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest
from onnx import helper

import qdqnp
from qdqnp.executor.walk import walk
from qdqnp.model import feeds_for
from qdqnp.schedule.actions import Defined, Looked
from qdqnp.schedule.compile import compile_plan
from qdqnp.schedule.functions import CodeFunction, function_of
from qdqnp.schedule.schedule import Schedule
from tests.networks import Builder
from tests.schedule.compiled import check, forms

X = np.random.default_rng(2).normal(0, 1, (1, 3, 20, 20)).astype(np.float32)


def step(net: Builder, op: str, *inputs: str, channels: int, like: str | None = None, **attributes: Any) -> str:
    """A node whose output is quantized."""
    name = net.name(op.lower())
    net.nodes.append(helper.make_node(op, inputs, [name], **attributes))
    return net.quantized(name, channels, 1.0, like=like)


def computed(schedule: Schedule | None) -> Counter[str]:
    """How many steps of each operator are computed on arrays, and how many are looked up."""
    assert schedule is not None
    found = Counter(action.bound.step.op for action in schedule.actions if isinstance(action, Defined))
    return found + Counter("Looked" for action in schedule.actions if isinstance(action, Looked))


def gated(seed: int) -> tuple[Builder, str]:
    """Gates, sums, joins, pools, halves: with an integer convolution before them, so that they are images."""
    net = Builder(seed, dtype=(np.int8, np.uint8)[seed % 2], per_channel=seed < 2)
    y = net.conv(net.quantized("input", 3, 1.0), 16, 3)
    gate = step(net, "Sigmoid", y, channels=16)
    z = step(net, "Mul", y, gate, channels=16)
    total = step(net, "Add", z, net.conv(y, 16), channels=16)
    pooled = step(net, "MaxPool", total, channels=16, kernel_shape=[3, 3], pads=[1] * 4, strides=[1, 1])
    joined = step(net, "Concat", pooled, z, gate, channels=48, axis=1)
    half = step(
        net, "Slice", joined, *(net.constant("n", np.array([value])) for value in (0, 24, 1)), channels=24, like=joined
    )
    return net, net.conv(half, 8)


@pytest.mark.parametrize("profile", ["ort-x64", "ort-unfused"])
def test_float_steps_between_codes_give_the_codes_of_the_steps(profile: str) -> None:
    """Every tensor, whichever are asked for: what is fused or left out must not change another."""
    rng = np.random.default_rng(5)
    for seed in range(4):
        net, y = gated(seed)
        model = qdqnp.load(net.model(y, [1, 3, 20, 20]))
        check(model, X, profile)
        check(model, X, profile, model.plan(profile).program.outputs)
        names = [name for bound in model.plan(profile).steps for name in bound.step.output_names]
        for _ in range(6):
            check(model, X, profile, set(rng.choice(names, int(rng.integers(1, 5)), replace=False)))


@pytest.mark.parametrize("profile", ["ort-x64", "ort-unfused"])
def test_what_is_no_function_of_codes_at_its_place_is_computed(profile: str) -> None:
    """A maximum of what falls, a gate for each channel, a constant for each channel, a float join; and a sum whose
    operand, a convolution's output, is read by another step too."""
    net = Builder(1, dtype=np.uint8)
    y = net.conv(net.quantized("input", 3, 1.0), 8, 3)
    fallen, joined = net.name("fallen"), net.name("joined")
    net.nodes.append(helper.make_node("Neg", [y], [fallen]))
    pooled = step(net, "MaxPool", fallen, channels=8, kernel_shape=[3, 3], pads=[1] * 4)
    gate = step(net, "Sigmoid", step(net, "GlobalAveragePool", y, channels=8), channels=8)
    gated = step(net, "Mul", y, gate, channels=8)
    scales = net.constant("scales", np.linspace(0.5, 2, 8, dtype=np.float32).reshape(1, 8, 1, 1))
    scaled = step(net, "Mul", pooled, scales, channels=8)
    net.nodes.append(helper.make_node("Concat", [scaled, gated], [joined], axis=1))
    activated = step(net, "Tanh", joined, channels=16)
    other = net.conv(y, 8)
    total = step(net, "Add", other, gated, channels=8)
    last = net.add(step(net, "Sub", other, total, channels=8), net.conv(activated, 8))
    model = qdqnp.load(net.model(last, [1, 3, 20, 20]))
    check(model, X, profile, model.plan(profile).program.outputs)
    check(model, X, profile)


def test_which_tensors_are_functions_of_codes() -> None:
    """Of one code or two at its place: not of a gate of another shape, of constants for each channel, of three."""
    net = Builder(1)
    y = net.quantized("input", 3, 1.0)
    gate = step(net, "GlobalAveragePool", y, channels=3)
    fallen, summed, gated, scaled = (net.name(name) for name in ("fallen", "summed", "gated", "scaled"))
    scales = net.constant("scales", np.array([0.5, 1, 2], np.float32).reshape(1, 3, 1, 1))
    for op, inputs, made in (("Neg", [y], fallen), ("Mul", [y, gate], gated), ("Mul", [y, scales], scaled)):
        net.nodes.append(helper.make_node(op, inputs, [made]))
    other = net.quantized(fallen, 3, 1.0)
    net.nodes.append(helper.make_node("Add", [other, y], [summed]))
    for real in (gated, scaled):
        summed, before = net.name("summed"), summed
        net.nodes.append(helper.make_node("Add", [before, real], [summed]))
    plan = qdqnp.load(net.model(net.quantized(summed, 3, 1.0), [1, 3, 20, 20])).plan("ort-unfused")
    shapes, known = plan.shapes({"input": X.shape}), dict[str, CodeFunction]()
    readers = Counter(name for bound in plan.steps for name in bound.step.input_names)
    for bound in plan.steps:
        found = function_of(bound, known, shapes, readers)
        if found is not None:
            known |= dict.fromkeys(bound.step.output_names, found)
    assert not {gated, scaled, summed} & known.keys()
    first = known[fallen]
    (source,) = first.sources
    assert source.readers == readers[source.name] > 1
    assert not first.rises()
    assert known[first.bound.step.input_names[0]].rises()


def test_functions_of_images_are_looked_up_on_them() -> None:
    net, y = gated(1)
    model = qdqnp.load(net.model(y, [1, 3, 20, 20]))
    schedule = check(model, X, "ort-x64", model.plan("ort-x64").program.outputs)
    assert forms(schedule) >= Counter({"Maxima": 1, "Added": 1, "Joined": 3})
    assert not {"Sigmoid", "Mul", "Add", "MaxPool", "Concat", "Slice"} & set(computed(schedule))


@pytest.mark.parametrize("profile", ["ort-x64", "ort-unfused"])
def test_without_images_functions_of_one_code_are_looked_up_all_the_same(profile: str) -> None:
    """A gate behind a float convolution: the product of x and its Sigmoid is one table."""
    net = Builder(3)
    y = net.quantized("input", 3, 1.0)
    z = step(net, "Mul", y, step(net, "Sigmoid", y, channels=3), channels=3)
    model = qdqnp.load(net.model(z, [1, 3, 20, 20]))
    plan = model.plan(profile)
    feeds, outputs = feeds_for(plan, X), plan.program.outputs
    schedule = compile_plan(plan, plan.steps, plan.shapes({"input": X.shape}), feeds, outputs, {})
    found = computed(schedule)
    assert found["Looked"] == 1
    assert not {"Sigmoid", "Mul"} & set(found)
    assert schedule is not None
    wanted, made = walk(plan, feeds, outputs), schedule.run(feeds)
    assert all(np.array_equal(made[name], wanted[name]) for name in outputs)


def test_a_function_whose_ends_are_computed_otherwise_is_computed() -> None:
    """Eigen takes whole registers, and the C library for what is left: an element depends on where it lies."""
    net = Builder(3)
    y = net.quantized("input", 3, 1.0)
    z = step(net, "Elu", y, channels=3)
    model = qdqnp.load(net.model(step(net, "Sigmoid", z, channels=3), [1, 3, 7, 7]))
    plan = model.plan("ort-x64")
    feeds, outputs = feeds_for(plan, X[:, :, :7, :7]), plan.program.outputs
    schedule = compile_plan(plan, plan.steps, plan.shapes({"input": (1, 3, 7, 7)}), feeds, outputs, {}, always=True)
    found = computed(schedule)
    assert schedule is not None
    wanted, made = walk(plan, feeds, outputs), schedule.run(feeds)
    assert all(np.array_equal(made[name], wanted[name]) for name in outputs)
    assert found["Sigmoid"] == 0
    assert found["Elu"] == 1


def test_an_operand_that_two_functions_read_stays() -> None:
    """They read what a Sigmoid makes of a convolution's codes: it may not be subtracted from in its place."""
    net = Builder(1, dtype=np.uint8)
    y = net.conv(net.quantized("input", 3, 1.0), 8, 3)
    gate = net.name("gate")
    net.nodes.append(helper.make_node("Sigmoid", [net.conv(y, 8)], [gate]))
    last = net.add(step(net, "Sub", gate, y, channels=8), step(net, "Sub", y, gate, channels=8))
    model = qdqnp.load(net.model(net.conv(last, 8), [1, 3, 20, 20]))
    schedule = check(model, X, "ort-x64", model.plan("ort-x64").program.outputs)
    assert forms(schedule)["Added"] == 3


def test_a_maximum_of_what_falls_is_computed() -> None:
    """It is taken of the image where the function rises, and quantized then."""
    for op, forms_of in (("Neg", 0), ("Tanh", 1)):
        net = Builder(1, dtype=np.uint8)
        y = net.conv(net.quantized("input", 3, 1.0), 8, 3)
        made, pooled = net.name("made"), net.name("pooled")
        net.nodes.append(helper.make_node(op, [y], [made]))
        net.nodes.append(helper.make_node("MaxPool", [made], [pooled], kernel_shape=[3, 3], pads=[1] * 4))
        z = net.conv(step(net, "Sigmoid", pooled, channels=8), 8)
        model = qdqnp.load(net.model(z, [1, 3, 20, 20]))
        schedule = check(model, X, "ort-x64", model.plan("ort-x64").program.outputs)
        assert forms(schedule)["Maxima"] == forms_of


def test_a_function_of_two_images_that_is_moved_is_computed() -> None:
    """What moves, joins or takes the maximum of a function of one image does not do so of two."""
    for op in ("MaxPool", "Slice", "Concat"):
        net = Builder(1, dtype=np.uint8)
        y = net.conv(net.quantized("input", 3, 1.0), 8, 3)
        different = net.name("different")
        net.nodes.append(helper.make_node("Sub", [y, net.conv(y, 8)], [different]))
        ends = [net.constant("end", np.array([value])) for value in (0, 8, 1)]
        if op == "MaxPool":
            z = step(net, op, different, channels=8, kernel_shape=[3, 3], pads=[1] * 4)
        elif op == "Slice":
            z = step(net, op, different, *ends, channels=8)
        else:
            z = step(net, op, different, different, channels=16, axis=1)
        model = qdqnp.load(net.model(net.conv(z, 8), [1, 3, 20, 20]))
        check(model, X, "ort-x64", model.plan("ort-x64").program.outputs)


def test_codes_that_are_read_with_another_zero_point() -> None:
    """A function of codes is not one of the image, which holds codes less the zero point that their maker has."""
    net = Builder(1, dtype=np.uint8)
    y = net.conv(net.quantized("input", 3, 1.0), 8, 3)
    codes = next(node for node in net.nodes if node.output[0] == y).input[0]
    again = net.name("again")
    zero = np.array(net.zero[y] + 9, np.uint8)
    parameters = [net.constant("scale", net.scale[y]), net.constant("zero", zero)]
    net.nodes.append(helper.make_node("DequantizeLinear", [codes, *parameters], [again]))
    z = step(net, "Tanh", again, channels=8)
    model = qdqnp.load(net.model(net.conv(net.add(z, net.conv(y, 8)), 8), [1, 3, 20, 20]))
    check(model, X, "ort-x64", model.plan("ort-x64").program.outputs)


def test_codes_of_another_type_that_stand_for_the_same_numbers() -> None:
    """The image stays what it is; the codes of one type are not those of the other."""
    net = Builder(1, dtype=np.uint8)
    y = net.conv(net.quantized("input", 3, 1.0), 8, 3)
    fallen, risen, codes, again = (net.name(name) for name in ("fallen", "risen", "codes", "again"))
    zero = np.array(net.zero[y] - 128, np.int8)
    parameters = [net.constant("scale", net.scale[y]), net.constant("zero", zero)]
    net.nodes.append(helper.make_node("Neg", [y], [fallen]))
    net.nodes.append(helper.make_node("Neg", [fallen], [risen]))
    net.nodes.append(helper.make_node("QuantizeLinear", [risen, *parameters], [codes]))
    net.nodes.append(helper.make_node("DequantizeLinear", [codes, *parameters], [again]))
    z = step(net, "Tanh", again, channels=8)
    check(qdqnp.load(net.model(net.conv(z, 8), [1, 3, 20, 20])), X, "ort")


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_functions_that_are_joined_and_not_quantized_then(axis: int) -> None:
    """What is quantized at once is joined as an image, along the channels; other joins, and those of what is no
    function of codes, are computed."""
    for last, op in product(("", "Tanh"), ("Neg", "Mul")):
        net = Builder(1, dtype=np.uint8)
        y = net.conv(net.quantized("input", 3, 1.0), 8, 3)
        first, second, joined = (net.name(name) for name in ("first", "second", "joined"))
        net.nodes.append(helper.make_node("Tanh", [y], [first]))
        scales = net.constant("scales", np.linspace(0.5, 2, 8, dtype=np.float32).reshape(1, 8, 1, 1))
        net.nodes.append(helper.make_node(op, [y, scales] if op == "Mul" else [y], [second]))
        net.nodes.append(helper.make_node("Concat", [first, second], [joined], axis=axis))
        channels = 16 if axis == 1 else 8
        z = step(net, last, joined, channels=channels) if last else net.quantized(joined, channels, 1.0)
        model = qdqnp.load(net.model(net.conv(z, 8), [1, 3, 20, 20]))
        check(model, X, "ort-x64")
        check(model, X, "ort-x64", model.plan("ort-x64").program.outputs)


def test_what_mixes_a_function_of_codes_is_computed() -> None:
    """It has one input of the output's shape, as a join of one part has."""
    net = Builder(1, dtype=np.uint8)
    y = net.conv(net.quantized("input", 3, 1.0), 8, 3)
    fallen = net.name("fallen")
    net.nodes.append(helper.make_node("Neg", [y], [fallen]))
    z = step(net, "Softmax", fallen, channels=8, axis=1)
    model = qdqnp.load(net.model(net.conv(z, 8), [1, 3, 20, 20]))
    check(model, X, "ort-x64", model.plan("ort-x64").program.outputs)
