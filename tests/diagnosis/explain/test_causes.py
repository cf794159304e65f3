"""Every cause that explain knows of one operator, against the same fault written in Python integers and fractions.

The profile is `exact`: a code is the real value, rounded half to even, plus the zero point, clipped. So each fault is
one line here. For every code that some fault gives, explain must name the faults that give it, and none of the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

import qdqnp
from qdqnp.diagnosis.explain.explain import explain
from qdqnp.numerics.profiles import PROFILES
from tests.ops.case import MS, Case, one_node

Index = tuple[int, ...]
Key = tuple[str, str]  # kind and text of a cause
SIGN = ("signed against unsigned", "the top bit is turned")
OUTPUT_ZERO = ("missing output zero point", "")
WRAPS = ("missing clamp", "codes beyond the dtype wrap")
INPUT_ZERO = ("missing input zero point", "")
CONV_ZERO, CONV_Y_ZERO = -11, 7
SCALES = np.float32([0.004, 0.007, 0.011])


@dataclass
class Faults:
    """The codes of one element: the right one, and by fault the one that it gives."""

    right: int
    codes: dict[Key, int] = field(default_factory=dict)


def clipped(value: int) -> int:
    return max(-128, min(127, value))


def wrapped(value: int, bits: int) -> int:
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def faults_of(right: Fraction, zero: int, real: dict[Key, Fraction]) -> Faults:
    """right, real: real values in units of the output's scale; the faults after the rounding are added here."""
    code = round(right) + zero
    after = {
        SIGN: wrapped(clipped(code) + 128, 8),
        OUTPUT_ZERO: clipped(round(right)),
        WRAPS: wrapped(code, 8),
    }
    return Faults(clipped(code), {**{key: clipped(round(value) + zero) for key, value in real.items()}, **after})


def ratio(*scales: Any) -> Fraction:
    """The product of all scales but the last, divided by the last: float32 numbers taken as they are."""
    *factors, divisor = (Fraction(float(np.float32(scale))) for scale in scales)
    product = Fraction(1)
    for factor in factors:
        product *= factor
    return product / divisor


def check(case: Case, faults: Callable[[Index], Faults], rare: frozenset[Key] = frozenset()) -> None:
    """Every fault is told from the right code on some element, but for the `rare` ones."""
    model, seen = qdqnp.load(case.model), Counter[Key]()
    shape = model.run(case.inputs, profile="exact")["y"].shape
    known: set[Key] = set()
    for index in np.ndindex(*shape):
        wanted = faults(index)
        known |= wanted.codes.keys()
        for got in {code for key, code in wanted.codes.items() if code != wanted.right and seen[key] < 3}:
            (account,) = explain(model, case.inputs, "y", index, [PROFILES["exact"]], got).accounts
            assert account.code == wanted.right, index
            named = {(cause.kind, cause.text) for cause in account.causes}
            assert named & wanted.codes.keys() == {key for key, code in wanted.codes.items() if code == got}, index
            seen.update(named & wanted.codes.keys())
    assert known - set(seen) == set(rare)


# -- Conv --------------------------------------------------------------------------------------------------------------
def conv(rng: np.random.Generator, bias: list[int], y_scale: float, w_zero: int = 9) -> Case:
    """Three channels of 5x5, a kernel of 3x3 over two input channels, padding on every side."""
    return one_node(
        "QLinearConv",
        [
            ("x", rng.integers(-128, 128, (1, 2, 5, 5)).astype(np.int8)),
            ("xs", np.float32(0.05)),
            ("xz", np.int8(CONV_ZERO)),
            ("w", rng.integers(-128, 128, (3, 2, 3, 3)).astype(np.int8)),
            ("ws", SCALES),
            ("wz", np.full(3, w_zero, np.int8)),
            ("ys", np.float32(y_scale)),
            ("yz", np.int8(CONV_Y_ZERO)),
            ("b", np.array(bias, np.int32)),
        ],
        pads=[1, 1, 1, 1],
    )


def constants(case: Case) -> dict[str, Any]:
    return {item.name: numpy_helper.to_array(item) for item in case.model.graph.initializer}


def taps(case: Case, index: Index, dy: int = 0, dx: int = 0) -> Iterator[tuple[int | None, int]]:
    """The codes (x, w) of each product; x is None in the padding. dy, dx: how much earlier the window begins."""
    _, channel, row, column = index
    x, w = case.inputs["x"][0], constants(case)["w"][channel]
    for inner, i, j in np.ndindex(2, 3, 3):
        at = (row + i - 1 - dy, column + j - 1 - dx)
        yield (int(x[(inner, *at)]) if min(at) >= 0 and max(at) < 5 else None), int(w[inner, i, j])


def conv_faults(case: Case, y_scale: float, w_zero: int = 9) -> Callable[[Index], Faults]:
    bias = constants(case)["b"].tolist()

    def faults(index: Index) -> Faults:
        channel = index[1]
        pairs = list(taps(case, index))

        def total(z_x: int = CONV_ZERO, z_w: int = w_zero, pad: int | None = None) -> int:
            """pad: the code that the padding holds, for which a right device takes the zero point."""
            real = [(0 if pad is None else pad - z_x) if x is None else x - z_x for x, _ in pairs]
            return sum(value * (w - z_w) for value, (_, w) in zip(real, pairs, strict=True))

        def real(acc: int, scale: np.float32 = SCALES[channel]) -> Fraction:
            return acc * ratio(0.05, scale, y_scale)

        right, raw = total() + bias[channel], total() + CONV_ZERO * sum(w - w_zero for _, w in pairs)
        made = {
            ("all biases dropped", ""): real(total()),
            ("one channel's bias dropped", ""): real(total()),
            INPUT_ZERO: real(total(z_x=0) + bias[channel]),
            (INPUT_ZERO[0], "padding right"): real(total(z_x=0, pad=CONV_ZERO) + bias[channel]),
            ("missing weight zero point", ""): real(total(z_w=0) + bias[channel]),
        }
        for kind, pad in (("padding with 0", 0), ("padding with the lowest code", -128)):
            made[kind, f"the zero point is {CONV_ZERO}"] = real(total(pad=pad) + bias[channel])
        for dy, dx in {(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)} - {(0, 0)}:
            moved = sum((x - CONV_ZERO) * (w - w_zero) for x, w in taps(case, index, dy, dx) if x is not None)
            made["padding off by one", f"begins {1 + dy}, {1 + dx} for 1, 1"] = real(moved + bias[channel])
        for which, other in (("c - 1", (channel - 1) % 3), ("c + 1", (channel + 1) % 3)):
            made["neighbour's bias", f"each from channel {which}"] = real(total() + bias[other])
            made["neighbour's scale", f"each from channel {which}"] = real(right, SCALES[other])
        for text, scale in PER_TENSOR.items():
            made["per-tensor for per-channel scale", text] = real(right, scale)
        for bits, way in ((16, "wraps"), (16, "saturates"), (24, "wraps"), (24, "saturates")):
            kind = f"{bits}-bit accumulator"
            made[kind, f"{way}, with the bias"] = real(kept(right, bits, way))
            made[kind, f"{way}, before the bias"] = real(kept(total(), bits, way) + bias[channel])
            late = kept(raw, bits, way) + total() - raw + bias[channel]
            made[kind, f"{way}, before the zero point's correction"] = real(late)
        return faults_of(real(right), CONV_Y_ZERO, made)

    return faults


def kept(value: int, bits: int, way: str) -> int:
    """What a register of so many bits keeps."""
    return wrapped(value, bits) if way == "wraps" else max(-(2 ** (bits - 1)), min(2 ** (bits - 1) - 1, value))


PER_TENSOR = {
    "the largest, 0.011": SCALES[2],
    "the mean, 0.00733333": np.float32(sum(float(scale) for scale in SCALES) / 3),
    "the smallest, 0.004": SCALES[0],
    "channel 0's, 0.004": SCALES[0],
}
PLACES = ("with the bias", "before the bias", "before the zero point's correction")
WIDE = frozenset(("24-bit accumulator", f"{way}, with the bias") for way in ("wraps", "saturates"))
NEVER = frozenset(("24-bit accumulator", f"{way}, {place}") for way in ("wraps", "saturates") for place in PLACES)


def test_of_a_conv(rng: np.random.Generator) -> None:
    """Sums around 16 bits, codes of which some saturate."""
    case = conv(rng, [20_000, -25_000, 9_000], 0.15)
    check(case, conv_faults(case, 0.15), NEVER)


def test_of_a_conv_whose_sums_pass_24_bits(rng: np.random.Generator) -> None:
    """With this scale the third channel's codes are near 110, one unit of them is 82,000 of the sum."""
    case = conv(rng, [2**23 - 9_000, -(2**23) - 150_000, 2**23 + 100_000], 45.0)
    faults = conv_faults(case, 45.0)

    def only_wide(index: Index) -> Faults:
        found = faults(index)
        return Faults(found.right, {key: code for key, code in found.codes.items() if key in WIDE})

    check(case, only_wide)


# -- Add ---------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (1, 1, 8, 1)])
def test_of_an_add(shape: Index, rng: np.random.Generator) -> None:
    """An operand that is repeated along the last axis is the second one for the arithmetic; its number stays 0."""
    (s_a, z_a), (s_b, z_b), (s_y, z_y) = (0.03, 25), (0.02, -14), (0.028, 9)
    a, b = (rng.integers(-128, 128, size).astype(np.int8) for size in (shape, (1, 1, 8, 8)))
    repeated = np.broadcast_to(a, b.shape)
    quants = [(np.float32(s), np.int8(z)) for s, z in ((s_a, z_a), (s_b, z_b), (s_y, z_y))]
    arguments = [("x", a), ("as", quants[0][0]), ("az", quants[0][1])]
    arguments += [("b", b), ("bs", quants[1][0]), ("bz", quants[1][1]), ("ys", quants[2][0]), ("yz", quants[2][1])]
    case = one_node("QLinearAdd", arguments, ("x", "b"), domain=MS)

    def faults(index: Index) -> Faults:
        p, q = int(repeated[index]), int(b[index])

        def real(first: tuple[float, int] = (s_a, z_a), second: tuple[float, int] = (s_b, z_b)) -> Fraction:
            return (p - first[1]) * ratio(first[0], s_y) + (q - second[1]) * ratio(second[0], s_y)

        swapped, both = "swapped operands' scales", "one operand's scale for both"
        return faults_of(
            real(),
            z_y,
            {
                (swapped, ""): real((s_b, z_a), (s_a, z_b)),
                ("exchanged operands", "each with the other's scale and zero point"): real((s_b, z_b), (s_a, z_a)),
                ("zero point off by one", "+1, of input 0"): real(first=(s_a, z_a + 1)),
                ("zero point off by one", "-1, of input 1"): real(second=(s_b, z_b - 1)),
                (both, "of input 0, with its zero point"): real((s_a, z_a), (s_a, z_a)),
                (both, "of input 1, with its zero point"): real((s_b, z_b), (s_b, z_b)),
                (INPUT_ZERO[0], "of input 0"): real(first=(s_a, 0)),
                (INPUT_ZERO[0], "of input 1"): real(second=(s_b, 0)),
                ("missing operand", "input 0 counts as 0"): (q - z_b) * ratio(s_b, s_y),
                ("missing operand", "input 1 counts as 0"): (p - z_a) * ratio(s_a, s_y),
            },
        )

    check(case, faults)


# -- Concat ------------------------------------------------------------------------------------------------------------
def test_of_a_concat(rng: np.random.Generator) -> None:
    given = {"x": (0.05, 13), "b": (0.02, -30)}
    codes = {name: rng.integers(-128, 128, (1, 2, 4, 5)).astype(np.int8) for name in given}
    arguments: list[tuple[str, Any]] = [("ys", np.float32(0.03)), ("yz", np.int8(-4))]
    for name, (scale, zero) in given.items():
        arguments += [(name, codes[name]), (f"{name}s", np.float32(scale)), (f"{name}z", np.int8(zero))]
    case = one_node("QLinearConcat", arguments, ("x", "b"), domain=MS, output=np.int8, axis=1)

    def faults(index: Index) -> Faults:
        name = "x" if index[1] < 2 else "b"
        code = int(codes[name][index[0], index[1] % 2, index[2], index[3]])
        scale, zero = given[name]
        found = faults_of((code - zero) * ratio(scale, 0.03), -4, {INPUT_ZERO: code * ratio(scale, 0.03)})
        found.codes["missing Concat rescale", ""] = code
        return found

    check(case, faults)


# -- averages ----------------------------------------------------------------------------------------------------------
def pooled(op: str, x: np.ndarray, **attributes: Any) -> Case:
    quants = [("xs", np.float32(0.05)), ("xz", np.int8(-21)), ("ys", np.float32(0.02)), ("yz", np.int8(6))]
    return one_node(op, [("x", x), *quants], domain=MS, **attributes)


@pytest.mark.parametrize(("size", "power"), [(3, 16), (4, None), (5, 32)])
def test_of_a_global_average(size: int, power: int | None, rng: np.random.Generator) -> None:
    """power: the next power of two, by which a shift would divide; a count of 16 is one."""
    count = size * size
    x = (rng.integers(-40, 40, (1, 60, size, size)) + rng.integers(-80, 80, (60, 1, 1))).clip(-128, 127).astype(np.int8)

    def faults(index: Index) -> Faults:
        total = int(x[0, index[1]].astype(int).sum())
        unit = ratio(0.05, 0.02)
        made = {INPUT_ZERO: total * unit / count}
        if power is not None:
            made["wrong divisor", f"{power} instead of {count}"] = (total + 21 * count) * unit / power
        return faults_of((total + 21 * count) * unit / count, 6, made)

    check(pooled("QLinearGlobalAveragePool", x, channels_last=0), faults)


def test_a_power_of_two_is_no_wrong_divisor() -> None:
    """A shift divides by 16 elements rightly: twice as much is no fault that anybody makes."""
    x = np.full((1, 1, 4, 4), 60, np.int8)
    case = pooled("QLinearGlobalAveragePool", x, channels_last=0)
    halved = clipped(round(81 * ratio(0.05, 0.02) / 2) + 6)
    (account,) = explain(qdqnp.load(case.model), case.inputs, "y", (0, 0, 0, 0), [PROFILES["exact"]], halved).accounts
    assert account.code == 127 != halved
    assert "wrong divisor" not in {cause.kind for cause in account.causes}


@pytest.mark.parametrize("include", [0, 1])
def test_of_an_average_with_padding(include: int, rng: np.random.Generator) -> None:
    x = (rng.integers(-50, 50, (1, 3, 6, 6)) + np.array([-70, 0, 60]).reshape(3, 1, 1)).clip(-128, 127).astype(np.int8)
    attributes = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": include, "channels_last": 0}

    def faults(index: Index) -> Faults:
        _, channel, row, column = index
        window = x[0, channel, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].astype(int)
        total, inside, unit = int(window.sum()), window.size, ratio(0.05, 0.02)
        count = 9 if include else inside
        centered = total + 21 * inside
        made = {INPUT_ZERO: total * unit / count}
        if inside < 9:
            other = "only the image's elements count" if include else "the padding counts"
            made["wrong divisor", other] = centered * unit / (inside if include else 9)
            pad = ("padding with 0", "the zero point is -21")
            made[pad] = (centered + 21 * (9 - inside)) * unit / 9
        return faults_of(centered * unit / count, 6, made)

    check(pooled("QLinearAveragePool", x, **attributes), faults)


@pytest.mark.parametrize(("include", "divisor"), [(0, 4), (1, 9)])
def test_the_exact_mean_of_a_window_in_the_corner(include: int, divisor: int) -> None:
    """Four of nine elements are in the image; whether the others count in the divisor is the operator's to say."""
    x = np.arange(36, dtype=np.int8).reshape(1, 1, 6, 6)
    attributes = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": include, "channels_last": 0}
    case = pooled("QLinearAveragePool", x, **attributes)
    found = explain(qdqnp.load(case.model), case.inputs, "y", (0, 0, 0, 0), [PROFILES["exact"]])
    assert [code for _, code, _ in found.operands] == [0, 1, 6, 7]
    assert found.real == (0 + 1 + 6 + 7 + 4 * 21) * ratio(0.05, 0.02) / divisor + 6


def test_the_largest_products_are_shown_whatever_their_sign(rng: np.random.Generator) -> None:
    case = conv(rng, [0, 0, 0], 0.15)
    found = explain(qdqnp.load(case.model), case.inputs, "y", (0, 1, 0, 2), [PROFILES["exact"]])
    products = [0 if x is None else (x - CONV_ZERO) * (w - 9) for x, w in taps(case, (0, 1, 0, 2))]
    assert (found.term_count, found.padded, found.total) == (18, 6, sum(products))
    assert [abs(term.product) for term in found.terms] == sorted(map(abs, products), reverse=True)[:8]


# -- Neural-ART --------------------------------------------------------------------------------------------------------
def test_a_first_narrowing_that_wraps() -> None:
    """Weights 1 and -1 cancel, so S1 = 0 and the 16 bits between the two stages hold no more than 2^15 of the sum."""
    w = np.array([127, -127] * 4, np.int8).reshape(1, 8, 1, 1)
    x = np.where(w > 0, 127, -128).astype(np.int8)
    named = {"xs": 0.5, "xz": 0, "w": 0, "ws": 0.25, "wz": 0, "ys": 64.0, "yz": 3}
    arguments: list[tuple[str, Any]] = [("x", x)]
    for name, value in named.items():
        arguments.append((name, w if name == "w" else np.float32(value) if name[1] == "s" else np.int8(value)))
    case = one_node("QLinearConv", arguments)
    total = 4 * 127 * 127 + 4 * 128 * 127
    assert total > 2**15
    m = Fraction(1, 512)
    narrowed = {"right": min(total, 2**15 - 1), "wraps": wrapped(total, 16)}
    codes = {key: (value * m + Fraction(1, 2)).__floor__() + 3 for key, value in narrowed.items()}
    model, profile = qdqnp.load(case.model), PROFILES["neural-art-1.1.3"]
    (account,) = explain(model, case.inputs, "y", (0, 0, 0, 0), [profile], codes["wraps"]).accounts
    assert account.code == codes["right"] == 67 and codes["wraps"] == 0
    assert "the first narrowing wraps at 16 bits" in {cause.text for cause in account.causes}
