"""Add, Mul, rescale of codes, means, averages and tables of the devices' profiles, on all codes or pairs of codes,
against tests.oracles.device_operators."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from qdqnp.errors import ProfileError
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.profiles.tflite import FLOAT32_PRODUCT
from qdqnp.numerics.rules.lookup import IdentityFunction, LeakyReluFunction, SigmoidFunction
from qdqnp.numerics.rules.requantize.float_round import FloatRound
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.quant import Quant
from tests.numerics.profiles.test_operators import CODES, drawn, grid, quant
from tests.oracles.device_operators import EspDl, EthosU, Ruy, Tosa, Xnnpack
from tests.oracles.fixed_point import Operators, Q, by_definition, limited

TFLITE = Operators("tflite")
DEVICES: dict[str, Any] = {
    "tosa-single": Tosa(double=False),
    "tosa-double": Tosa(double=True),
    "ethos-u": EthosU(),
    "tflite-ruy": Ruy(),
    "xnnpack-fp32": Xnnpack(),
    "pow2": EspDl("half-up"),
    "pow2-floor": EspDl("floor"),
    "pow2-even": EspDl("half-even"),
}
COUNTS = (1, 2, 3, 4, 5, 7, 8, 9, 14, 16, 25, 28, 49, 64, 100, 1023)


def with_(operator: str) -> list[str]:
    return [name for name, device in DEVICES.items() if hasattr(device, operator)]


def some(rng: np.random.Generator, name: str, grown: float = 1.0) -> Q:
    """A scale and a zero point; grown: how much larger than usual the scale is."""
    scale, zero = drawn(rng)
    if name.startswith("pow2"):
        return float(2.0 ** rng.integers(-7, -3) * grown), zero
    return float(np.float32(scale * grown)), zero


@pytest.mark.parametrize("name", with_("add"))
def test_add_on_all_pairs(name: str, rng: np.random.Generator) -> None:
    for index in range(6):
        a, b = some(rng, name), some(rng, name)
        # equal scales, and a sum of the size of codes
        b = (a[0] * (1 if index % 2 or name.startswith("pow2") else 2), b[1])
        y = (a[0] if name.startswith("pow2") else float(np.float32(2 * max(a[0], b[0]))), some(rng, name)[1])
        got = PROFILES[name].add.bind(quant(a), quant(b), quant(y))(CODES[:, None], CODES[None, :])
        np.testing.assert_array_equal(got, grid(DEVICES[name].add(a, b, y)))
        if not name.startswith("pow2"):
            a, b, y = some(rng, name), some(rng, name), some(rng, name, 4)
            got = PROFILES[name].add.bind(quant(a), quant(b), quant(y))(CODES[:, None], CODES[None, :])
            np.testing.assert_array_equal(got, grid(DEVICES[name].add(a, b, y)))


def exact_sum(tie: str, a: Q, b: Q, y: Q, sign: int) -> Callable[[int, int], int]:
    """One rounding of the exact sum or difference of two codes' real values."""
    left, right = (Fraction(q[0]) / Fraction(y[0]) for q in (a, b))
    return lambda p, q: limited(by_definition(tie, left * (p - a[1]) + sign * right * (q - b[1])) + y[1], 8)


@pytest.mark.parametrize(("name", "tie"), [("pow2", "half-up"), ("pow2-floor", "floor"), ("pow2-even", "half-even")])
def test_add_of_scales_that_are_powers_of_two_apart(name: str, tie: str, rng: np.random.Generator) -> None:
    rule = PROFILES[name].add
    for _ in range(2):
        a, b, y = some(rng, name), some(rng, name), some(rng, name, 2)
        for sign, bound in ((1, rule.bind), (-1, rule.bind_difference)):
            got = bound(quant(a), quant(b), quant(y))(CODES[:, None], CODES[None, :])
            np.testing.assert_array_equal(got, grid(exact_sum(tie, a, b, y, sign)))


@pytest.mark.parametrize("name", with_("mul"))
def test_mul_on_all_pairs(name: str, rng: np.random.Generator) -> None:
    for _ in range(4):
        a, b, y = some(rng, name), some(rng, name), some(rng, name, 16)
        got = PROFILES[name].mul.bind(quant(a), quant(b), quant(y))(CODES[:, None], CODES[None, :])
        np.testing.assert_array_equal(got, grid(DEVICES[name].mul(a, b, y)))


@pytest.mark.parametrize("name", with_("rescale"))
def test_rescale_of_codes(name: str, rng: np.random.Generator) -> None:
    for _ in range(100):
        x, y = some(rng, name), some(rng, name, 8 if name.startswith("pow2") else 1)
        got = PROFILES[name].concat.bind(quant(x), quant(y), IdentityFunction())(CODES)
        np.testing.assert_array_equal(got, [DEVICES[name].rescale(x, y)(p) for p in range(-128, 128)])


@pytest.mark.parametrize("name", with_("mean"))
def test_mean(name: str, rng: np.random.Generator) -> None:
    for count in COUNTS:
        x, y = some(rng, name), some(rng, name)
        low, high = count * (-128 - x[1]), count * (127 - x[1])
        sums = np.unique(np.concatenate([np.linspace(low, high, 600).astype(np.int64), [low, high, 0, 1, -1]]))
        for to in (x, y, (x[0], y[1])):
            wanted = [DEVICES[name].mean(x, to, count)(int(s)) for s in sums]
            got = PROFILES[name].global_average_pool.bind(quant(x), quant(to), count)(sums)
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", with_("average"))
@pytest.mark.parametrize("same", [True, False])
def test_average(name: str, same: bool, rng: np.random.Generator) -> None:
    """Windows of nine taps of which some lie in the padding: the divisor is the number inside."""
    for _ in range(10):
        x = some(rng, name)
        y = x if same else some(rng, name)
        taps = rng.integers(-128, 128, (9, 200)).astype(np.int8)
        taps[:, :20] = np.where(rng.random((9, 20)) < 0.5, -1, 0)  # sums near zero, of both signs
        inside = rng.random((9, 200)) < 0.7
        inside[0] = True
        got = PROFILES[name].average_pool.bind(quant(x), quant(y))(taps, inside, inside.sum(axis=0))
        wanted = [DEVICES[name].average(x, y, taps[inside[:, i], i].tolist()) for i in range(200)]
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", with_("average"))
def test_every_sum_of_some_windows(name: str) -> None:
    """Equal scales: every sum that windows of 1 to 12 taps of small codes can have, so every tie."""
    for count in range(1, 13):
        q = (0.125, 0)
        totals = np.arange(-5 * count, 5 * count + 1)
        taps = np.array([[t // count + (i < t % count) for t in totals] for i in range(count)], np.int8)
        inside = np.ones_like(taps, bool)
        got = PROFILES[name].average_pool.bind(quant(q), quant(q))(taps, inside, inside.sum(axis=0))
        wanted = [DEVICES[name].average(q, q, taps[:, i].tolist()) for i in range(totals.size)]
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", with_("sigmoid"))
def test_sigmoid(name: str, rng: np.random.Generator) -> None:
    for scale in (0.01, 0.05, 0.0625, 0.1):
        x, y = (float(np.float32(scale)), some(rng, name)[1]), (float(rng.choice([1 / 256, 1 / 4096, 0.01])), -128)
        got = PROFILES[name].lookup.bind(quant(x), quant(y), SigmoidFunction())(CODES)
        np.testing.assert_array_equal(got, [DEVICES[name].sigmoid(x, quant_of(y))(p) for p in range(-128, 128)])


def quant_of(q: Q) -> Q:
    """The scale as float32 has it."""
    return float(np.float32(q[0])), q[1]


def test_leaky_relu_of_ethos_u(rng: np.random.Generator) -> None:
    for alpha in (0.0, 0.1, 0.25, 0.3):
        x, y, narrow = some(rng, "ethos-u"), some(rng, "ethos-u"), float(np.float32(alpha))
        got = PROFILES["ethos-u"].lookup.bind(quant(x), quant(y), LeakyReluFunction(narrow))(CODES)
        np.testing.assert_array_equal(got, [EthosU().leaky(x, y, narrow)(p) for p in range(-128, 128)])
    with pytest.raises(ProfileError, match="alpha: expected 0 or more"):
        PROFILES["ethos-u"].lookup.bind(quant(x), quant(y), LeakyReluFunction(-0.1))


def test_tables_of_powers_of_two_round_by_the_profile_s_rule() -> None:
    """A LeakyRelu of 0.5 from scale 1 to 1 makes a half of every odd code below the zero point."""
    one, half = quant((1.0, 0)), LeakyReluFunction(0.5)
    odd = np.arange(-7, 0, 2).astype(np.int8)
    wanted = {"pow2": [-3, -2, -1, 0], "pow2-floor": [-4, -3, -2, -1], "pow2-even": [-4, -2, -2, 0]}
    for name, codes in wanted.items():
        assert PROFILES[name].lookup.bind(one, one, half)(odd).tolist() == codes
    assert PROFILES["tosa-single"].lookup.bind(one, one, half)(odd).tolist() == [-4, -3, -2, -1]


@pytest.mark.parametrize("operator", ["add", "mul", "average"])
def test_where_the_optimized_kernels_are_as_the_reference_ones(operator: str, rng: np.random.Generator) -> None:
    ruy = PROFILES["tflite-ruy"]
    a, b, y = drawn(rng), drawn(rng), drawn(rng)
    if operator == "average":
        taps, inside = rng.integers(-128, 128, (9, 200)).astype(np.int8), np.ones((9, 200), bool)
        got = ruy.average_pool.bind(quant(a), quant(a))(taps, inside, inside.sum(axis=0))
        assert got.tolist() == [TFLITE.average(a, a, taps[:, i].tolist()) for i in range(200)]
    else:
        y = (float(np.float32(y[0] * 16)), y[1])
        bound = getattr(ruy, operator).bind(quant(a), quant(b), quant(y))
        np.testing.assert_array_equal(bound(CODES[:, None], CODES), grid(getattr(TFLITE, operator)(a, b, y)))


def test_xnnpack_leaves_asymmetric_products_to_litert() -> None:
    rule, one = PROFILES["xnnpack-fp32"].matmul, quant((0.3, 5))
    sums = np.arange(-3000, 3000)[:, None]
    for zero, other in ((0, FloatRound("float32", "float32", "half-even")), (1, FLOAT32_PRODUCT)):
        layer = SumContext(one, quant((0.25, zero)), quant((3.0, -7)))
        assert rule.bind(layer)(sums).tolist() == other.bind(layer)(sums).tolist()


@pytest.mark.parametrize(
    ("name", "field", "quants"),
    [
        ("xnnpack-fp32", "add", (2.0**-11, 1.0, 1.0)),
        ("xnnpack-fp32", "add", (256.0, 1.0, 1.0)),
        ("xnnpack-fp32", "concat", (2.0**-9, 1.0)),
        ("xnnpack-fp32", "concat", (256.0, 1.0)),
        ("ethos-u", "concat", (2.0**-31, 1.0)),
        ("pow2", "add", (1.0, 0.3, 1.0)),
        ("pow2", "mul", (1.0, 0.3, 1.0)),
        ("pow2", "concat", (0.3, 1.0)),
    ],
)
def test_outside_its_domain_a_rule_refuses(name: str, field: str, quants: tuple[float, ...]) -> None:
    made: list[Quant] = [quant((scale, 0)) for scale in quants]
    arguments = [*made, IdentityFunction()] if field == "concat" else made
    with pytest.raises(ProfileError):
        getattr(PROFILES[name], field).bind(*arguments)


def test_a_multiplier_of_two_to_31_stays_one_in_vela() -> None:
    """M = 1 - 2^-33: TFLite halves the multiplier, Vela does not; the constant of the double rounding weighs half."""
    rule = PROFILES["ethos-u"].conv
    assert rule.scheme(np.asarray(1 - 2.0**-33)).as_parameters() == {"multiplier": 2**31, "shift": 31}  # type: ignore[attr-defined]
