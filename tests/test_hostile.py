"""Models that mean harm in run and inspect: work out of proportion, sizes that inputs decide, values at the ends."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.errors import InputError, ModelError, QdqnpError
from qdqnp.executor.plan import Plan
from qdqnp.executor.work import Budget, shapes_of
from qdqnp.inspection.layers import inspect
from qdqnp.ops.registry import lookup, operators
from tests.networks import dla
from tests.ops.case import MS, one_node
from tests.ops.cases import CASES
from tests.ops.cases.floats import BITWISE, CLOSE

F = np.float32
PROFILES = ("ort", "tflite", "exact")


@pytest.fixture(autouse=True)
def warnings_are_errors() -> Iterator[None]:
    """NumPy warns where a value overflows: hostile scales and inputs must have been expected there."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def model(
    nodes: list[onnx.NodeProto],
    shape: Any = (1, 1, 4, 4),
    kind: int = TensorProto.FLOAT,
    opset: int = 17,
    **constants: Any,
) -> qdqnp.Model:
    """From 'x' to 'y'."""
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_empty_tensor_value_info("y")],
        tensors,
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)]
    return qdqnp.load(helper.make_model(graph, opset_imports=imports, ir_version=10))


def node(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, outputs, **attributes)


def refused(made: qdqnp.Model, x: Any, *fragments: str, error: type[QdqnpError] = InputError, **options: Any) -> None:
    with pytest.raises(error) as caught:
        made.run({"x": x}, **options)
    for fragment in fragments:
        assert fragment in str(caught.value)


ONE = np.ones((1, 1, 4, 4), F)
TOO_MUCH = "the run would take too much memory or time"


# -- work out of proportion ----------------------------------------------------------------------------------------
def doubled(count: int) -> list[onnx.NodeProto]:
    names = ["x", *(f"t{index}" for index in range(count - 1)), "y"]
    return [node("Concat", [a, a], [b], axis=0) for a, b in pairwise(names)]


WIDE = 2**20
PIXEL = np.ones((1, 1, 1, 1), F)
POOL = {"kernel_shape": [1000, 1000], "pads": [999] * 4}
UNREASONABLE: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    "padding of a convolution": ([node("Conv", ["x", "w"], ["y"], pads=[0, 0, 2**14, 2**14])], {"w": PIXEL}),
    "padding that strides leave out": (
        [node("Conv", ["x", "w"], ["y"], pads=[0, 0, WIDE, WIDE], strides=[WIDE, WIDE])],
        {"w": PIXEL},
    ),
    "one row of im2col": (
        [node("Conv", ["x", "w"], ["y"], pads=[0, 0, 0, WIDE])],
        {"w": np.ones((1, 1, 4, 4), F)},
    ),
    "a window larger than the picture": ([node("MaxPool", ["x"], ["y"], **POOL)], {}),
    "its average": ([node("AveragePool", ["x"], ["y"], **POOL)], {}),
    "a pooling window of a million": (
        [node("AveragePool", ["x"], ["y"], kernel_shape=[WIDE, WIDE], pads=[WIDE - 1] * 4, strides=[WIDE, WIDE])],
        {},
    ),
    "dilation": (
        [node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], dilations=[WIDE] * 2, pads=[WIDE] * 4, strides=[WIDE] * 2)],
        {},
    ),
    "a tensor that doubles": (doubled(24), {}),
    "broadcasting": (
        [node("Add", ["x", "w"], ["a"]), node("Add", ["a", "v"], ["y"])],
        {"w": np.ones((3000, 1, 1, 1), F), "v": np.ones((3000, 1, 1), F)},
    ),
    "a matrix product of broadcast matrices": (
        [node("Add", ["x", "w"], ["a"]), node("MatMul", ["a", "b"], ["y"])],
        {"w": np.ones((200, 200, 1, 1), F), "b": np.ones((4, 200), F)},
    ),
    "many convolutions of one pixel": (
        [node("Add", ["x", "w"], ["a"]), node("Reshape", ["a", "s"], ["b"]), node("Conv", ["b", "k"], ["y"])],
        {"w": np.ones((100, 100, 1, 1), F), "s": np.array([-1, 1, 1, 1]), "k": np.ones((1, 1, 1, 1), F)},
    ),
}


@pytest.mark.parametrize("what", UNREASONABLE)
def test_work_out_of_proportion_is_refused_before_it_starts(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, constants = UNREASONABLE[what]
    monkeypatch.setattr("qdqnp.executor.work.RUN_ELEMENTS_PER_BYTE", 64)
    made = model(nodes, **constants)
    for run in ("schedule.Schedule.run", "batch.fold", "schedules.walk"):
        monkeypatch.setattr(f"qdqnp.schedule.{run}", None)
    refused(made, ONE, TOO_MUCH, "at most", "elements")


def test_what_is_made_at_the_first_run_counts() -> None:
    """A table of 65,536 entries for each addition, a layer for each matrix of a batch that is no constant."""
    names = ["x", *(f"t{index}" for index in range(2200)), "y"]
    q = ["s", "z"]
    adds = [node("QLinearAdd", [a, *q, a, *q, *q], [b], domain=MS) for a, b in pairwise(names)]
    made = model(adds, ("N",), TensorProto.INT8, s=F(0.1), z=np.int8(0))
    refused(made, np.ones(1, np.int8), TOO_MUCH, "elements")
    made = model(
        [node("QLinearMatMul", ["x", *q, "x", *q, *q], ["y"])], ("N", 1, 1), TensorProto.INT8, s=F(0.1), z=np.int8(0)
    )
    made.run(np.ones((100, 1, 1), np.int8))
    case = one_node(
        "QLinearMatMul",
        [
            ("x", np.ones((100, 1, 1, 1), np.int8)),
            ("s", F(1)),
            ("z", np.int8(0)),
            ("b", np.ones((100, 1, 1), np.int8)),
            ("s", F(1)),
            ("z", np.int8(0)),
            ("s", F(1)),
            ("z", np.int8(0)),
        ],
        ["x", "b"],
    )
    with pytest.raises(InputError, match=TOO_MUCH):
        qdqnp.load(case.model).run(case.inputs)


def test_a_tensor_that_many_read_counts_each_time() -> None:
    """4 million elements made of one, and the largest of them sought again and again."""
    names = [f"m{index}" for index in range(40)]
    nodes = [node("Expand", ["x", "sizes"], ["large"]), *(node("ReduceMax", ["large"], [name]) for name in names)]
    made = model([*nodes, node("Concat", names, ["y"], axis=0)], (1, 1), sizes=np.array([1024, 1024]))
    refused(made, np.ones((1, 1), F), TOO_MUCH, "step ReduceMax", "elements up to here", profile="ort-unfused")


def test_memory_out_of_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run keeps counts: a trace keeps everything, a run what is still read."""
    monkeypatch.setattr("qdqnp.executor.work.RUN_BYTES_PER_BYTE", 0)
    names = ["x", *(f"t{index}" for index in range(9)), "y"]
    made = model([node("Relu", [a], [b]) for a, b in pairwise(names)], (8, 8))
    relu = lookup("", "Relu")
    assert relu is not None
    step = 128 * relu.bytes_per_element
    monkeypatch.setattr("qdqnp.executor.work.RUN_BYTES", step + 256)  # one tensor is held while the next is made
    x = np.ones((8, 8), F)
    assert made.run(x)["y"].shape == (8, 8)
    with pytest.raises(InputError, match=f"at most {step + 256} bytes of memory at once"):
        made.trace(x)
    monkeypatch.setattr("qdqnp.executor.work.RUN_BYTES", step + 9 * 256)
    assert len(made.trace(x)) == 11
    monkeypatch.setattr("qdqnp.executor.work.RUN_BYTES", step + 255)
    refused(model([node("Relu", [a], [b]) for a, b in pairwise(names)], (8, 8)), x, TOO_MUCH, "step Relu(t1)")


def test_products_of_all_steps_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three products of 8 * 8 * 8 are 1,536 multiply-accumulates: a bound of one less refuses the last."""
    nodes = [node("MatMul", [a, "w"], [b]) for a, b in pairwise("xsty")]
    x = w = np.ones((8, 8), F)
    monkeypatch.setattr("qdqnp.executor.work.RUN_PRODUCTS_PER_BYTE", 0)
    monkeypatch.setattr("qdqnp.executor.work.RUN_PRODUCTS", 1536)
    assert model(nodes, (8, 8), w=w).run(x)["y"].tolist() == [[512.0] * 8] * 8
    monkeypatch.setattr("qdqnp.executor.work.RUN_PRODUCTS", 1535)
    refused(model(nodes, (8, 8), w=w), x, TOO_MUCH, "at most 1535 multiply-accumulates")


def test_a_tensor_may_have_as_many_bytes_as_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, x = [node("Relu", ["x"], ["y"])], np.ones((8, 8), F)
    monkeypatch.setattr("qdqnp.executor.shapes.MAX_TENSOR_BYTES", 256)
    assert model(nodes, (8, 8)).run(x)["y"].nbytes == 256
    monkeypatch.setattr("qdqnp.executor.shapes.MAX_TENSOR_BYTES", 255)
    refused(model(nodes, (8, 8)), x, "tensor 'y': expected at most 255 bytes, got 256 bytes")


def test_products_out_of_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdqnp.executor.work.RUN_PRODUCTS", 0)
    monkeypatch.setattr("qdqnp.executor.work.RUN_PRODUCTS_PER_BYTE", 1)
    made = model([node("MatMul", ["x", "w"], ["y"])], (8, 8), w=np.ones((8, 8), F))
    made.run(np.ones((8, 8), F))  # 512 products of 512 bytes
    made = model([node("MatMul", ["x", "w"], ["y"])], (9, 8), w=np.ones((8, 8), F))
    refused(made, np.ones((9, 8), F), TOO_MUCH, "at most 544 multiply-accumulates")


def test_the_bound_grows_with_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdqnp.executor.work.RUN_ELEMENTS", 60)
    monkeypatch.setattr("qdqnp.executor.work.RUN_ELEMENTS_PER_BYTE", 1)
    made = model(
        [
            node("Relu", ["x"], ["a"]),
            node("Relu", ["a"], ["b"]),
            node("Relu", ["b"], ["c"]),
            node("Relu", ["c"], ["d"]),
            node("Relu", ["d"], ["y"]),
        ],
        ("N",),
    )
    made.run(np.ones(10, F))  # 5 * 20 elements of 60 + 40
    refused(made, np.ones(11, F), TOO_MUCH, "at most 104 elements", "step Relu")


@pytest.mark.parametrize("batch", [1, 64])
def test_networks_are_far_below_the_bound(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = qdqnp.load(dla(batch="N", size=32))
    plan = made.plan()
    plan.admit({"input": (batch, 3, 224, 224)})
    monkeypatch.setattr("qdqnp.executor.work.RUN_ELEMENTS", 0)
    monkeypatch.setattr("qdqnp.executor.work.RUN_PRODUCTS", 0)
    monkeypatch.setattr("qdqnp.executor.work.RUN_ELEMENTS_PER_BYTE", 100)
    monkeypatch.setattr("qdqnp.executor.work.RUN_PRODUCTS_PER_BYTE", 10_000)
    Plan(plan.program, plan.profile, "auto").admit({"input": (batch, 3, 224, 224)})


def test_every_operator_can_say_its_work() -> None:
    """For the shapes of a case of each: as many elements as it makes, or more."""
    for generators in (CASES, BITWISE, CLOSE):
        for name, generator in generators.items():
            case = generator(np.random.default_rng(3))
            plan = qdqnp.load(case.model).plan()
            shapes = plan.shapes({key: array.shape for key, array in case.inputs.items()}, case.inputs)
            for bound in plan.steps:
                assert bound.operator.work(bound.step.attributes, *shapes_of(bound.step, shapes)) >= 0, name
                Budget(10_000).spend(bound.operator, bound.step, shapes)
    assert all(lookup(*key) is not None for key in operators())


def test_inspect_shows_a_model_that_does_not_run_with_sizes_of_one() -> None:
    made = model([node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2])], (1, 1, "H", "W"))
    assert inspect(made.plan())["layers"][0]["macs"] is None


def test_inspect_hides_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a fault of qdqnp")

    plan = model([node("Relu", ["x"], ["y"])]).plan()
    monkeypatch.setattr(Plan, "shapes", broken)
    with pytest.raises(RuntimeError):
        inspect(plan)


def test_a_model_of_thousands_of_inputs_gets_a_short_message() -> None:
    names = [f"x{index}" for index in range(1500)]
    graph = helper.make_graph(
        [node("Concat", names[:1000], ["y"], axis=0)],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in names],
        [helper.make_empty_tensor_value_info("y")],
    )
    made = qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10))
    with pytest.raises(InputError, match="and 1480 more") as caught:
        made.run({})
    assert len(str(caught.value)) < 200_000


# -- sizes that only inputs decide ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("op", "given"),
    [("Clip", ["x", "", ""]), ("Clip", ["x", ""]), ("Squeeze", ["x", ""]), ("ReduceMax", ["x", ""])],
)
def test_an_absent_input_may_be_spelled_out(op: str, given: list[str]) -> None:
    plain, spelled = (model([node(op, inputs, ["y"])], opset=18) for inputs in (["x"], given))
    assert np.array_equal(plain.run(ONE)["y"], spelled.run(ONE)["y"])


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("MaxPool", {"kernel_shape": [2, 2]}),
        ("AveragePool", {"kernel_shape": [2, 2]}),
        ("GlobalAveragePool", {}),
        ("Softmax", {}),
        ("Relu", {}),
        ("ReduceMean", {}),
    ],
)
def test_more_inputs_than_the_operator_has_are_refused_even_if_absent(op: str, attributes: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=f"node {op}\\(y\\), inputs: expected at most 1, empty names included, got 3"):
        model([node(op, ["x", "", ""], ["y"], **attributes)])


@pytest.mark.parametrize("op", ["GlobalAveragePool", "ReduceMean"])
def test_nothing_has_no_average(op: str) -> None:
    with pytest.raises(QdqnpError, match="at least one element"):
        model([node(op, ["x"], ["y"])], (1, 1, 0, 4))
    refused(model([node(op, ["x"], ["y"])], (1, 1, "H", 4)), np.ones((1, 1, 0, 4), F), "at least one element")


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_has_no_integer_average(profile: str) -> None:
    inputs = ["x", "s", "z", "s", "z"]
    made = model(
        [node("QLinearGlobalAveragePool", inputs, ["y"], domain=MS)],
        (1, 2, "H"),
        TensorProto.INT8,
        s=F(0.1),
        z=np.int8(0),
    )
    refused(made, np.ones((1, 2, 0), np.int8), "at least one element", profile=profile)
    assert made.run(np.ones((1, 2, 3), np.int8), profile=profile)["y"].tolist() == [[[1], [1]]]


@pytest.mark.parametrize("profile", PROFILES)
def test_averages_over_no_images(profile: str) -> None:
    inputs = ["x", "s", "z", "s", "z"]
    made = model(
        [node("QLinearGlobalAveragePool", inputs, ["y"], domain=MS)],
        ("N", 2, 3),
        TensorProto.INT8,
        s=F(0.1),
        z=np.int8(0),
    )
    assert made.run(np.ones((0, 2, 3), np.int8), profile=profile)["y"].shape == (0, 2, 1)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_softmax_of_nothing(shape: tuple[int, int]) -> None:
    assert model([node("Softmax", ["x"], ["y"])], ("N", "M")).run(np.ones(shape, F))["y"].shape == shape
    inputs = ["x", "s", "z", "s", "z"]
    for opset in (11, 13):
        made = model(
            [node("QLinearSoftmax", inputs, ["y"], domain=MS, opset=opset, axis=1)],
            ("N", "M"),
            TensorProto.INT8,
            s=F(0.1),
            z=np.int8(0),
        )
        assert made.run(np.ones(shape, np.int8))["y"].shape == shape


@pytest.mark.parametrize("op", ["QuantizeLinear", "DequantizeLinear"])
def test_scales_per_slice_need_as_many_slices(op: str) -> None:
    kind = TensorProto.FLOAT if op == "QuantizeLinear" else TensorProto.INT8
    made = model([node(op, ["x", "s", "z"], ["y"], axis=0)], ("N", 2), kind, s=np.ones(3, F), z=np.zeros(3, np.int8))
    x = np.ones((3, 2), helper.tensor_dtype_to_np_dtype(kind))
    assert made.run(x)["y"].shape == (3, 2)
    refused(made, x[:2], "axis 0", "3 slices, one for each scale", "[2, 2]")
    refused(made, np.repeat(x, 2, axis=0), "3 slices")


@pytest.mark.parametrize("op", ["Reshape", "Flatten"])
def test_constants_without_elements_are_folded(op: str) -> None:
    nodes = [node(op, ["w", "s"] if op == "Reshape" else ["w"], ["a"]), node("Add", ["x", "a"], ["y"])]
    made = model(nodes, ("N", 3), w=np.ones((0, 3), F), s=np.array([-1, 3]))
    assert made.run(np.ones((1, 3), F))["y"].shape == (0, 3)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("columns", [0, 2])
def test_products_with_no_column(profile: str, columns: int) -> None:
    case = one_node(
        "QLinearMatMul",
        [
            ("x", np.ones((3, 4), np.int8)),
            ("s", F(1)),
            ("z", np.int8(0)),
            ("b", np.ones((4, columns), np.int8)),
            ("s", F(1)),
            ("z", np.int8(0)),
            ("s", F(1)),
            ("z", np.int8(0)),
        ],
        ["x", "b"],
    )
    found = qdqnp.load(case.model).trace(case.inputs, profile=profile, accumulators=True, events=True)
    assert found["y"].tolist() == [[4] * columns] * 3


@pytest.mark.parametrize("profile", PROFILES)
def test_products_of_no_matrix(profile: str) -> None:
    case = one_node(
        "QLinearMatMul",
        [
            ("x", np.ones((0, 3, 4), np.int8)),
            ("s", F(1)),
            ("z", np.int8(0)),
            ("b", np.ones((0, 4, 2), np.int8)),
            ("s", F(1)),
            ("z", np.int8(0)),
            ("s", F(1)),
            ("z", np.int8(0)),
        ],
        ["x", "b"],
    )
    found = qdqnp.load(case.model).trace(case.inputs, profile=profile, accumulators=True, events=True)
    assert found["y"].shape == (0, 3, 2)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (5,), (1, 5)])
def test_the_same_bias_in_every_shape(profile: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, b = rng.integers(-128, 128, (4, 3), np.int8), rng.integers(-128, 128, (3, 5), np.int8)
    parts = [("x", x), ("as", F(0.02)), ("z", np.int8(3)), ("b", b), ("bs", F(0.01)), ("z", np.int8(3))]

    def run(bias: Any) -> Any:
        case = one_node("QGemm", [*parts, ("c", bias), ("ys", F(0.05)), ("z", np.int8(3))], domain=MS)
        return qdqnp.load(case.model).run(case.inputs, profile=profile)["y"]

    assert np.array_equal(run(np.full(shape, 1000, np.int32)), run(np.full(5, 1000, np.int32)))


# -- values at the ends --------------------------------------------------------------------------------------------
EXTREMES = (1e-45, 1e-39, 1e-20, 1e20, 3.4e38)


@pytest.mark.parametrize("profile", [*PROFILES, "cmsis-nn", "tosa"])
@pytest.mark.parametrize(
    "name",
    [
        "QLinearConv",
        "QGemm",
        "QLinearMatMul",
        "QLinearAdd",
        "QLinearMul",
        "QLinearConcat",
        "QLinearSigmoid",
        "QLinearLeakyRelu",
        "QLinearSoftmax",
        "QLinearAveragePool",
        "QLinearGlobalAveragePool",
        "QuantizeLinear",
        "DequantizeLinear",
    ],
)
def test_scales_at_the_ends_of_float32(name: str, profile: str, rng: np.random.Generator) -> None:
    """A result or our own error, and no warning from NumPy."""
    for number, scale in enumerate(EXTREMES):
        case = CASES[name](rng)
        scales = [item for item in case.model.graph.initializer if item.data_type == TensorProto.FLOAT]
        for index, item in enumerate(scales):
            if index % 3 == number % 3 and "s" in item.name:
                item.CopyFrom(numpy_helper.from_array(np.full(tuple(item.dims), scale, F), item.name))
        try:
            found = qdqnp.load(case.model).trace(case.inputs, profile=profile, accumulators=True, events=True)
        except QdqnpError:
            continue
        assert found["y"].size == math.prod(found["y"].shape)


@pytest.mark.parametrize("weight", [np.inf, -np.inf, np.nan, 3.4e38])
def test_float_weights_without_a_finite_range_stay_float(weight: float) -> None:
    """3.4e38 with its negative: the range itself overflows."""
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("Conv", ["d", "w"], ["c"], name="conv"),
        node("QuantizeLinear", ["c", "s", "z"], ["p"]),
        node("DequantizeLinear", ["p", "s", "z"], ["y"]),
    ]
    made = model(nodes, s=F(0.1), z=np.int8(0), w=np.array([[[[weight, -3.4e38]]]], F))
    program = made.program()
    assert "Conv" in [step.op for step in program.steps]
    assert any(r.node == "conv" and "no finite range" in r.reason for r in program.refusals)
    made.run(ONE)


def test_a_clip_against_a_scale_that_overflows() -> None:
    nodes = [
        node("Clip", ["x"], ["c"]),
        node("QuantizeLinear", ["c", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["y"]),
    ]
    made = model(nodes, s=F(3.39615e38), z=np.int8(0))
    assert not made.run(ONE)["y"].any()


def test_inputs_of_every_value() -> None:
    made = qdqnp.load(dla(size=16))
    for value, profile in product((np.nan, np.inf, -np.inf, 3.4e38, 1e-45), PROFILES):
        found = made.run(np.full((1, 3, 16, 16), value, F), profile=profile)
        assert all(np.isfinite(array).all() for array in found.values())


@pytest.mark.parametrize("feeds", [["x"], ["x", "w"]])
def test_the_product_of_two_vectors_has_events(feeds: list[str]) -> None:
    """Its result has no axes at all."""
    case = one_node(
        "QLinearMatMul",
        [
            ("x", np.array([1, 2, 3], np.uint8)),
            ("s", F(1)),
            ("z", np.uint8(0)),
            ("w", np.array([4, 5, -6], np.int8)),
            ("ws", F(1)),
            ("wz", np.int8(0)),
            ("ys", F(1)),
            ("yz", np.uint8(0)),
        ],
        feeds,
    )
    trace = qdqnp.load(case.model).trace(case.inputs, accumulators=True, events=True)
    assert trace["y"] == 0 and trace.accumulators["y"] == -4 and trace.events["y"].saturated_low == 1
