"""QLinearAdd, QLinearMul, QLinearConcat and the lookups on every pair of codes, or every code."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tests.ops.case import MS, Case, assert_same, check, computed, expected, one_node
from tests.oracles import ort

Array = np.ndarray[Any, np.dtype[Any]]
F = np.float32
ALL = np.arange(256, dtype=np.uint8)

# (scales of a, b and y, zero points as int8): so rich in near-ties that the order of the operands decides thousands
# of the 65,536 pairs; powers of two, whose halves are exact; scales far apart; a ratio that leaves int32
GRIDS = [
    ((0.15, 0.06, 0.06), (-83, -77, -83)),
    ((0.02, 0.03, 0.06), (-89, -83, -62)),
    ((0.25, 0.2, 0.3), (69, -114, 89)),
    ((0.5, 0.5, 1.0), (0, 3, -7)),
    ((0.25, 0.5, 2.0), (-128, 127, 1)),
    ((1e-3, 7.0, 0.05), (11, -12, 127)),
    ((1.0, 1e4, 1e-6), (0, 0, 0)),
]


def binary(op: str, a: Array, b: Array, scales: tuple[float, ...], zeros: tuple[int, ...]) -> Case:
    def zero(value: int) -> Any:
        return a.dtype.type(value + (128 if a.dtype == np.uint8 else 0))

    arguments = [
        ("a", a),
        ("as", F(scales[0])),
        ("az", zero(zeros[0])),
        ("b", b),
        ("bs", F(scales[1])),
        ("bz", zero(zeros[1])),
        ("ys", F(scales[2])),
        ("yz", zero(zeros[2])),
    ]
    return one_node(op, arguments, ["a", "b"], domain=MS)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
@pytest.mark.parametrize(("scales", "zeros"), GRIDS)
def test_all_pairs_of_codes(op: str, dtype: type, scales: tuple[float, ...], zeros: tuple[int, ...]) -> None:
    a, b = np.repeat(ALL, 256).view(dtype), np.tile(ALL, 256).view(dtype)
    case = binary(op, a, b, scales, zeros)
    found = computed(case)
    if ort.comparable(case.model):
        assert_same(found, ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)
    some = np.random.default_rng(0).choice(65536, 1500, replace=False)
    part = binary(op, a[some], b[some], scales, zeros)
    assert_same(found[some], expected(part), "the integer oracle", part)


SHAPES = [shape for rank in range(4) for shape in itertools.product((1, 3), repeat=rank)]


def broadcast_together(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(1 in pair or pair[0] == pair[1] for pair in zip(reversed(a), reversed(b), strict=False))


@pytest.mark.parametrize("a", SHAPES, ids=str)
def test_which_operand_comes_first(a: tuple[int, ...]) -> None:
    """All shapes that a meets, on parameters and codes for which the other order gives another code. ONNX Runtime
    says which order it is; that both occur shows that the test can fail."""
    scales, zeros = GRIDS[0]
    straight = _pairs(scales, zeros)
    other = _pairs((scales[1], scales[0], scales[2]), (zeros[1], zeros[0], zeros[2])).T
    at = np.argwhere(straight != other)[1234]
    codes = np.array(at, np.uint8).view(np.int8)
    for b in SHAPES:
        if broadcast_together(a, b):
            case = binary("QLinearAdd", np.full(a, codes[0]), np.full(b, codes[1]), scales, zeros)
            assert np.unique(computed(case)) in (straight[tuple(at)], other[tuple(at)])
            check(case)


def _pairs(scales: tuple[float, ...], zeros: tuple[int, ...]) -> Array:
    """The sums of all pairs of int8 codes as qdqnp gives them for two vectors, indexed by their bytes."""
    case = binary("QLinearAdd", np.repeat(ALL, 256).view(np.int8), np.tile(ALL, 256).view(np.int8), scales, zeros)
    return computed(case).reshape(256, 256)


def test_sums_beyond_int32_become_the_lowest_code() -> None:
    case = binary(
        "QLinearAdd", np.array([127, -128], np.int8), np.array([127, -128], np.int8), (1e9, 1e9, 1e-9), (0, 0, 0)
    )
    assert computed(case).tolist() == [-128, -128]
    check(case)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize(("x_scale", "y_scale"), [(0.05, 1 / 256), (0.1, 0.05), (1.0, 2.0), (1e-3, 1e-5), (30.0, 0.01)])
@pytest.mark.parametrize(
    ("op", "attributes"),
    [("QLinearSigmoid", {}), ("QLinearLeakyRelu", {"alpha": 0.1}), ("QLinearLeakyRelu", {"alpha": 0.5})],
)
def test_lookups_of_all_codes(op: str, attributes: dict[str, Any], x_scale: float, y_scale: float, dtype: type) -> None:
    x = ALL.view(dtype).reshape(4, 64)
    zeros = (dtype(3), dtype(100))
    arguments = [("x", x), ("xs", F(x_scale)), ("xz", zeros[0]), ("ys", F(y_scale)), ("yz", zeros[1])]
    check(one_node(op, arguments, domain=MS, **attributes))


def test_concat_copies_what_has_the_outputs_parameters_and_rescales_the_rest() -> None:
    x = ALL.view(np.int8).reshape(2, 128)
    # the third has the scale but not the zero point; halving makes ties of all odd codes; the last overflows float32
    quants = [(0.1, 3), (0.05, 3), (0.1, 4), (0.2, -128), (3e38, 3)]
    arguments: list[Any] = [("ys", F(0.1)), ("yz", np.int8(3))]
    for index, (scale, zero) in enumerate(quants):
        arguments += [(f"x{index}", x), (f"s{index}", F(scale)), (f"z{index}", np.int8(zero))]
    case = one_node(
        "QLinearConcat", arguments, [f"x{i}" for i in range(len(quants))], domain=MS, output=np.int8, axis=-1
    )
    assert np.array_equal(computed(case)[:, :128], x)
    check(case)
    huge = [("ys", F(3e38)), ("yz", np.int8(3)), ("x", x), ("s", F(3e38)), ("z", np.int8(3))]
    check(one_node("QLinearConcat", huge, ["x"], domain=MS, output=np.int8, axis=0))
