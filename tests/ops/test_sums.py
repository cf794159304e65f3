"""QLinearConv, QLinearMatMul and QGemm where requantizing is decided: halves, wrapping, accumulators past 2^24."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qdqnp.errors import ModelError
from qdqnp.ops.geometry.conv import conv_weights
from qdqnp.ops.geometry.matrix import matrix_weights
from qdqnp.quant import Quant
from tests.ops.case import MS, Case, check, check_accumulators, computed, one_node

Array = np.ndarray[Any, np.dtype[Any]]
F = np.float32
TYPES = [(np.int8, np.int8), (np.uint8, np.int8), (np.uint8, np.uint8)]


def conv(
    x: Array, w: Array, bias: Any = None, multiplier: float = 1.0, x_zero: int = 0, y_zero: int = 0, **attributes: Any
) -> Case:
    kind = x.dtype.type
    arguments = [
        ("x", x),
        ("xs", F(multiplier)),
        ("xz", kind(x_zero)),
        ("w", w),
        ("ws", F(1)),
        ("wz", w.dtype.type(0)),
        ("ys", F(1)),
        ("yz", kind(y_zero)),
        None if bias is None else ("b", np.asarray(bias, np.int32)),
    ]
    return one_node("QLinearConv", arguments, **attributes)


def gemm(a: Array, b: Array, c: Any = None, y_scale: float | None = 1.0, **attributes: Any) -> Case:
    arguments = [
        ("x", a),
        ("as", F(0.5)),
        ("az", a.dtype.type(3)),
        ("b", b),
        ("bs", F(0.25)),
        ("bz", b.dtype.type(1)),
        None if c is None else ("c", np.asarray(c, np.int32)),
    ]
    if y_scale is not None:
        arguments += [("ys", F(y_scale)), ("yz", a.dtype.type(5))]
    return one_node("QGemm", arguments, domain=MS, output=a.dtype if y_scale is not None else np.float32, **attributes)


@pytest.mark.parametrize(("x_dtype", "w_dtype"), TYPES)
def test_exact_halves_go_to_even(x_dtype: type, w_dtype: type) -> None:
    """The identity convolution with multiplier 1/2: every odd code is a tie."""
    x = np.arange(256, dtype=np.uint8).view(x_dtype).reshape(1, 1, 16, 16)
    for zero in (0, 1):
        case = conv(x, np.ones((1, 1, 1, 1), w_dtype), multiplier=0.5, y_zero=zero)
        halves = np.rint(x.astype(np.float64) / 2) + zero
        assert computed(case).tolist() == halves.tolist()
        check(case)


@pytest.mark.parametrize("bias", [2**31 - 1, 2**31 - 300, -(2**31), -(2**31) + 300])
@pytest.mark.parametrize(("x_dtype", "w_dtype"), TYPES)
def test_int32_accumulators_wrap(x_dtype: type, w_dtype: type, bias: int) -> None:
    rng = np.random.default_rng(abs(bias))
    x = rng.integers(np.iinfo(x_dtype).min, np.iinfo(x_dtype).max, (2, 3, 4, 4), x_dtype, endpoint=True)
    w = rng.integers(np.iinfo(w_dtype).min, np.iinfo(w_dtype).max, (2, 3, 2, 2), w_dtype, endpoint=True)
    case = conv(x, w, [bias, -bias if bias > 0 else 5], 2.0**-25, x_zero=7, y_zero=9)
    check(case)
    check_accumulators(case)
    matrix = gemm(x.reshape(-1, 12), w.reshape(2, 12), np.array([bias, bias], np.int32), 2.0**25, transB=1)
    check(matrix)
    check_accumulators(matrix)
    middle = conv(x, w, [bias, bias], 1.0, x_zero=128 if x_dtype == np.uint8 else 0)
    ends = np.unique(computed(middle))
    # some sums wrap and some do not
    assert ends.tolist() == [np.iinfo(x_dtype).min, np.iinfo(x_dtype).max]


def test_accumulators_past_2_to_the_24_are_rounded_before_they_are_scaled() -> None:
    """acc = 2^24 + 1 + 2k has no float32; with the multiplier 2^-18 what float32 keeps of it decides ties."""
    step = np.arange(-40, 41)
    bias = (2**24 + step).astype(np.int32)
    x = np.array([[[[1]]]], np.int8)
    for shift in range(16, 26):
        w = np.ones((81, 1, 1, 1), np.int8)
        check(conv(x, w, bias, 2.0**-shift))
        check(conv(x, w, -bias, 2.0**-shift))
        check(conv(x, w, (bias.astype(np.int64) * 64).astype(np.int32) + step.astype(np.int32), 2.0**-shift / 64))
    exact = 2**24 + 1
    # 16777217 * m is above the half 0.5, f32(16777217) * m = 16777216 * m is the half itself, which goes to 0
    tie = conv(x, np.zeros((1, 1, 1, 1), np.int8), [exact], 2.0**-25)
    assert exact * 2.0**-25 > 0.5
    assert computed(tie).tolist() == [[[[0]]]]
    check(tie)


@pytest.mark.parametrize("multiplier", [1e-38, 1e-45, 1e30, 3.4e38])
def test_absurd_multipliers(multiplier: float) -> None:
    x = np.array([-128, -1, 0, 1, 127], np.int8).reshape(1, 1, 5)
    for bias in (0, 2**30, -(2**30)):
        check(conv(x, np.array([[[3]]], np.int8), [bias], multiplier, y_zero=-5))


@pytest.mark.parametrize("x_zero", [-128, -7, 127])
def test_padding_is_real_zero(x_zero: int, rng: np.random.Generator) -> None:
    x = rng.integers(-128, 128, (2, 3, 5, 4), np.int8)
    w = rng.integers(-128, 128, (4, 3, 3, 3), np.int8)
    check(conv(x, w, multiplier=2.0**-9, x_zero=x_zero, pads=[0, 2, 1, 1], strides=[2, 1]))
    check(conv(x, w, multiplier=2.0**-9, x_zero=x_zero, auto_pad="SAME_LOWER"))
    only_padding = conv(x[..., :1, :1], w, multiplier=2.0**-9, x_zero=x_zero, pads=[4, 4, 4, 4], y_zero=3)
    assert computed(only_padding)[..., 0, 0].tolist() == [[3] * 4] * 2
    check(only_padding)


@pytest.mark.parametrize(("channels", "groups"), [(6, 6), (6, 3), (6, 2), (4, 1)])
def test_groups_and_depthwise(channels: int, groups: int, rng: np.random.Generator) -> None:
    x = rng.integers(0, 256, (2, channels, 5, 6), np.uint8)
    w = rng.integers(-128, 128, (2 * groups, channels // groups, 3, 2), np.int8)
    bias = rng.integers(-5000, 5000, 2 * groups)
    check(conv(x, w, bias, 2.0**-8, x_zero=128, y_zero=100, group=groups, dilations=[2, 1], strides=[1, 2]))


def test_one_dimension(rng: np.random.Generator) -> None:
    x = rng.integers(-128, 128, (2, 4, 9), np.int8)
    w = rng.integers(-128, 128, (3, 4, 3), np.int8)
    check(conv(x, w, [1, 2, 3], 2.0**-8, x_zero=5, pads=[2, 1], strides=[2], dilations=[2]))


@pytest.mark.parametrize("shape", [(), (1,), (4,), (1, 4), (4, 1), (4, 4)])
@pytest.mark.parametrize("y_scale", [None, 16.0])
def test_gemm_bias_of_every_shape_on_a_square(
    shape: tuple[int, ...], y_scale: float | None, rng: np.random.Generator
) -> None:
    """On a square output a bias per row has as many values as one per column."""
    a, b = rng.integers(-128, 128, (4, 7), np.int8), rng.integers(-128, 128, (7, 4), np.int8)
    bias = rng.integers(-(10**5), 10**5, shape)
    check(gemm(a, b, bias, y_scale))


@pytest.mark.parametrize(("trans_a", "trans_b"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_gemm_of_matrices_that_do_not_fit_is_refused(trans_a: int, trans_b: int) -> None:
    """a is 3x4 and b 5x6, as they are or transposed: no two of their sizes are equal."""
    with pytest.raises(ModelError, match="equal inner sizes"):
        computed(gemm(np.ones((3, 4), np.int8), np.ones((5, 6), np.int8), transA=trans_a, transB=trans_b))


@pytest.mark.parametrize(("trans_a", "trans_b"), [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("alpha", [1.0, 0.1, -2.5])
def test_gemm_transposed_and_scaled(trans_a: int, trans_b: int, alpha: float, rng: np.random.Generator) -> None:
    a, b = rng.integers(0, 256, (3, 7), np.uint8), rng.integers(0, 256, (7, 4), np.uint8)
    a, b = np.ascontiguousarray(a.T) if trans_a else a, np.ascontiguousarray(b.T) if trans_b else b
    for y_scale in (None, 32.0):
        check(gemm(a, b, [1, 2, 3, 4], y_scale, transA=trans_a, transB=trans_b, alpha=alpha))


@pytest.mark.parametrize(
    ("a", "b"),
    [((5, 4), (4, 3)), ((2, 3, 4), (4, 3)), ((2, 1, 3, 4), (5, 4, 2)), ((3, 4), (2, 4, 5)), ((1, 1), (1, 1))],
)
@pytest.mark.parametrize("dynamic", [False, True])
def test_matmul_batches(a: tuple[int, ...], b: tuple[int, ...], dynamic: bool, rng: np.random.Generator) -> None:
    columns = len(b) == 2
    size = b[-1] if columns else 1
    arguments = [
        ("x", rng.integers(0, 256, a, np.uint8)),
        ("as", F(0.25)),
        ("az", np.uint8(100)),
        ("b", rng.integers(-128, 128, b, np.int8)),
        ("bs", np.exp2(rng.integers(-7, -3, size)).astype(F)),
        ("bz", rng.integers(-9, 9, size, np.int8)),
        ("ys", F(0.5)),
        ("yz", np.uint8(99)),
    ]
    check(one_node("QLinearMatMul", arguments, ["x", "b"] if dynamic else ["x"]))


@pytest.mark.parametrize(("a", "b"), [((2, 0), (0, 3)), ((2, 3), (3, 0)), ((0, 3), (3, 2)), ((2, 0, 3), (3, 2))])
def test_nothing_to_sum_or_nothing_to_fill(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    """An empty sum is 0, so the codes are the zero point."""
    arguments = [
        ("x", np.zeros(a, np.int8)),
        ("as", F(1)),
        ("az", np.int8(0)),
        ("b", np.zeros(b, np.int8)),
        ("bs", F(1)),
        ("bz", np.int8(0)),
        ("ys", F(1)),
        ("yz", np.int8(4)),
    ]
    case = one_node("QLinearMatMul", arguments)
    found = computed(case)
    assert found.shape == (*a[:-1], b[-1])
    assert (found == 4).all()
    for strategy in ("float32-split", "float64", "int64"):
        assert computed(case, strategy).tolist() == found.tolist()


@pytest.mark.parametrize(("dtype", "narrow"), [(np.int8, np.int16), (np.uint8, np.int16), (np.int16, np.int64)])
@pytest.mark.parametrize("one", [False, True])
def test_weights_less_their_zero_points(dtype: type, narrow: type, one: bool, rng: np.random.Generator) -> None:
    """By groups and output channels, or columns; codes and zero points at both ends of the type."""
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    zero = np.array(high if one else rng.choice([low, 0, high], 6), dtype)
    quant = Quant(np.dtype(dtype), np.ones(zero.shape, np.float32), zero, None if one else 0)
    kernel = rng.choice([low, 0, high], (6, 2, 3, 3)).astype(dtype)
    wide = np.broadcast_to(zero.astype(np.int64), 6)
    convolved = (
        conv_weights(kernel, quant, 2),
        (kernel.astype(np.int64).reshape(6, -1) - wide[:, None]).reshape(2, 3, 18),
    )
    product = matrix_weights(kernel.reshape(6, -1).T, quant), (kernel.reshape(6, -1) - wide[:, None])[None]
    for made, wanted in (convolved, product):
        np.testing.assert_array_equal(made.centered, wanted, strict=True)
        np.testing.assert_array_equal(made.narrow(), wanted.astype(narrow), strict=True)
