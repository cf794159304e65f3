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
SIGN = ("signedness", "the sign bit is inverted: uint8 read as int8 or the reverse")
OUTPUT_ZERO = ("wrong zero point", "the output's zero point is not added")
WRAPS = ("saturation", "the result wraps instead of saturating")
INPUT_ZERO = ("wrong zero point", "the input's zero point is not subtracted")
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


def taps(case: Case, index: Index) -> Iterator[tuple[int | None, int]]:
    """The codes (x, w) of each product; x is None in the padding."""
    _, channel, row, column = index
    x, w = case.inputs["x"][0], constants(case)["w"][channel]
    for inner, i, j in np.ndindex(2, 3, 3):
        at = (row + i - 1, column + j - 1)
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

        def real(acc: int, scale: int = channel) -> Fraction:
            return acc * ratio(0.05, SCALES[scale], y_scale)

        right = total() + bias[channel]
        made = {
            ("missing bias", "the bias is not added"): real(total()),
            INPUT_ZERO: real(total(z_x=0) + bias[channel]),
            ("wrong zero point", "the weights' zero point is not subtracted"): real(total(z_w=0) + bias[channel]),
        }
        if any(x is None for x, _ in pairs):
            for pad in (0, -128):
                text = f"padding holds code {pad} instead of the zero point"
                made["wrong pad value", text] = real(total(pad=pad) + bias[channel])
        for other in {channel - 1, channel + 1} & {0, 1, 2}:
            made["neighbour's bias", f"the bias of channel {other}"] = real(total() + bias[other])
        for other in ({channel - 1, channel + 1} & {0, 1, 2}) | {0}:
            made["neighbour's scale", f"the weight scale of channel {other}"] = real(right, other)
        for bits in (16, 24):
            half = 2 ** (bits - 1)
            text = f"a {bits}-bit accumulator that"
            made["accumulator wrap", f"{text} wraps"] = real(wrapped(right, bits))
            made["accumulator wrap", f"{text} saturates"] = real(max(-half, min(half - 1, right)))
        return faults_of(real(right), CONV_Y_ZERO, made)

    return faults


WIDE = frozenset(("accumulator wrap", f"a 24-bit accumulator that {way}") for way in ("wraps", "saturates"))


def test_of_a_conv(rng: np.random.Generator) -> None:
    """Sums around 16 bits, codes of which some saturate."""
    case = conv(rng, [20_000, -25_000, 9_000], 0.15)
    check(case, conv_faults(case, 0.15), WIDE)


def test_of_a_conv_whose_sums_pass_24_bits(rng: np.random.Generator) -> None:
    """With this scale the third channel's codes are near 110, one unit of them is 82,000 of the sum."""
    case = conv(rng, [2**23 - 9_000, -(2**23) - 150_000, 2**23 + 100_000], 45.0)
    faults = conv_faults(case, 45.0)

    def only_wide(index: Index) -> Faults:
        found = faults(index)
        return Faults(found.right, {key: code for key, code in found.codes.items() if key in WIDE})

    check(case, only_wide)


# -- Add ---------------------------------------------------------------------------------------------------------------
def test_of_an_add(rng: np.random.Generator) -> None:
    (s_a, z_a), (s_b, z_b), (s_y, z_y) = (0.03, 25), (0.02, -14), (0.028, 9)
    a, b = (rng.integers(-128, 128, (1, 1, 8, 8)).astype(np.int8) for _ in range(2))
    quants = [(np.float32(s), np.int8(z)) for s, z in ((s_a, z_a), (s_b, z_b), (s_y, z_y))]
    arguments = [("x", a), ("as", quants[0][0]), ("az", quants[0][1])]
    arguments += [("b", b), ("bs", quants[1][0]), ("bz", quants[1][1]), ("ys", quants[2][0]), ("yz", quants[2][1])]
    case = one_node("QLinearAdd", arguments, ("x", "b"), domain=MS)

    def faults(index: Index) -> Faults:
        p, q = int(a[index]), int(b[index])

        def real(first: tuple[float, int] = (s_a, z_a), second: tuple[float, int] = (s_b, z_b)) -> Fraction:
            return (p - first[1]) * ratio(first[0], s_y) + (q - second[1]) * ratio(second[0], s_y)

        scales = "neighbour's scale"
        return faults_of(
            real(),
            z_y,
            {
                (scales, "the operands' scales are exchanged"): real((s_b, z_a), (s_a, z_b)),
                (scales, "the operands' scales and zero points are exchanged"): real((s_b, z_b), (s_a, z_a)),
                (scales, "the first operand's scale and zero point for both"): real((s_a, z_a), (s_a, z_a)),
                (scales, "the second operand's scale and zero point for both"): real((s_b, z_b), (s_b, z_b)),
                ("wrong zero point", "the first operand's is not subtracted"): real(first=(s_a, 0)),
                ("wrong zero point", "the second operand's is not subtracted"): real(second=(s_b, 0)),
                ("missing operand", "the first counts as 0"): (q - z_b) * ratio(s_b, s_y),
                ("missing operand", "the second counts as 0"): (p - z_a) * ratio(s_a, s_y),
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
        found.codes["missing rescale", "the input's code is copied"] = code
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
            made["wrong divisor", f"{other} in the divisor"] = centered * unit / (inside if include else 9)
            pad = ("wrong pad value", "padding counts as elements of code 0")
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
