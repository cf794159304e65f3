"""Operators on elements of every type: where C leaves a result open, and types that ONNX Runtime has no kernel of."""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

import qdqnp
from qdqnp.errors import ModelError, ProfileError
from qdqnp.ops.geometry.broadcast import first_is_scalar, innermost_run
from qdqnp.ops.logic.cast import converted
from tests.ops.case import Case, computed, one_node
from tests.ops.cases.convert import FLOAT8
from tests.ops.cases.logic import NOT_COMPARED, elements
from tests.oracles import ort


def pair(op: str, a: Any, b: Any, dtype: Any, **attributes: Any) -> Case:
    return one_node(op, [("a", np.array(a, dtype)), ("b", np.array(b, dtype))], ["a", "b"], opset=18, **attributes)


@pytest.mark.parametrize("op", ["Div", "Mod"])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.uint64])
def test_integers_divided_by_zero(op: str, dtype: Any) -> None:
    with pytest.raises(ProfileError, match="a division by zero"):
        computed(pair(op, [7, 7], [1, 0], dtype))


@pytest.mark.parametrize("op", ["Div", "Mod"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_the_smallest_number_divided_by_minus_one(op: str, dtype: Any) -> None:
    least = np.iinfo(dtype).min
    with pytest.raises(ProfileError, match="divided by -1"):
        computed(pair(op, [least], [-1], dtype))
    assert computed(pair(op, [least], [1], dtype)) == (least if op == "Div" else 0)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_narrow_quotients_wrap(dtype: Any) -> None:
    case = pair("Div", [np.iinfo(dtype).min], [-1], dtype)
    assert computed(case).tolist() == ort.run(case.model, case.inputs)["y"].tolist() == [np.iinfo(dtype).min]


@pytest.mark.parametrize(("a", "b"), [(7, 3), (-7, 3), (7, -3), (-7, -3), (6, -3), (0, -3)])
def test_quotients_are_cut_off_towards_zero(a: int, b: int) -> None:
    assert computed(pair("Div", [a], [b], np.int64)).tolist() == [int(a / b)]
    assert computed(pair("Mod", [a], [b], np.int64)).tolist() == [a % b]
    assert computed(pair("Mod", [a], [b], np.int64, fmod=1)).tolist() == [a - b * int(a / b)]


def test_mod_of_floats_needs_fmod() -> None:
    with pytest.raises(ModelError, match="attribute 'fmod'"):
        qdqnp.load(pair("Mod", [7], [2], np.float32).model)


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize("value", [-1.0, 2.0**64, np.nan, np.inf])
def test_floats_beyond_unsigned_types(dtype: Any, value: float) -> None:
    with pytest.raises(ProfileError, match="not defined"):
        converted(np.array([1.0, value], np.float32), np.dtype(dtype))


@pytest.mark.parametrize("op", ["Min", "Max"])
def test_extremes_that_onnx_runtime_has_no_kernel_of(op: str, rng: np.random.Generator) -> None:
    better = {"Min": min, "Max": max}[op]
    for dtype in NOT_COMPARED[op]:
        a, b = elements(rng, dtype, (3, 4)), elements(rng, dtype, (4,))
        case = one_node(op, [("a", a), ("b", b)], ["a", "b"])
        with pytest.raises(Exception, match="NOT_IMPLEMENTED"):
            ort.run(case.model, case.inputs)
        assert computed(case).tolist() == [[better(int(x), int(y)) for x, y in zip(row, b, strict=True)] for row in a]


def test_choices_that_onnx_runtime_has_no_kernel_of(rng: np.random.Generator) -> None:
    for dtype in NOT_COMPARED["Where"]:
        a, b, c = elements(rng, dtype, (3, 4)), elements(rng, dtype, (3, 1)), elements(rng, np.bool_, (4,))
        case = one_node("Where", [("c", c), ("a", a), ("b", b)], ["c", "a", "b"], output=dtype, opset=16)
        with pytest.raises(Exception, match="NOT_IMPLEMENTED"):
            ort.run(case.model, case.inputs)
        wanted = [[a[i, j] if c[j] else b[i, 0] for j in range(4)] for i in range(3)]
        assert computed(case).tolist() == np.array(wanted).tolist()


def test_an_index_beyond_the_axis(rng: np.random.Generator) -> None:
    arguments = [("x", np.arange(6, dtype=np.float32).reshape(3, 2)), ("i", np.array([0, 3], np.int64))]
    with pytest.raises(ProfileError, match=r"expected numbers in \[-3, 2\], got 0 to 3"):
        computed(one_node("Gather", arguments, ["x", "i"]))


@pytest.mark.parametrize(
    ("a", "b", "run"),
    [
        ((2, 3, 4), (2, 3, 4), (24, None)),
        ((2, 3, 4), (4,), (4, None)),
        ((2, 3, 1), (2, 3, 4), (4, 0)),
        ((2, 1, 4), (2, 3, 1), (4, 1)),
        ((3, 1), (1, 1), (3, 1)),
        ((1,), (1, 1), (1, 0)),
    ],
)
def test_what_is_compared_in_one_go(a: tuple[int, ...], b: tuple[int, ...], run: tuple[int, int | None]) -> None:
    assert innermost_run(a, b) == run


@pytest.mark.parametrize("dtype", FLOAT8)
def test_every_float8_as_bool(dtype: Any) -> None:
    """ONNX Runtime looks at the bits, so that -0 is true."""
    x = np.arange(256, dtype=np.uint8).view(dtype)
    case = one_node("Cast", [("x", x)], output=np.bool_, to=9, opset=25)
    assert computed(case).tolist() == ort.run(case.model, case.inputs)["y"].tolist() == (np.arange(256) > 0).tolist()


def test_conversions_to_float4_are_onnx_s_and_not_promised() -> None:
    x = np.array([0, -0.0, 0.25, 0.75, 1.25, 2.5, 3.5, 5, 7, -5, -9, 1e9, np.inf], np.float32)
    case = one_node("Cast", [("x", x)], output=ml_dtypes.float4_e2m1fn, to=23, opset=23)
    assert np.array_equal(computed(case), ReferenceEvaluator(case.model).run(None, dict(case.inputs))[0])
    assert "no kernel for float4_e2m1fn" in str(qdqnp.load(case.model).plan().promises["y"])


def test_which_array_is_repeated_is_said_alike() -> None:
    shapes = [shape for rank in range(4) for shape in itertools.product((1, 2, 3), repeat=rank)]
    for a, b in itertools.product(shapes, repeat=2):
        if all(1 in pair or pair[0] == pair[1] for pair in zip(reversed(a), reversed(b), strict=False)):
            assert first_is_scalar(a, b) == (innermost_run(a, b)[1] == 0)


@pytest.mark.parametrize("op", ["Min", "Max", "Where"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_zeros_of_both_signs_in_every_shape(op: str, dtype: Any, rng: np.random.Generator) -> None:
    """Which zero is taken hangs on how far ONNX Runtime computes in one go, which shapes decide, axes of 1 too."""
    for _ in range(40):
        full = tuple(int(size) for size in rng.choice([1, 1, 2, 3, 4, 5, 9], rng.integers(0, 5)))
        arrays = []
        for number in range(3):
            dims = tuple(1 if rng.random() < 0.35 else size for size in full[int(rng.integers(0, len(full) + 1)) :])
            zeros = rng.choice([0.0, -0.0, 1, -1], dims, p=[0.4, 0.4, 0.1, 0.1])
            arrays.append((f"x{number}", zeros > 0 if op == "Where" and number == 0 else np.asarray(zeros, dtype)))
        case = one_node(op, arrays, [name for name, _ in arrays], opset=16, output=dtype)
        found, wanted = computed(case), ort.run(case.model, case.inputs)["y"]
        assert found.tobytes() == wanted.tobytes(), [array.shape for _, array in arrays]
