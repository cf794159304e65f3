"""What explain says an element is made of: of every operator and every element of small layers, and some by hand."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from onnx import helper, numpy_helper

import qdqnp
from qdqnp.diagnosis.explain import facts
from qdqnp.diagnosis.explain.explain import Explanation, explain
from qdqnp.numerics.profiles import PROFILES
from tests.ops.case import MS, Array, Case, one_node
from tests.ops.test_origin import DRAWN
from tests.ops.test_split import split

ORT = [PROFILES["ort"]]
# The operators that fill in what no input element is, and those that the lowering leaves out or makes constants of.
FILLING = ["CenterCropPad", "Col2Im", "ConstantOfShape", "EyeLike", "MaxUnpool", "Pad", "Range", "Size", "Trilu"]
GONE = ("float Identity", "float Shape")


def explained(case: Case, index: tuple[int, ...], layer: str = "y") -> Explanation:
    return explain(qdqnp.load(case.model), case.inputs, layer, index, ORT)


def parsed(name: str) -> tuple[str, tuple[int, ...]]:
    """A tensor and an index of `x[0, 1]`, or of `x`, which is a scalar."""
    found = re.fullmatch(r"(.*?)(?:\[([\d, ]+)\])?", name)
    assert found is not None
    return found[1], tuple(int(i) for i in found[2].split(", ")) if found[2] else ()


def same(a: Any, b: Any) -> bool:
    return bool(a == b or (a != a and b != b))


# -- every operator ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", DRAWN)
def test_every_element_of_small_layers(name: str, rng: np.random.Generator) -> None:
    """The code is that of the run; what is named has the code that stands there; a sum is that of the products."""
    checked = 0
    for _ in range(40):
        case = DRAWN[name](rng)
        model = qdqnp.load(case.model)
        trace = model.trace(case.inputs, accumulators=True)
        tensors = {**trace, **{n: t.const for n, t in model.program().tensors.items() if t.const is not None}}
        for step in model.program().steps:
            for tensor in step.output_names:
                if not 0 < trace[tensor].size <= 40:
                    continue
                for at in np.ndindex(*trace[tensor].shape):
                    found = explain(model, case.inputs, tensor, at, ORT)
                    check(found, step.op, trace[tensor][at], tensors, trace.accumulators.get(tensor))
                    checked += 1
        if checked > 30:
            break
    assert checked > 30 or name in GONE


def check(found: Explanation, op: str, made: Any, tensors: dict[str, Array], accumulators: Array | None) -> None:
    assert found.op == op and same(found.accounts[0].code, made.item())
    codes = []
    for what, code, _ in found.operands:
        tensor, place = parsed(what)
        assert len(place) == tensors[tensor].ndim and same(tensors[tensor][place].item(), code)
        codes.append(code)
    assert len(codes) == min(found.operand_count, facts.LISTED)
    if found.origin == facts.FILLED:
        assert op in FILLING and not codes
    elif found.origin in (facts.COPIED, facts.CHOSEN):
        assert (len(codes) == 1) == (found.origin == facts.COPIED)
        assert any(same(code, made.item()) for code in codes)
    else:
        assert codes or found.term_count or (op == "ConvTranspose" and found.total == 0)  # where no product falls
    if accumulators is not None and found.term_count:
        assert found.total + (found.bias or 0) - int(accumulators[found.index]) in (0, 2**32, -(2**32))


# -- by hand -----------------------------------------------------------------------------------------------------------
def test_a_transposed_element() -> None:
    x = np.arange(9, dtype=np.int8).reshape(3, 3)
    case = one_node("Transpose", [("x", x)], perm=[1, 0])
    for row, column in np.ndindex(3, 3):
        found = explained(case, (row, column))
        code = 3 * column + row
        assert found.operands == ((f"x[{column}, {row}]", code, float(code)),) and found.origin == facts.COPIED


def test_moved_codes_stand_for_what_their_maker_says() -> None:
    """A Flatten between a quantizer and a dequantizer does not interpret its codes."""
    scale, zero = numpy_helper.from_array(np.float32(0.25), "s"), numpy_helper.from_array(np.int8(-3), "z")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("Flatten", ["q"], ["f"]),
        helper.make_node("DequantizeLinear", ["f", "s", "z"], ["y"]),
    ]
    infos = [helper.make_tensor_value_info(n, 1, s) for n, s in (("x", (1, 2, 2)), ("y", (1, 4)))]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], [scale, zero])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    found = explained(Case(model, {"x": np.arange(4, dtype=np.float32).reshape(1, 2, 2)}), (0, 2), "f")
    assert found.operands == (("q[0, 1, 0]", 5, 2.0),) and found.origin == facts.COPIED


def test_broadcast_operands_have_their_own_places() -> None:
    a, b = np.arange(6, dtype=np.float32).reshape(2, 1, 3), np.arange(4, dtype=np.float32).reshape(4, 1)
    found = explained(one_node("Sub", [("a", a), ("b", b)], ["a", "b"]), (1, 2, 0))
    assert found.operands == (("a[1, 0, 0]", 3.0, 3.0), ("b[2, 0]", 2.0, 2.0)) and found.origin == facts.COMPUTED


def test_a_scalar_operand_has_no_place() -> None:
    found = explained(one_node("Add", [("a", np.ones(2, np.float32)), ("b", np.float32(7))], ["a", "b"]), (1,))
    assert [what for what, _, _ in found.operands] == ["a[1]", "b"]


def test_a_softmax_is_of_its_whole_row() -> None:
    x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    found = explained(one_node("Softmax", [("x", x)], axis=1), (1, 0, 1))
    assert [(what, code) for what, code, _ in found.operands] == [
        ("x[1, 0, 1]", 7),
        ("x[1, 1, 1]", 9),
        ("x[1, 2, 1]", 11),
    ]


def test_what_a_pad_fills_in_comes_from_no_input() -> None:
    x, pads = np.array([3, 4], np.int8), np.array([1, 0], np.int64)
    case = one_node("Pad", [("x", x), ("pads", pads), ("value", np.int8(5))])
    filled, copied = explained(case, (0,)), explained(case, (1,))
    assert filled.origin == facts.FILLED and not filled.operands and filled.accounts[0].code == 5
    assert copied.origin == facts.COPIED and copied.operands == (("x[0]", 3, 3.0),)


def test_each_output_of_a_split() -> None:
    x = np.arange(5, dtype=np.int8)
    case = Case(split(x, 2, [2, 3]), {"x": x})
    assert explained(case, (1,), "y0").operands == (("x[1]", 1, 1.0),)
    last = explained(case, (2,), "y1")
    assert last.tensor == "y1" and last.operands == (("x[4]", 4, 4.0),) and last.accounts[0].code == 4
    assert explained(case, (1,), "split").tensor == "y0"


def test_where_the_largest_is_comes_from_all_that_are_compared() -> None:
    found = explained(one_node("ArgMax", [("x", np.array([[1, 3, 2]], np.int8))], output=np.int64, axis=1), (0, 0))
    assert found.origin == facts.COMPUTED and [code for _, code, _ in found.operands] == [1, 3, 2]
    assert found.accounts[0].code == 1


def test_a_slice_of_scales() -> None:
    """The element of a QuantizeLinear and of a DequantizeLinear with a scale for each row."""
    scale, zero = np.array([0.5, 0.25], np.float32), np.array([3, -4], np.int8)
    x = np.array([[1.125, 2], [3, 4.0625]], np.float32)
    found = explained(one_node("QuantizeLinear", [("x", x), ("s", scale), ("z", zero)], output=np.int8, axis=0), (1, 1))
    assert found.real == Fraction(4.0625) * 4 - 4
    codes = x.round().astype(np.int8)
    arguments = [("x", codes), ("s", scale), ("z", zero)]
    found = explained(one_node("DequantizeLinear", arguments, output=np.float32, axis=0), (1, 0))
    assert found.operands == (("x[1, 0]", 3, (3 + 4) * 0.25),)


def test_the_products_of_a_float_convolution() -> None:
    x, w = np.array([[[1.5, 2, 4]]], np.float32), np.array([[[10, 0.25]]], np.float32)
    bias = ("b", np.array([7], np.float32))
    found = explained(one_node("Conv", [("x", x), ("w", w), bias], pads=[1, 0]), (0, 0, 0))
    terms = [(term.x_index, term.w_index, term.product) for term in found.terms]
    assert terms == [((0, 0, 0), (0, 0, 1), 0.375), (None, (0, 0, 0), 0)]
    assert (found.term_count, found.padded, found.total, found.bias) == (2, 1, 0.375, 7)
    infinite = np.array([[[np.inf, 2, 4]]], np.float32)
    assert explained(one_node("Conv", [("x", infinite), ("w", w), bias], pads=[1, 0]), (0, 0, 0)).total is None


def test_the_real_sum_is_rounded_once() -> None:
    """In float64, one by one, it would be 0."""
    x = np.array([[2**60, 1, -(2**60)]], np.float32)
    case = one_node("Gemm", [("x", x), ("w", np.ones((3, 1), np.float32))])
    assert explained(case, (0, 0)).total == 1


def test_each_weight_has_the_zero_point_of_its_column() -> None:
    x, w, zeros = np.array([[5, 6]], np.int8), np.array([[1, 2], [3, 4]], np.int8), np.array([10, -20], np.int8)
    one = np.float32(1)
    arguments = [("x", x), ("xs", one), ("xz", np.int8(2)), ("w", w), ("ws", np.ones(2, np.float32)), ("wz", zeros)]
    found = explained(one_node("QGemm", [*arguments, None, ("ys", one), ("yz", np.int8(0))], domain=MS), (0, 1))
    assert [(term.x_code, term.x_zero, term.w_code, term.w_zero) for term in found.terms] == [
        (6, 2, 4, -20),
        (5, 2, 2, -20),
    ]
    assert found.total == 4 * 24 + 3 * 22 and found.bias is None


@pytest.mark.parametrize("op", ["Gemm", "MatMul", "QLinearMatMul"])
def test_a_sum_of_nothing(op: str) -> None:
    kind: Any = np.int8 if op.startswith("Q") else np.float32
    x, w = np.zeros((2, 0), kind), np.zeros((0, 3), kind)
    one, zero = np.float32(1), np.int8(0)
    arguments = [("x", x), ("w", w)]
    if kind == np.int8:
        arguments = [
            ("x", x),
            ("xs", one),
            ("xz", zero),
            ("w", w),
            ("ws", one),
            ("wz", zero),
            ("ys", one),
            ("yz", zero),
        ]
    found = explained(one_node(op, arguments), (1, 2))
    assert found.origin == facts.COMPUTED and found.total == found.term_count == found.accounts[0].code == 0


def test_a_mean_of_very_many_lists_the_first() -> None:
    x = np.zeros((1, 1, 101, 100), np.float32)
    found = explained(one_node("GlobalAveragePool", [("x", x)]), (0, 0, 0, 0))
    assert found.operand_count == 10100 and len(found.operands) == facts.LISTED
    assert found.operands[-1][0] == "x[0, 0, 99, 99]"
