"""Every requantization row equals tests.oracles.fixed_point: plain Python integers and fractions of the formulas."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from qdqnp.errors import ProfileError
from qdqnp.numerics.multiplier import Fixed, Mantissa24, PowerOfTwo, QuantizeMultiplier, Reduced16, Truncated16
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.quant import Quant
from tests.numerics.profiles.cases import draw, expected, scales
from tests.oracles import fixed_point as oracle

CASES = 4000


def rule(name: str) -> Rescale:
    found = PROFILES[name].conv
    assert isinstance(found, Rescale)
    return found


def fixed(m: Any, shift: Any) -> Fixed:
    return Fixed(np.asarray(m, np.int64), np.asarray(shift, np.int64))


def apply(name: str, acc: Any, m: Any, shift: Any) -> Any:
    return rule(name).apply(np.atleast_1d(np.asarray(acc, np.int64)), fixed(m, shift))


def quant(scale: Any, zero: int = 0, axis: int | None = None) -> Quant:
    return Quant(np.dtype(np.int8), np.asarray(scale, np.float32), np.asarray(zero, np.int8), axis)


# -- rounding --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ROUNDINGS)
def test_rounding_is_its_definition_on_every_12_bit_value(name: str) -> None:
    values = np.arange(-(2**11), 2**11)
    wanted = np.array(
        [[oracle.by_definition(name, Fraction(int(v), 1 << s)) for v in values] for s in range(13)], np.int64
    )
    for shift in range(13):
        np.testing.assert_array_equal(ROUNDINGS[name](values, shift), wanted[shift])
    np.testing.assert_array_equal(ROUNDINGS[name](values, np.arange(13)[:, None]), wanted)


@pytest.mark.parametrize("name", ROUNDINGS)
def test_the_oracle_s_own_shifts_are_the_definition(name: str) -> None:
    for shift in range(13):
        for value in range(-300, 300):
            assert oracle.ROUNDING[name](value, shift) == oracle.by_definition(name, Fraction(value, 1 << shift))


@pytest.mark.parametrize("name", ROUNDINGS)
def test_rounding_at_the_largest_products(name: str) -> None:
    values = [sign * (2**62 - offset) for sign in (1, -1) for offset in (0, 1, 2**30, 2**61 - 1)]
    for shift in (0, 1, 31, 61, 62):
        got = ROUNDINGS[name](np.array(values), shift).tolist()
        assert got == [oracle.by_definition(name, Fraction(value, 1 << shift)) for value in values]


# -- corner vectors --------------------------------------------------------------------------------------------------
COLUMNS = {
    "double": ("tflite", "tflm", "tflm-2026-08", "cmsis-nn"),
    "ruy": ("tflite-ruy",),
    "single": ("tflite-single", "cmsis-nn-single", "tosa-single", "ethos-u-natural"),
    "away": ("nvdla",),  # its stage; 17 bits are enough for these results
    "trunc": ("ethos-u-truncate",),
}
# The tables' rows that have s <= 0 hold for TOSA's double rounding as well.
TOSA_DOUBLE = ("tosa-double", "ethos-u")
VECTORS: list[tuple[int, int, int, dict[str, int | None]]] = [
    (1, 2**30, -1, {"double": 1, "ruy": 1, "single": 0, "away": 0, "trunc": 0, "floor": 0}),
    (-1, 2**30, -1, {"double": 0, "ruy": 0, "single": 0, "away": 0, "trunc": 0, "floor": -1}),
    (-2, 2**30, -1, {"double": -1, "ruy": 0, "single": 0, "away": -1, "trunc": 0, "floor": -1}),
    (2, 2**30, -1, {"double": 1, "ruy": 1, "single": 1, "away": 1, "trunc": 0, "floor": 0}),
    (-3, 2**30, -1, {"double": -1, "ruy": 0, "single": -1, "away": -1, "trunc": 0, "floor": -1}),
    (-1, 2**30, 0, {"double": 0, "ruy": 0, "single": 0, "away": -1, "trunc": 0, "floor": -1}),
    (-6, 2**30, -1, {"double": -2, "ruy": -1, "single": -1, "away": -2, "trunc": -1, "floor": -2}),
    (-5, 2**30, -2, {"double": -1, "ruy": 0, "single": -1, "away": -1, "trunc": 0, "floor": -1}),
    (2**30, 2**30, 2, {"double": 0, "ruy": 0, "single": None, "trunc": None}),
    (2**29, 2**30, 2, {"double": -(2**30), "ruy": -(2**30), "single": 2**30, "trunc": 2**30}),
    (-(2**31), 2**31 - 1, -31, {"double": -1, "ruy": -1, "single": -1, "away": -1, "trunc": 0, "floor": -1}),
]


def _expected() -> list[Any]:
    found = []
    for acc, m, s, columns in VECTORS:
        for column, value in columns.items():
            for name in COLUMNS.get(column, ()):
                # 2^29 with 2^30 and s = 2: outside TOSA's domain (acc < 2^(shift - 1)), which reports
                outside = name == "tosa-single" and acc >= 2 ** (30 - s)
                found.append((name, acc, m, 31 - s, None if outside else value))
        if s <= 0:
            found += [(name, acc, m, 31 - s, columns["double"]) for name in TOSA_DOUBLE]
            found.append(("ethos-u85-dasym", acc, m, 31 - s, columns["ruy"]))
    return found


@pytest.mark.parametrize(("name", "acc", "m", "shift", "wanted"), _expected())
def test_corner_vectors(name: str, acc: int, m: int, shift: int, wanted: int | None) -> None:
    if wanted is None:
        with pytest.raises(oracle.OutsideDomainError):
            oracle.ROWS[name].requantize(acc, m, shift)
        with pytest.raises(ProfileError):
            apply(name, acc, m, shift)
    else:
        assert oracle.ROWS[name].requantize(acc, m, shift) == wanted
        assert apply(name, acc, m, shift).tolist() == [wanted]


@pytest.mark.parametrize(("acc", "m", "s", "columns"), VECTORS)
def test_corner_vectors_of_the_roundings(acc: int, m: int, s: int, columns: dict[str, int | None]) -> None:
    """The columns single, away, trunc and floor are one rounding of the product, whatever the profile."""
    for column, name in {"single": "half-up", "away": "half-away", "trunc": "truncate", "floor": "floor"}.items():
        if columns.get(column) is not None:
            assert int(ROUNDINGS[name](np.array([acc * m]), 31 - s)[0]) == columns[column]


# -- random cases ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", oracle.ROWS)
def test_stages(name: str, rng: np.random.Generator) -> None:
    acc, m, shift = draw(rng, name, CASES)
    wanted, defined = expected(name, acc, m, shift)
    assert defined.sum() > CASES / 2
    got = apply(name, acc[defined], m[defined], shift[defined])
    np.testing.assert_array_equal(got, wanted[defined])


@pytest.mark.parametrize("name", oracle.ROWS)
def test_outside_int32_is_reported(name: str, rng: np.random.Generator) -> None:
    acc, m, shift = draw(rng, name, CASES)
    _, defined = expected(name, acc, m, shift)
    for at in np.flatnonzero(~defined)[:50]:
        with pytest.raises(ProfileError):
            apply(name, acc[at], m[at], shift[at])


@pytest.mark.parametrize("name", oracle.NAMES)
def test_whole_rule_from_scales(name: str, rng: np.random.Generator) -> None:
    """bind() with per-channel weights, bias and zero points, sums of the size of codes, ties and int32's ends."""
    for _ in range(60):
        x, w, y = scales(rng, name)
        channels = (w * np.array([1, 0.5, 0.25, 0.0625])).astype(np.float32)
        zero = int(rng.choice([-128, 127, 0, rng.integers(-128, 128)]))
        bias = rng.integers(-1000, 1000, 4).astype(np.int32)
        bound = PROFILES[name].conv.bind(SumContext(quant(x), quant(channels, axis=0), quant(y, zero), bias))
        unit = float(y) / (float(x) * float(w))
        sums = np.rint(rng.uniform(-300, 300, (40, 4)) * unit).astype(np.int64)
        sums[:2] = [[2**31 - 1001], [1001 - 2**31]]
        sums[2] = np.rint((2 * rng.integers(-128, 128, 4) + 1) * unit / 2).astype(np.int64)
        got = bound(sums)
        wanted = [
            [
                oracle.requantize(name, int(s + b), (float(x), float(c), float(y)), zero)
                for s, b, c in zip(row, bias, channels, strict=True)
            ]
            for row in sums
        ]
        np.testing.assert_array_equal(got, wanted)


def test_float64_product_just_below_a_half() -> None:
    """round() of C gives 0 for the largest float64 below 0.5, where adding 0.5 and truncating gives 1."""
    real = np.nextafter(0.5, 0)
    bound = PROFILES["tflite-fc-float"].conv.bind(SumContext(quant(1), quant(1), quant(1)))
    rule_at = type(bound)(bound.rule, np.asarray(real), None, bound.y)  # type: ignore[attr-defined, call-arg]
    assert rule_at(np.array([1, -1])).tolist() == [oracle.float64_round(1, real)] * 2 == [0, 0]


# -- identities ------------------------------------------------------------------------------------------------------
DOUBLES = ("tflite", "tflm", "tflm-2026-08", "cmsis-nn", "tosa-double", "ethos-u")
SINGLES = ("tflite-single", "cmsis-nn-single", "tosa-single", "ethos-u-natural")


@pytest.mark.parametrize(
    ("names", "source", "shifts"),
    [
        (DOUBLES, "tosa-double", (31, 62)),
        (("tflite-ruy", "ethos-u85-dasym"), "ethos-u85-dasym", (31, 62)),
        (SINGLES, "tosa-single", (2, 62)),
    ],
)
def test_identities(names: tuple[str, ...], source: str, shifts: tuple[int, int], rng: np.random.Generator) -> None:
    acc, m, shift = draw(rng, source, 50_000)
    _, defined = expected(source, acc, m, shift)
    inside = defined & (shift >= shifts[0]) & (shift <= shifts[1])
    assert inside.sum() > 20_000
    found = [apply(name, acc[inside], m[inside], shift[inside]) for name in names]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_rows_that_differ_do_differ(rng: np.random.Generator) -> None:
    acc, m, shift = draw(rng, "tosa-double", 50_000)
    inside = (shift > 31) & expected("tosa-double", acc, m, shift)[1]
    distinct = ("tflite", "tflite-ruy", "tflite-single", "ethos-u-truncate")
    found = [apply(name, acc[inside], m[inside], shift[inside]) for name in distinct]
    for i, one in enumerate(found):
        assert all((one != other).any() for other in found[i + 1 :])


# -- domains ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", oracle.ROWS)
def test_shifts_at_the_edge_of_the_domain(name: str) -> None:
    row, low_high = oracle.ROWS[name], oracle.ROWS[name].shifts
    if name in ("xnnpack-rndnu", "tflite-single", "cmsis-nn-single", "tflite-16x8"):
        pytest.skip("the scheme itself refuses, clamps or flushes at these edges: test_schemes")
    for shift, outside in zip(low_high, (low_high[0] - 1, low_high[1] + 1), strict=True):
        real = 0.75 if not name.startswith("pow2") else 1.0
        bits = {"nvdla": 15}.get(name, 31)
        power = 0 if name.startswith("pow2") else bits
        inside = rule(name).fix(np.asarray(real * 2.0 ** (power - shift)))
        assert (int(inside.value), int(inside.shift)) == row.scheme(real * 2.0 ** (power - shift))
        assert int(inside.shift) == shift
        beyond = real * 2.0 ** (power - outside)
        if outside > 62 and row.scheme is oracle.quantize_multiplier:
            assert int(rule(name).fix(np.asarray(beyond)).value) == 0  # s < -31 flushes
        elif not (name in ("tflite", "tflm", "tflm-2026-08", "tflite-ruy", "cmsis-nn") and outside < 1):
            with pytest.raises(ProfileError):
                rule(name).fix(np.asarray(beyond))


@pytest.mark.parametrize("name", ["tflite-single", "tosa-double", "ethos-u-natural", "ethos-u-truncate", "pow2"])
def test_results_at_the_edge_of_int32(name: str) -> None:
    m, shift = (1, 0) if name == "pow2" else (2**30, 30)
    for acc in oracle.INT32:
        assert apply(name, acc, m, shift).tolist() == [acc]
    if name != "pow2":
        for acc in (2**30, -(2**30) - 1):
            with pytest.raises(ProfileError):
                apply(name, acc, m, shift - 1)


def test_tosa_single_takes_accumulators_below_half_of_the_shift() -> None:
    for shift in (2, 20, 31):
        edge = 1 << (shift - 1)
        inside = [-edge, edge - 1]
        got = apply("tosa-single", inside, 2**30, shift).tolist()
        assert got == [oracle.tosa_single(acc, 2**30, shift) for acc in inside]
        for acc in (-edge - 1, edge):
            with pytest.raises(ProfileError):
                apply("tosa-single", acc, 2**30, shift)


# -- multipliers -----------------------------------------------------------------------------------------------------
SCHEMES = {
    "quantize": (QuantizeMultiplier(), oracle.quantize_multiplier),
    "single": (QuantizeMultiplier(single=True), lambda real: oracle.quantize_multiplier(real, single=True)),
    "reduced16": (Reduced16(), oracle.reduced16),
    "truncated16": (Truncated16(), oracle.truncated16),
}
REALS = [
    0.0,
    1.0,
    0.5,
    0.25,
    1 - 2.0**-53,
    1 - 2.0**-32,
    1 - 2.0**-31,
    1 - 2.0**-33,
    0x7FFEFFFF * 2.0**-31,
    0x7FFF0000 * 2.0**-31,
    0x7FFF7FFF * 2.0**-31,
    0x7FFEFFFF5 * 2.0**-35,
    2.0**-31,
    2.0**-32,
    2.0**-33,
    0.75 * 2.0**-31,
    (1 - 2.0**-40) * 2.0**-32,
    2.0**29,
    2.0**30,
    1.5 * 2.0**29,
    (2 - 2.0**-40) * 2.0**29,
    2.0**31,
    0.3,
    0.1,
    1.7,
]


@pytest.mark.parametrize("name", SCHEMES)
def test_schemes(name: str, rng: np.random.Generator) -> None:
    ours, wanted = SCHEMES[name]
    halves = (rng.integers(2**30, 2**31, 500) + 0.5) * 2.0**-31  # exact halves of a step
    reals = np.concatenate([REALS, halves, rng.uniform(0.5, 1, 2000) * 2.0 ** rng.integers(-35, 33, 2000)])
    got = ours(reals)
    pairs = list(zip(got.value.tolist(), got.shift.tolist(), strict=True))
    assert pairs == [wanted(float(real)) for real in reals]


def test_scheme_corners() -> None:
    def one(scheme: Any, real: float) -> tuple[int, int]:
        found = scheme(np.asarray(real))
        return int(found.value), int(found.shift)

    assert one(QuantizeMultiplier(), 1 - 2.0**-40) == (2**30, 30)  # carries to 2^31, so halved
    assert one(QuantizeMultiplier(), 2.0**-33) == (0, 31)
    assert one(QuantizeMultiplier(), 2.0**-32) == (2**30, 62)
    assert one(QuantizeMultiplier(single=True), 2.0**30) == (2**31 - 1, 1)
    assert one(QuantizeMultiplier(), 2.0**30) == (2**30, 0)
    assert one(Reduced16(), 0x7FFEFFFF * 2.0**-31) == (0x7FFF, 15)
    assert one(Reduced16(), 0x7FFE7FFF * 2.0**-31) == (0x7FFE, 15)
    assert one(Reduced16(), 0x7FFF8000 * 2.0**-31) == (0x7FFF, 15)


def test_mantissa24(rng: np.random.Generator) -> None:
    reals = np.concatenate([rng.uniform(2.0**-32, 1 - 2.0**-24, 2000), [2.0**-32, 1 - 2.0**-24]])
    got = Mantissa24()(reals)
    assert list(zip(got.value.tolist(), got.shift.tolist(), strict=True)) == [oracle.mantissa24(r) for r in reals]
    for outside in (1.0, 2.0**-32 * (1 - 2.0**-24), 0.0):
        with pytest.raises(ProfileError):
            Mantissa24()(np.asarray(outside))


def test_power_of_two() -> None:
    reals = 2.0 ** np.arange(-40, 5)
    got = PowerOfTwo()(reals)
    assert list(zip(got.value.tolist(), got.shift.tolist(), strict=True)) == [oracle.power_of_two(r) for r in reals]
    for outside in (0.75, 0.0, 1 + 2.0**-52):
        with pytest.raises(ProfileError):
            PowerOfTwo()(np.asarray([0.5, outside]))
