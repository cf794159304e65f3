"""A batch, computed picture by picture in any number of threads, against the steps on the whole batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.errors import InputError, ProfileError
from qdqnp.executor.walk import Notes, walk
from qdqnp.limits import SCHEDULES_KEPT
from qdqnp.model import feeds_for
from qdqnp.ops.integer.pairwise import PairwiseOperator
from qdqnp.ops.integer.unary import UnaryOperator
from qdqnp.ops.registry import operators
from qdqnp.quant import Array
from qdqnp.schedule import schedules
from qdqnp.schedule.batch import Batch
from qdqnp.schedule.pictures import KEEPS, picture_steps
from qdqnp.schedule.schedules import Schedules
from qdqnp.trace import Trace
from tests.networks import Builder, dla
from tests.ops.cases import CASES
from tests.ops.cases.floats import BITWISE, CLOSE

PROFILES = ("ort", "ort-x64", "ort-unfused", "ort-avx2", "exact", "tflite", "cmsis-nn", "neural-art")


@pytest.fixture
def divide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let also pictures of a few pixels be computed by themselves."""
    monkeypatch.setattr(schedules, "FEWEST_PRODUCTS", 0)


def batch_of(model: qdqnp.Model, x: Array, profile: str) -> Batch | None:
    plan = model.plan(profile)
    feeds = feeds_for(plan, x)
    found = Schedules(plan).schedule({name: array.shape for name, array in feeds.items()}, plan.program.outputs)
    assert found is None or isinstance(found, Batch)
    return found


def expected(model: qdqnp.Model, x: Array, profile: str) -> dict[str, Array]:
    plan = model.plan(profile)
    return walk(plan, feeds_for(plan, x), plan.program.outputs)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_number_of_threads_gives_the_codes_of_the_steps(profile: str, divide: None) -> None:
    model = qdqnp.load(dla(1, size=32, batch="N"))
    rng = np.random.default_rng(3)
    for pictures in (2, 3, 5):
        x = rng.normal(0, 1, (pictures, 3, 32, 32)).astype(np.float32)
        want = expected(model, x, profile)
        made = batch_of(model, x, profile)
        assert made is not None
        for threads in (1, 2, 3, 8, None):
            found = made.run(feeds_for(model.plan(profile), x), threads)
            assert found.keys() == want.keys()
            for name, array in want.items():
                np.testing.assert_array_equal(found[name], array, strict=True)
        np.testing.assert_array_equal(model.run(x, profile=profile, threads=2)[name], want[name], strict=True)


def test_codes_in_place_of_an_input_are_divided_too(divide: None) -> None:
    model = qdqnp.load(dla(1, size=16, batch="N"))
    x = np.random.default_rng(3).integers(-128, 128, (4, 3, 16, 16)).astype(np.int8)
    (want,) = expected(model, x, "ort").values()
    (found,) = model.run(x, threads=2).values()
    np.testing.assert_array_equal(found, want, strict=True)


def after_conv(*nodes: onnx.NodeProto, shape: list[int | str], **constants: Array) -> onnx.ModelProto:
    """A convolution of 'input' to 'a', 8 channels, and float nodes from 'a' to 'y'."""
    net = Builder(1)
    a = net.conv(net.quantized("input", 3, 1.0), 8, 3)
    proto = net.model(a, ["N", 3, 8, 8])
    graph = proto.graph
    for node in nodes:
        graph.node.append(node)
    renamed = [helper.make_node("Identity", [a], ["a"])]
    for node in reversed(renamed):
        graph.node.insert(len(graph.node) - len(nodes), node)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, shape))
    return proto


CASES_AFTER: dict[str, tuple[Callable[[], onnx.ModelProto], bool]] = {
    # what follows the convolution, and whether its last step computes each picture by itself
    "reshape": (
        lambda: after_conv(
            helper.make_node("Reshape", ["a", "s"], ["y"]), shape=["N", 512], s=np.array([-1, 512], np.int64)
        ),
        True,
    ),
    "reshape that mixes pictures": (
        lambda: after_conv(
            helper.make_node("Reshape", ["a", "s"], ["y"]), shape=["M", 1024], s=np.array([-1, 1024], np.int64)
        ),
        False,
    ),
    "flatten of the batch": (
        lambda: after_conv(helper.make_node("Flatten", ["a"], ["y"], axis=0), shape=[1, "M"]),
        False,
    ),
    "transposed batch": (
        lambda: after_conv(helper.make_node("Transpose", ["a"], ["y"], perm=[1, 0, 2, 3]), shape=[8, "N", 8, 8]),
        False,
    ),
    "transposed pictures": (
        lambda: after_conv(helper.make_node("Transpose", ["a"], ["y"], perm=[0, 2, 3, 1]), shape=["N", 8, 8, 8]),
        True,
    ),
    "joined batch": (
        lambda: after_conv(helper.make_node("Concat", ["a", "a"], ["y"], axis=0), shape=["M", 8, 8, 8]),
        False,
    ),
    "joined channels": (
        lambda: after_conv(helper.make_node("Concat", ["a", "a"], ["y"], axis=-3), shape=["N", 16, 8, 8]),
        True,
    ),
    "mean of the batch": (
        lambda: after_conv(
            helper.make_node("ReduceMean", ["a"], ["m"], axes=[0], keepdims=1),
            helper.make_node("Sub", ["a", "m"], ["y"]),
            shape=["N", 8, 8, 8],
        ),
        False,
    ),
    "float product": (
        lambda: after_conv(
            helper.make_node("Flatten", ["a"], ["f"]),
            helper.make_node("MatMul", ["f", "w"], ["y"]),
            shape=["N", 5],
            w=np.random.default_rng(0).normal(0, 1, (512, 5)).astype(np.float32),
        ),
        False,
    ),
    "sum with a constant for each picture": (
        lambda: after_conv(
            helper.make_node("Add", ["a", "c"], ["y"]),
            shape=["N", 8, 8, 8],
            c=np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1),
        ),
        False,
    ),
    "softmax of the batch": (
        lambda: after_conv(helper.make_node("Softmax", ["a"], ["y"], axis=0), shape=["N", 8, 8, 8]),
        False,
    ),
}


@pytest.mark.parametrize("name", CASES_AFTER)
def test_a_step_that_mixes_pictures_has_the_whole_batch(name: str, divide: None) -> None:
    build, apart = CASES_AFTER[name]
    proto = build()
    model = qdqnp.load(proto)
    x = np.random.default_rng(3).normal(0, 1, (4, 3, 8, 8)).astype(np.float32)
    want = expected(model, x, "ort")
    made = batch_of(model, x, "ort")
    assert made is not None
    assert (not made.together) == apart
    found = model.run(x, threads=2)
    np.testing.assert_array_equal(found["y"], want["y"], strict=True)


DRAWN: Mapping[str, Callable[[Any], Any]] = {**CASES, **BITWISE, **CLOSE}
#: Operators of the table that are drawn for, and a few that share a rule.
NAMES = sorted(
    {
        operator.op
        for operator in operators().values()
        if type(operator) in KEEPS or isinstance(operator, UnaryOperator | PairwiseOperator)
    }
    & DRAWN.keys()
)


@pytest.mark.parametrize("name", NAMES)
def test_steps_said_to_keep_pictures_apart_do(name: str, rng: np.random.Generator) -> None:
    """The step on a batch gives what it gives for each picture alone; no operator of the table is never divided."""
    divided = 0
    for _ in range(200):
        case = DRAWN[name](rng)
        try:
            model = qdqnp.load(case.model)
            plan = model.plan("ort")
            feeds = feeds_for(plan, case.inputs)
            whole = walk(plan, feeds, None)
        except qdqnp.QdqnpError:
            continue
        shapes = {key: value.shape for key, value in (whole | plan.consts).items()}
        batch = next((value.shape[0] for value in feeds.values() if value.ndim), 1)
        if batch < 2 or plan.size_inputs:
            continue
        apart, _, single = picture_steps(plan.steps, batch, shapes, feeds, plan.consts)
        for bound in apart:
            divided += 1
            for index in range(batch):
                alone = {key: whole[key][index : index + 1] for key in bound.step.input_names if key in single}
                for key, made in bound.compute(alone).items():
                    part = whole[key][index : index + 1]
                    assert (made.shape, made.tobytes()) == (part.shape, part.tobytes()), bound.step
        if divided > 60:
            break
    assert divided > 3


def test_an_error_of_a_picture_is_the_runs_error_and_no_thread_stays(divide: None) -> None:
    model = qdqnp.load(dla(1, size=16, batch="N"))
    x = np.random.default_rng(3).normal(0, 1, (4, 3, 16, 16)).astype(np.float32)
    made = batch_of(model, x, "ort")
    assert made is not None

    def fails(feeds: dict[str, Array], hold_blas: bool) -> dict[str, Array]:
        raise ProfileError("no such picture", [])

    made.one.run = fails  # type: ignore[method-assign, assignment]
    before = threading.active_count()
    with pytest.raises(ProfileError, match="no such picture"):
        made.run(feeds_for(model.plan(), x), 2)
    assert threading.active_count() == before
    with pytest.raises(InputError, match="threads: expected 1 or more, or None, got 0"):
        model.run(x, threads=0)


@pytest.mark.parametrize("pictures", [1, 3])
@pytest.mark.parametrize("profile", PROFILES)
def test_a_trace_holds_what_the_steps_make_in_their_order(profile: str, pictures: int, divide: None) -> None:
    model = qdqnp.load(dla(1, size=64, batch="N"))
    x = np.random.default_rng(3).normal(0, 1, (pictures, 3, 64, 64)).astype(np.float32)
    plan, notes = model.plan(profile), Notes({}, {})
    want = walk(plan, feeds_for(plan, x), None, notes)
    found = model.trace(x, profile=profile, accumulators=True, events=True, threads=2)
    assert list(found) == list(want)
    for name, array in want.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    assert notes.accumulators is not None
    assert found.accumulators.keys() == notes.accumulators.keys()
    for name, array in notes.accumulators.items():
        np.testing.assert_array_equal(found.accumulators[name], array, strict=True)
    assert found.events == notes.events
    np.testing.assert_equal(found.parameters, Trace(want, notes, plan.program).parameters)
    kept = [found[name].copy() for name in found]
    model.trace(x + 1, profile=profile)
    assert all(np.array_equal(found[name], array) for name, array in zip(found, kept, strict=True))
    if profile in ("ort", "tflite"):
        shapes = {name: array.shape for name, array in feeds_for(plan, x).items()}
        assert Schedules(plan).schedule(shapes, list(want)) is not None
        with mock.patch.object(schedules, "walk", side_effect=AssertionError("step by step")):
            model.trace(x, profile=profile)


def test_schedules_are_made_once_and_few_are_kept() -> None:
    model = qdqnp.load(dla(1, size=16, batch="N"))
    made = Schedules(model.plan())
    first = [
        made.schedule({"input": (count, 3, 16, 16)}, model.graph.outputs) for count in range(1, SCHEDULES_KEPT + 1)
    ]
    assert first[0] is not None
    assert all(
        made.schedule({"input": (count, 3, 16, 16)}, model.graph.outputs) is one for count, one in enumerate(first, 1)
    )
    made.schedule({"input": (SCHEDULES_KEPT + 1, 3, 16, 16)}, model.graph.outputs)
    assert len(made._kept) <= SCHEDULES_KEPT
