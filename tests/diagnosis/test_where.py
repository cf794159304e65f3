"""Each regularity, planted in a tensor in one of the orders of a device's memory, is said; chance has no line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.diagnosis.orders import orders
from qdqnp.diagnosis.where import where
from qdqnp.quant import Quant

Array = np.ndarray[Any, Any]
SHAPE = (1, 32, 8, 12)
QUANT = Quant(np.dtype(np.int8), np.float32(0.1), np.int8(-7))
ORDERS = {order.text: order for order in orders(SHAPE)}
MEMORY = pytest.mark.parametrize("memory", ["the tensor's own order", "NHWC"])
seeds = st.integers(0, 2**32 - 1)


def tensor(rng: np.random.Generator, cases: int = 3, shape: tuple[int, ...] = SHAPE) -> list[Array]:
    """Codes of which none is at an end."""
    return [rng.integers(-120, 120, shape).astype(np.int8) for _ in range(cases)]


def other(rng: np.random.Generator, codes: Array) -> Array:
    """Codes that differ from these, by anything."""
    made: Array = (codes.astype(int) + rng.integers(2, 250, codes.shape)).astype(np.uint8).view(np.int8)
    return made


def planted(right: list[Array], memory: str, change: Callable[[Array], Array]) -> list[Array]:
    """The cases with a change to the array as it is seen in this order: rows, columns, channels of NHWC."""
    if memory != "NHWC":
        return [change(array.copy()) for array in right]
    return [np.moveaxis(change(np.moveaxis(array, 1, -1).copy()), -1, 1) for array in right]


# -- places ------------------------------------------------------------------------------------------------------------
def slab(axis: int, index: Any) -> tuple[Any, ...]:
    """These indices along an axis of an NCHW image."""
    return tuple(index if at == axis else slice(None) for at in range(4))


@given(seeds, st.sampled_from([(1, "channel"), (2, "row"), (3, "column")]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_one_index_of_an_axis(seed: int, which: tuple[int, str], last: bool) -> None:
    rng, (axis, what) = np.random.default_rng(seed), which
    right, index = tensor(rng), SHAPE[axis] - 1 if last else int(rng.integers(1, SHAPE[axis] - 1))
    got = [array.copy() for array in right]
    for array in got:
        array[slab(axis, index)] = other(rng, array[slab(axis, index)])
    assert where(got, right, QUANT).startswith(f"only {what} {index}{', the last' if last else ''}")


@pytest.mark.parametrize(
    ("axis", "indices", "text"),
    [
        (1, [31], "only channel 31, the last"),
        (1, list(range(8, 16)), "only channels 8 to 15"),
        (1, list(range(1, 32, 2)), "alternating: only every 2nd channel, from 1 on"),
        (1, [c for c in range(32) if c % 8 < 3], "only channels 0 to 2 of every 8"),
        (1, [c for c in range(32) if c != 5], "every channel but 5"),
        (1, [3, 9, 20], "only channels 3, 9, 20"),
        (2, [0], "only row 0, the first"),
        (2, [4], "only row 4"),
        (3, [0, 11], "only the border columns 0 and 11"),
        (3, [11], "only column 11, the last"),
        (3, list(range(0, 12, 2)), "alternating: only every 2nd column, from 0 on"),
    ],
)
def test_indices_of_an_axis(axis: int, indices: list[int], text: str, rng: np.random.Generator) -> None:
    right = tensor(rng)
    got = [array.copy() for array in right]
    for array in got:
        array[slab(axis, indices)] = other(rng, array[slab(axis, indices)])
    assert where(got, right, QUANT) == text or where(got, right, QUANT).startswith(f"{text}, these are")


@MEMORY
@given(seeds, st.sampled_from([4, 16, 32, 64]), st.sampled_from(["last", "first"]))
@settings(max_examples=40, deadline=None)
def test_bytes_at_an_end_of_memory(memory: str, seed: int, count: int, side: str) -> None:
    rng, order = np.random.default_rng(seed), ORDERS[memory]
    right, got = tensor(rng), []
    for array in right:
        flat = order.flat(array)
        at = slice(-count, None) if side == "last" else slice(count)
        flat[at] = other(rng, flat[at])
        got.append(order.shaped(flat, SHAPE))
    line = where(got, right, QUANT)
    assert f"the {side} {count} bytes of every case" in line
    assert line.endswith("in NHWC" if memory == "NHWC" else "in NCHW")


def test_bytes_in_the_middle_of_memory(rng: np.random.Generator) -> None:
    right, order, got = tensor(rng), ORDERS["channels in blocks of 4"], []
    for array in right:
        flat = order.flat(array)
        flat[1024 : 1024 + 64] = other(rng, flat[1024 : 1024 + 64])
        got.append(order.shaped(flat, SHAPE))
    assert where(got, right, QUANT) == "only bytes 1024 to 1087 of every case, in channels in blocks of 4"


def test_a_line_of_which_some_elements_are_right_by_chance(rng: np.random.Generator) -> None:
    right, got = tensor(rng), []
    for array in right:
        flat = array.reshape(-1).copy()
        flat[-29:] = other(rng, flat[-29:])
        got.append(flat.reshape(SHAPE))
    assert "the last 32 bytes of every case" in where(got, right, QUANT)


@pytest.mark.parametrize(
    ("bad", "text"), [([37], "only case 37 of 100"), (range(50, 100), "only cases 50 to 99 of 100")]
)
def test_some_cases_of_many(bad: Any, text: str, rng: np.random.Generator) -> None:
    right = tensor(rng, 100, (1, 4, 3, 3))
    got = [other(rng, array) if case in bad else array for case, array in enumerate(right)]
    assert where(got, right, QUANT) == text
    got = [array if case == 0 else other(rng, array) for case, array in enumerate(right)]
    assert where(got, right, QUANT) == "every case but 0 of 100"
    assert where([got[60]], [right[60]], QUANT, first=60) == ""


def test_the_number_of_a_case_is_that_of_the_golden_set(rng: np.random.Generator) -> None:
    right = tensor(rng, 4)
    got = [other(rng, array) if case == 1 else array for case, array in enumerate(right)]
    assert where(got, right, QUANT, first=10) == "only case 11 of 4"


@pytest.mark.parametrize(
    ("held", "text"),
    [
        (lambda y, x: (y == 0) | (y == 7) | (x == 0) | (x == 11), "only the border of the image"),
        (
            lambda y, x: (y > 0) & (y < 7) & (x > 0) & (x < 11),
            "every row but 0 and 7, every column but 0 and 11",
        ),
        (lambda y, x: (y + x) % 2 == 0, "alternating: as on a chessboard"),
        (lambda y, x: (y + x) % 2 == 1, "alternating: as on a chessboard, from the second element on"),
    ],
)
def test_patterns_on_the_image(held: Callable[[Array, Array], Array], text: str, rng: np.random.Generator) -> None:
    right = tensor(rng)
    mask = held(*np.indices(SHAPE[2:]))
    got = [np.where(mask, other(rng, array), array) for array in right]
    assert where(got, right, QUANT) == text


@pytest.mark.parametrize("memory", ["the tensor's own order", "NHWC"])
def test_alternating_in_memory(memory: str, rng: np.random.Generator) -> None:
    shape = (1, 5, 7, 8 if memory == "NHWC" else 9)  # so that what alternates in memory does so along no axis
    order = next(order for order in orders(shape) if order.text == memory)
    right, got = tensor(rng, 3, shape), []
    for array in right:
        flat = order.flat(array)
        flat[1::2] = other(rng, flat[1::2])
        got.append(order.shaped(flat, shape))
    assert (
        where(got, right, QUANT)
        == f"alternating: only every 2nd element, from 1 on, in {'NHWC' if memory == 'NHWC' else 'NCHW'}"
    )


def test_one_element(rng: np.random.Generator) -> None:
    right = tensor(rng)
    got = [array.copy() for array in right]
    got[1][0, 3, 4, 5] += 1
    assert where(got, right, QUANT) == "only element [0, 3, 4, 5]"


def test_vectors_and_sequences(rng: np.random.Generator) -> None:
    right = tensor(rng, 8, (1, 10))
    got = [array.copy() for array in right]
    for array in got:
        array[0, 7] = other(rng, array[0, 7:8])[0]
    assert where(got, right, QUANT) == "only element [0, 7]"
    right = tensor(rng, 8, (1, 5, 10))
    got = [array.copy() for array in right]
    for array in got:
        array[0, :, 7] = other(rng, array[0, :, 7])
    assert where(got, right, QUANT, channel_axis=-1) == "only channel 7"
    assert where(got, right, QUANT) == "only index 7 of axis 2"
    right = tensor(rng, 3, (1, 12, 16))
    got = [array.copy() for array in right]
    for array in got:
        array[0, 3] = other(rng, array[0, 3])
    assert where(got, right, QUANT) == "only index 3 of axis 1"


# -- values ------------------------------------------------------------------------------------------------------------
@MEMORY
@given(seeds)
@settings(max_examples=20, deadline=None)
def test_every_wrong_value_is_one(memory: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    right, mask = tensor(rng), rng.random(SHAPE) < 0.1

    def change(array: Array) -> Array:
        array.reshape(-1)[mask.reshape(-1)] = 40
        return array

    assert where(planted(right, memory, change), right, QUANT) == "every wrong value is 40"


@pytest.mark.parametrize(
    ("code", "text"), [(-7, "the zero point"), (-128, "the lowest code"), (127, "the highest code")]
)
def test_values_with_a_name(code: int, text: str, rng: np.random.Generator) -> None:
    right, mask = tensor(rng), rng.random(SHAPE) < 0.1
    got = [np.where(mask, np.int8(code), array) for array in right]
    assert where(got, right, QUANT) == f"every wrong value is {code}, {text}"


@MEMORY
@given(seeds, st.sampled_from([1, 2, 3]))
@settings(max_examples=30, deadline=None)
def test_a_permutation(memory: str, seed: int, axis: int) -> None:
    """Along an axis of the array as it lies in this order."""
    rng = np.random.default_rng(seed)
    right = tensor(rng)
    size = np.moveaxis(right[0], 1, -1).shape[axis] if memory == "NHWC" else SHAPE[axis]
    permutation = rng.permutation(size)
    names = ("row", "column", "channel") if memory == "NHWC" else ("channel", "row", "column")
    if np.count_nonzero(permutation != np.arange(size)) < 2:
        return
    line = where(planted(right, memory, lambda array: np.take(array, permutation, axis)), right, QUANT)
    assert f"a permutation of {names[axis - 1]}s" in line
    at = int(np.flatnonzero(permutation != np.arange(size))[0])
    assert f"{at} holds {permutation[at]}" in line


@given(seeds, st.sampled_from([2.0, 4.0, 0.5, 0.25, -1.0, 1.5, 0.7]), st.sampled_from(["", " in codes"]))
@settings(max_examples=60, deadline=None)
def test_off_by_a_factor(seed: int, factor: float, of: str) -> None:
    rng, zero = np.random.default_rng(seed), 0 if of else -7
    right = tensor(rng)
    got = [np.clip(np.rint((a.astype(float) - zero) * factor) + zero, -128, 127).astype(np.int8) for a in right]
    line = where(got, right, QUANT)
    assert "off by a factor" in line and line.endswith(of)
    if factor in (2.0, 4.0, 0.5, 0.25, -1.0):
        assert f"every wrong value is off by a factor {factor:g}{of}" == line


def test_a_factor_of_real_values(rng: np.random.Generator) -> None:
    right = [rng.standard_normal(SHAPE).astype(np.float32) for _ in range(2)]
    assert where([array * np.float32(2) for array in right], right) == "every wrong value is off by a factor 2"


@given(seeds, st.integers(-20, 20).filter(bool))
@settings(max_examples=30, deadline=None)
def test_off_by_as_much(seed: int, by: int) -> None:
    right = tensor(np.random.default_rng(seed))
    got = [np.clip(array.astype(int) + by, -128, 127).astype(np.int8) for array in right]
    assert where(got, right, QUANT) == f"every wrong value is {abs(by)} too {'high' if by > 0 else 'low'}"


def test_one_bit(rng: np.random.Generator) -> None:
    right, mask = tensor(rng), rng.random(SHAPE) < 0.2
    got = [np.where(mask, array ^ np.int8(32), array) for array in right]
    assert where(got, right, QUANT) == "bit 5 is another in every wrong value"


def test_a_few_that_are_off_by_one_do_not_tell_of_a_bit(rng: np.random.Generator) -> None:
    right = [array & np.int8(-2) for array in tensor(rng)]
    got = [array.copy() for array in right]
    for array in got:
        array.reshape(-1)[rng.choice(array.size, 2, replace=False)] += 1
    assert where(got, right, QUANT) == ""


def test_a_place_and_a_value(rng: np.random.Generator) -> None:
    right = tensor(rng, 100, (1, 8, 6, 6))
    got = [array.copy() for array in right]
    got[12][0, :, 3] = 40
    assert where(got, right, QUANT) == "only row 3, only case 12 of 100; every wrong value is 40"


# -- chance ------------------------------------------------------------------------------------------------------------
@given(
    seeds,
    st.integers(2, 600),
    st.sampled_from([SHAPE, (1, 10), (1, 7, 5, 5), (1, 64, 2, 2), (1, 12, 16), (3, 4, 6, 6)]),
    st.integers(1, 20),
)
@settings(max_examples=400, deadline=None)
def test_no_line_where_the_wrong_values_are_spread(seed: int, count: int, shape: tuple[int, ...], cases: int) -> None:
    rng = np.random.default_rng(seed)
    right = tensor(rng, cases, shape)
    got = [array.copy() for array in right]
    size = got[0].size
    places = rng.choice(cases * size, min(count, cases * size), replace=False)
    if len({int(place) % size for place in places}) == 1:
        return  # one element, and it is said
    for place in places:
        flat = got[int(place) // size].reshape(-1)
        flat[int(place) % size] = other(rng, flat[int(place) % size : int(place) % size + 1])[0]
    assert where(got, right, QUANT) == ""


@given(seeds, st.integers(1, 3), st.floats(0.05, 1.0))
@settings(max_examples=60, deadline=None)
def test_no_line_for_small_errors_of_either_sign(seed: int, largest: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    right = tensor(rng)
    got = [
        (array + rng.integers(-largest, largest + 1, SHAPE) * (rng.random(SHAPE) < share)).astype(np.int8)
        for array in right
    ]
    assert where(got, right, QUANT) == ""


def test_nothing_is_said_of_equal_tensors(rng: np.random.Generator) -> None:
    right = tensor(rng)
    assert where(right, right, QUANT) == ""
