"""Steps that move elements, and parts of images: against the steps."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.schedule import compile as compiling
from qdqnp.schedule.actions import Defined, Reshaped
from tests.networks import Builder
from tests.schedule.compiled import check, forms


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
