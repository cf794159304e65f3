"""Pools where their windows are special: auto_pad, ceil_mode, the border, the window that is the image."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import qdqnp
from qdqnp.errors import ModelError, ProfileError
from qdqnp.numerics.profiles import PROFILES
from tests.ops.case import MS, Case, check, computed, one_node

F = np.float32


def average(x: Any, y_zero: int = 0, y_scale: float = 1.0, op: str = "QLinearAveragePool", **attributes: Any) -> Case:
    arguments = [("x", x), ("xs", F(1)), ("xz", x.dtype.type(0)), ("ys", F(y_scale)), ("yz", x.dtype.type(y_zero))]
    return one_node(op, arguments, domain=MS, **attributes)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_auto_pad_of_every_size_kernel_and_stride(auto_pad: str) -> None:
    """With strides beyond the kernel SAME cuts elements off, on which side exactly is ONNX Runtime's own."""
    for size, kernel, stride in itertools.product(range(1, 10), range(1, 4), range(1, 6)):
        if auto_pad == "VALID" and kernel > size:
            continue
        x = (np.arange(size, dtype=np.int8) * 7 % 11 - 5).reshape(1, 1, size)
        attributes = {"auto_pad": auto_pad, "kernel_shape": [kernel], "strides": [stride]}
        check(one_node("MaxPool", [("x", x)], **attributes))
        check(average(x, y_scale=0.25, **attributes))


@pytest.mark.parametrize("op", ["MaxPool", "QLinearAveragePool"])
@pytest.mark.parametrize("include", [0, 1])
def test_ceil_mode_of_every_size_kernel_stride_and_padding(op: str, include: int) -> None:
    for size, kernel, stride in itertools.product(range(1, 8), range(1, 4), range(1, 5)):
        for before, after in itertools.product(range(kernel), repeat=2):
            if size + before + after < kernel:
                continue
            x = (np.arange(size, dtype=np.uint8) * 37).reshape(1, 1, size)
            attributes = {"ceil_mode": 1, "kernel_shape": [kernel], "strides": [stride], "pads": [before, after]}
            if op == "MaxPool":
                check(one_node(op, [("x", x)], **attributes))
            else:
                check(average(x, y_scale=0.5, count_include_pad=include, **attributes))


@pytest.mark.parametrize(
    "profile", [name for name, profile in PROFILES.items() if profile.average_pool.status != "unknown"]
)
def test_padding_that_is_counted_is_what_a_pad_writes(profile: str) -> None:
    """Converters make a Pad and an average without padding of it: the two give the same codes, for any zero point."""
    rng = np.random.default_rng(2)
    for zero in (0,) if profile == "ti-tinpu" else (-128, -7, 0, 90):  # it has no other zero points
        x = rng.integers(-128, 128, (1, 3, 6, 5), np.int8)
        padded = np.pad(x, [(0, 0), (0, 0), (1, 2), (2, 0)], constant_values=zero)
        quants = [("xs", F(0.1)), ("xz", np.int8(zero)), ("ys", F(0.1)), ("yz", np.int8(zero))]
        attributes = {"kernel_shape": [3, 3], "strides": [2, 1]}
        one = one_node(
            "QLinearAveragePool", [("x", x), *quants], domain=MS, pads=[1, 2, 2, 0], count_include_pad=1, **attributes
        )
        two = one_node("QLinearAveragePool", [("x", padded), *quants], domain=MS, **attributes)
        np.testing.assert_array_equal(under(one, profile), under(two, profile), err_msg=f"zero point {zero}")


def under(case: Case, profile: str) -> Any:
    (found,) = qdqnp.load(case.model).run(case.inputs, profile=profile, lowering="ort").values()
    return found


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_maximum_never_takes_padding(dtype: type) -> None:
    low = np.iinfo(dtype).min
    x = np.full((1, 2, 3, 3), low, dtype)
    case = one_node("MaxPool", [("x", x)], kernel_shape=[3, 3], pads=[2, 2, 2, 2])
    assert (computed(case) == low).all()
    check(case)


def test_dilated_maximum() -> None:
    x = np.random.default_rng(0).integers(-128, 128, (2, 3, 9, 8), np.int8)
    check(one_node("MaxPool", [("x", x)], kernel_shape=[3, 2], dilations=[2, 3], strides=[1, 2], pads=[1, 0, 2, 1]))


@pytest.mark.parametrize("op", ["MaxPool", "QLinearAveragePool"])
def test_dilation_with_auto_pad_same_is_refused(op: str) -> None:
    """ONNX Runtime pads as if there were no dilation, and then contradicts ONNX's shapes."""
    x = np.zeros((1, 1, 8), np.int8)
    attributes: dict[str, Any] = {"auto_pad": "SAME_UPPER", "kernel_shape": [3], "dilations": [2]}
    case = one_node(op, [("x", x)], **attributes) if op == "MaxPool" else average(x, **attributes)
    with pytest.raises(ModelError, match="dilations"):
        computed(case)


@pytest.mark.parametrize(
    "attributes",
    [{}, {"strides": [2, 2]}, {"auto_pad": "VALID"}, {"ceil_mode": 1}, {"auto_pad": "SAME_UPPER", "strides": [5, 5]}],
)
def test_window_that_is_the_image_is_a_global_average(attributes: dict[str, Any]) -> None:
    """Sums of codes are exact there; the other formula would round them on the way, which y_zero = 1 shows."""
    rng = np.random.default_rng(1)
    x = rng.integers(-128, 128, (40, 40, 4, 4), np.int8)
    whole = average(x, 1, 0.5, kernel_shape=[4, 4], **attributes)
    check(whole)
    same = average(x, 1, 0.5, op="QLinearGlobalAveragePool")
    assert computed(whole).tolist() == computed(same).tolist()
    windowed = average(x, 1, 0.5, kernel_shape=[4, 4], pads=[0, 0, 0, 1], strides=[1, 2])
    assert (computed(windowed) != computed(whole)).any()
    check(windowed)


def test_padded_window_of_the_images_size_is_no_global_average() -> None:
    x = np.arange(6, dtype=np.int8).reshape(1, 2, 3)
    case = average(x, kernel_shape=[3], auto_pad="SAME_UPPER", strides=[2])
    assert computed(case).shape == (1, 2, 2)
    check(case)


@pytest.mark.parametrize(("rank", "size"), [(1, 7), (2, 5), (3, 3)])
def test_global_average_of_every_rank(rank: int, size: int) -> None:
    x = np.random.default_rng(2).integers(0, 256, (2, 3, *[size] * rank), np.uint8)
    for y_scale in (1.0, 0.5, 0.3):
        check(average(x, 9, y_scale, op="QLinearGlobalAveragePool"))


def test_global_average_of_many_elements_loses_bits_in_float32() -> None:
    """Sums past 2^24 are rounded on their way to float32."""
    x = np.random.default_rng(3).integers(200, 256, (2, 2, 400, 301), np.uint8)
    assert x.sum(axis=(2, 3), dtype=np.int64).min() > 2**24
    check(average(x, 3, 1.0, op="QLinearGlobalAveragePool"))


@pytest.mark.parametrize(("y_scale", "fine"), [(2.0**31, True), (2.0**32, False), (2.0**-8, False), (2.0**-9, False)])
def test_global_average_refuses_the_multipliers_that_its_kernel_refuses(y_scale: float, fine: bool) -> None:
    """The multiplier is 1 / (y_scale * 2) here; ONNX Runtime wants it in [2^-32, 256)."""
    x = np.full((1, 1, 2), 100, np.uint8)
    case = average(x, 0, y_scale / (1 if y_scale > 1 else 2), op="QLinearGlobalAveragePool")
    if fine:
        check(case)
    else:
        with pytest.raises(ProfileError, match="multiplier"):
            computed(case)
