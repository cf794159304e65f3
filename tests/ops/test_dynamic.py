"""MatMulInteger, ConvInteger and DynamicQuantizeLinear beside what tests/ops/test_random.py draws."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

import qdqnp
from qdqnp.errors import ModelError
from tests.ops import draw
from tests.ops.case import MS, Array, Case, assert_same, computed, one_node
from tests.ops.cases.dynamic import conv_integer, reals
from tests.oracles import ort, saturating
from tests.oracles.integers import dynamic_range
from tests.oracles.node import operands

F = np.float32


# -- scale and zero point of data --------------------------------------------------------------------------------------
def quantizer(x: Array) -> Case:
    case = one_node("DynamicQuantizeLinear", [("x", x)], output=np.uint8, others=("s", "z"))
    for name, kind in (("s", 1), ("z", 2)):
        case.model.graph.output.append(helper.make_tensor_value_info(name, kind, []))
    return case


def test_all_three_outputs(rng: np.random.Generator) -> None:
    for _ in range(300):
        case = quantizer(reals(rng, draw.shape(rng)))
        found, wanted = qdqnp.load(case.model).run(case.inputs), ort.run(case.model, case.inputs)
        for name in "ysz":
            assert_same(found[name], wanted[name], "ONNX Runtime", case)
        scale, zero = dynamic_range(case.inputs["x"])
        assert found["s"] == scale and found["z"] == zero


@pytest.mark.parametrize(
    "values",
    [
        [np.nan, 1, 2, 3],
        [np.inf, 1, 2],
        [-np.inf, 1, -2],
        [np.nan, np.nan],
        [np.inf, -np.inf, 0],
        [1e-45, 0],
        [3e38, -3e38],
        [-1e-42, 5e-43],
    ],
)
def test_ranges_without_end_and_values_that_are_no_numbers(values: list[float]) -> None:
    case = quantizer(np.array(values, F))
    found, wanted = qdqnp.load(case.model).run(case.inputs), ort.run(case.model, case.inputs)
    for name in "ysz":
        assert_same(found[name], wanted[name], "ONNX Runtime", case)


def test_no_values_have_the_scale_1() -> None:
    case = quantizer(np.zeros((0, 3), F))
    found = qdqnp.load(case.model).run(case.inputs)
    assert (found["y"].shape, found["s"], found["z"]) == ((0, 3), 1, 0)


def test_a_device_without_float_refuses() -> None:
    model = qdqnp.load(quantizer(np.ones(3, F)).model)
    with pytest.raises(qdqnp.ProfileError, match="DynamicQuantizeLinear, which finds them in float32"):
        model.plan("tflite")


# -- zero points that ONNX Runtime refuses -----------------------------------------------------------------------------
@pytest.mark.parametrize(("a", "zero"), [((3, 4), (3,)), ((2, 3, 4), (3,)), ((2, 3, 4), (2, 3, 1))])
def test_a_zero_point_for_each_row(a: tuple[int, ...], zero: tuple[int, ...], rng: np.random.Generator) -> None:
    arguments = [
        ("x", draw.codes(rng, np.uint8, a)),
        ("b", draw.codes(rng, np.int8, (4, 5))),
        ("az", draw.zero_point(rng, np.uint8, zero)),
    ]
    case = one_node("MatMulInteger", arguments, ["x", "az"], output=np.int32)
    rows = arguments[2][1].astype(int).reshape(zero if len(zero) > 1 else (*zero, 1))
    wanted = np.matmul(arguments[0][1].astype(int) - rows, arguments[1][1].astype(int)).astype(np.int32)
    assert_same(computed(case), wanted, "NumPy", case)
    (promise,) = {str(qdqnp.load(case.model).plan().promises["y"])}
    assert "a zero point for each row" in promise
    with pytest.raises(Exception, match="zero point"):
        ort.run(case.model, case.inputs)


def test_a_zero_point_for_each_channel(rng: np.random.Generator) -> None:
    arguments = [
        ("x", draw.codes(rng, np.uint8, (1, 2, 4, 4))),
        ("w", draw.codes(rng, np.uint8, (3, 2, 2, 2))),
        ("xz", draw.zero_point(rng, np.uint8)),
        ("wz", draw.zero_point(rng, np.uint8, (3,))),
    ]
    case = one_node("ConvInteger", arguments, output=np.int32)
    assert "each channel" in str(qdqnp.load(case.model).plan().promises["y"])
    for channel, zero in enumerate(arguments[3][1]):
        single = [*arguments[:3], ("wz", zero)]
        single[1] = ("w", arguments[1][1][channel : channel + 1])
        one = one_node("ConvInteger", single, output=np.int32)
        assert np.array_equal(computed(case)[:, channel], computed(one)[:, 0])


@pytest.mark.parametrize("zero", [(2,), (4, 1), (3, 1, 1)])
def test_zero_points_that_do_not_fit(zero: tuple[int, ...]) -> None:
    arguments = [("x", np.zeros((3, 4), np.uint8)), ("b", np.zeros((4, 5), np.int8)), ("az", np.zeros(zero, np.uint8))]
    with pytest.raises(qdqnp.ModelError, match=r"input 2 \(zero point\) of one value, or one for each row"):
        qdqnp.load(one_node("MatMulInteger", arguments, output=np.int32).model)


def test_onnx_own_reference(rng: np.random.Generator) -> None:
    arguments = [
        ("x", draw.codes(rng, np.uint8, (4, 3))),
        ("b", draw.codes(rng, np.uint8, (3, 2))),
        ("az", np.uint8(12)),
        ("bz", np.array([0, 7], np.uint8)),
    ]
    case = one_node("MatMulInteger", arguments, opset=10, output=np.int32)
    assert_same(computed(case), ReferenceEvaluator(case.model).run(None, dict(case.inputs))[0], "onnx", case)


# -- a CPU that saturates pairs of products ----------------------------------------------------------------------------
def test_matmul_integer_saturates_under_avx2(rng: np.random.Generator) -> None:
    differing = 0
    for _ in range(50):
        rows, terms, columns = draw.size(rng, 5), draw.size(rng, 30), draw.size(rng, 5)
        a, b = rng.integers(200, 256, (rows, terms)).astype(np.uint8), draw.codes(rng, np.int8, (terms, columns))
        zeros = [("az", draw.zero_point(rng, np.uint8)), ("bz", draw.zero_point(rng, np.int8, (columns,)))]
        case = one_node("MatMulInteger", [("x", a), ("b", b), *zeros], output=np.int32)
        found = qdqnp.load(case.model).run(case.inputs, profile="ort-avx2")["y"]
        wanted = saturating.sums(a, b, int(zeros[0][1]), zeros[1][1].astype(np.int64))
        assert_same(found, wanted.astype(np.int32), "the saturating model", case)
        differing += not np.array_equal(found, computed(case))
    assert differing > 20


def test_conv_integer_saturates_with_the_weights_on_the_left() -> None:
    """Of uint8 weights with an int8 image, also depthwise; not the other way round."""
    for x_dtype, w_dtype, groups in ((np.int8, np.uint8, 1), (np.int8, np.uint8, 2), (np.uint8, np.int8, 1)):
        x = np.full((1, 2, 1, 2), np.iinfo(x_dtype).max, x_dtype)
        w = np.full((2, 2 // groups, 1, 2), np.iinfo(w_dtype).max, w_dtype)
        case = one_node("ConvInteger", [("x", x), ("w", w)], output=np.int32, group=groups)
        found = qdqnp.load(case.model).run(case.inputs, profile="ort-avx2")["y"]
        pairs = 2 // groups
        assert computed(case).tolist() == [[[[pairs * 2 * 255 * 127]]] * 2]
        assert found.tolist() == [[[[pairs * (32767 if w_dtype == np.uint8 else 2 * 255 * 127)]]] * 2]


def test_other_pairs_of_types_are_exact(rng: np.random.Generator) -> None:
    compared = 0
    while compared < 40:
        case = conv_integer(rng)
        x, w = operands(case.model, case.inputs)[:2]
        assert x is not None and w is not None
        if (x.dtype, w.dtype) == (np.int8, np.uint8):
            continue
        compared += 1
        found = qdqnp.load(case.model).run(case.inputs, profile="ort-avx2")["y"]
        assert_same(found, computed(case), "ort", case)


@pytest.mark.parametrize("named", [("", "s", "z"), ("y", "", "z"), ("", "", "z")])
def test_outputs_without_a_name(named: tuple[str, ...]) -> None:
    """ONNX Runtime refuses them too."""
    case = quantizer(np.linspace(-1, 2, 7, dtype=F))
    del case.model.graph.node[0].output[:]
    case.model.graph.node[0].output.extend(named)
    kept = [output for output in case.model.graph.output if output.name in named]
    del case.model.graph.output[:]
    case.model.graph.output.extend(kept)
    with pytest.raises(qdqnp.ModelError, match=f"output {named.index('')}: expected a name"):
        qdqnp.load(case.model)
    with pytest.raises(Exception, match="marked single but has an empty string"):
        ort.run(case.model, case.inputs)


def test_all_outputs_must_be_listed() -> None:
    case = quantizer(np.ones(3, F))
    del case.model.graph.node[0].output[1:]
    del case.model.graph.output[1:]
    with pytest.raises(qdqnp.ModelError, match="outputs: expected at least 3, got 1"):
        qdqnp.load(case.model)


# -- weights in blocks -------------------------------------------------------------------------------------------------
def in_blocks(bits: int, zero: Array | None = None, order: Array | None = None, level: int = 0) -> Case:
    arguments = [
        ("x", np.linspace(-1, 1, 64, dtype=F).reshape(2, 32)),
        ("b", np.arange(2 * 2 * 2 * bits).reshape(2, 2, 2 * bits).astype(np.uint8)),
        ("s", np.array([[0.1, 0.2], [0.3, 0.4]], F)),
        None if zero is None else ("z", zero),
        None if order is None else ("g", order),
    ]
    sizes = {"K": 32, "N": 2, "block_size": 16, "bits": bits}
    return one_node("MatMulNBits", arguments, domain=MS, accuracy_level=level, **sizes)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        (in_blocks(8, order=np.zeros(32, np.int32)), "4 with g_idx"),
        (in_blocks(8, zero=np.zeros((2, 2), F)), "4 with g_idx"),
        (in_blocks(4, order=np.full(32, 2, np.int32)), r"numbers in \[0, 1\]"),
        (in_blocks(4, order=np.zeros(7, np.int32)), "32 numbers"),
        (in_blocks(3), "2, 4 or 8"),
    ],
)
def test_blocks_that_are_refused(case: Case, expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        computed(case)


def test_two_bits_by_quantized_activations_have_no_promise() -> None:
    for level, promised in ((4, False), (3, True)):
        plan = qdqnp.load(in_blocks(2, level=level).model).plan("ort-unfused")
        assert plan.promises["y"].exact == promised


def test_an_order_of_columns_makes_zero_points_count_for_nothing() -> None:
    """As in ONNX Runtime 1.32, which takes 8 for them."""
    order = np.arange(32).astype(np.int32) % 2
    without = in_blocks(4, order=order)
    case = in_blocks(4, zero=np.array([[0x21], [0x43]], np.uint8), order=order)
    assert_same(computed(case), ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)
    assert_same(computed(case), computed(without), "no zero points", case)
