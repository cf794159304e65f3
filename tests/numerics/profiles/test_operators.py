"""Add, Mul, rescale of codes, averages and means of the complete rows, and Neural-ART's layers, on all pairs of codes
or all sums, against tests.oracles.fixed_point."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.errors import ProfileError
from qdqnp.numerics.profile import rule_names
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rules.add import AlignedAdd
from qdqnp.numerics.rules.average import DividedAverage, MeanAverage
from qdqnp.numerics.rules.lookup import IdentityFunction
from qdqnp.numerics.rules.mean import DividedMean, RescaleMean
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine
from qdqnp.numerics.rules.requantize.narrow_thrice import NarrowThrice
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.quant import Quant
from tests.oracles import fixed_point as oracle

ROWS = ("tflite", "tflm", "tflite-single", "cmsis-nn", "cmsis-nn-single")
COMPLETE = {name: oracle.Operators(name) for name in ROWS} | {"exact": oracle.ExactOperators()}
CODES = np.arange(-128, 128).astype(np.int8)
ART = PROFILES["neural-art-1.1.3"]


def quant(q: oracle.Q) -> Quant:
    return Quant(np.dtype(np.int8), np.asarray(q[0], np.float32), np.asarray(q[1], np.int8))


def drawn(rng: np.random.Generator) -> oracle.Q:
    """A float32 scale, a power of two one time in three, and a zero point, at an end one time in three."""
    scale = 2.0 ** rng.integers(-7, 0) if rng.random() < 1 / 3 else rng.uniform(0.005, 0.5)
    zero = rng.choice([-128, 127]) if rng.random() < 1 / 3 else rng.integers(-128, 128)
    return float(np.float32(scale)), int(zero)


def grid(function: Any) -> list[list[int]]:
    return [[function(p, q) for q in range(-128, 128)] for p in range(-128, 128)]


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("operator", ["add", "mul"])
def test_binary_on_all_pairs(name: str, operator: str, rng: np.random.Generator) -> None:
    for _ in range(4):
        a, b, y = drawn(rng), drawn(rng), drawn(rng)
        y = (float(np.float32(y[0] * (4 if operator == "add" else 16))), y[1])
        bound = getattr(PROFILES[name], operator).bind(quant(a), quant(b), quant(y))
        wanted = grid(getattr(COMPLETE[name], operator)(a, b, y))
        np.testing.assert_array_equal(bound(CODES[:, None], CODES[None, :]), wanted)


@pytest.mark.parametrize("name", COMPLETE)
def test_rescale_of_codes(name: str, rng: np.random.Generator) -> None:
    for _ in range(100):
        x, y = drawn(rng), drawn(rng)
        wanted = [COMPLETE[name].rescale(x, y)(p) for p in range(-128, 128)]
        got = PROFILES[name].concat.bind(quant(x), quant(y), IdentityFunction())(CODES)
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", COMPLETE)
def test_mean(name: str, rng: np.random.Generator) -> None:
    for count in (1, 2, 3, 4, 7, 8, 9, 16, 25, 49, 64, 100, 1023, 1024, 12544):
        x, y = drawn(rng), drawn(rng)
        low, high = count * (-128 - x[1]), count * (127 - x[1])
        sums = np.unique(np.concatenate([np.linspace(low, high, 500).astype(np.int64), [low, high, 0, 1, -1]]))
        for to in (x, y):
            wanted = [COMPLETE[name].mean(x, to, count)(int(s)) for s in sums]
            got = PROFILES[name].global_average_pool.bind(quant(x), quant(to), count)(sums)
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", COMPLETE)
@pytest.mark.parametrize("same", [True, False])
def test_average(name: str, same: bool, rng: np.random.Generator) -> None:
    """Windows of nine taps of which some lie in the padding: the divisor is the number inside."""
    for _ in range(10):
        x = drawn(rng)
        y = x if same else drawn(rng)
        taps = rng.integers(-128, 128, (9, 200)).astype(np.int8)
        taps[:, :20] = np.where(rng.random((9, 20)) < 0.5, -1, 0)  # sums near zero, of both signs
        inside = rng.random((9, 200)) < 0.7
        inside[0] = True
        got = PROFILES[name].average_pool.bind(quant(x), quant(y))(taps, inside, inside.sum(axis=0))
        wanted = [
            COMPLETE[name].average(x, y, taps[inside[:, i], i].tolist())  # the codes of window i in the image
            for i in range(200)
        ]
        np.testing.assert_array_equal(got, wanted)


def test_which_rules_are_compared() -> None:
    for name in COMPLETE:
        mean = PROFILES[name].global_average_pool
        assert isinstance(PROFILES[name].average_pool, MeanAverage if name == "exact" else DividedAverage)
        cmsis = name.startswith("cmsis-nn")
        assert name == "exact" or isinstance(mean, DividedMean if cmsis else RescaleMean)


# -- ST Neural-ART ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tie", ["half-up", "half-away", "half-even"])
def test_neural_art_conv(tie: str, rng: np.random.Generator) -> None:
    for _ in range(30):
        x, y = drawn(rng), drawn(rng)
        w = np.float32(rng.uniform(0.001, 0.02, 4))
        weights = rng.integers(-128, 128, (4, int(rng.integers(1, 300))))
        bias = rng.integers(-5000, 5000, 4)
        scales = (x[0], [float(s) for s in w], y[0])
        s1, s2, a, bc = oracle.neural_art_parameters(weights.tolist(), scales, bias.tolist(), y[1])
        by_channel = Quant(np.dtype(np.int8), w, np.asarray(0, np.int8), 0)
        layer = SumContext(quant(x), by_channel, quant(y), bias.astype(np.int32), weights=weights)
        bound = NarrowThenAffine(tie=tie).bind(layer)
        found = bound.parameters
        assert (int(found["S1"]), int(found["S2"])) == (s1, s2)
        assert (found["A"].tolist(), found["BC"].tolist()) == (a, bc)
        sums = rng.integers(-(2**17), 2**17, (300, 4))
        sums[:100] = (sums[:100] >> s1 << s1) + (1 << s1 >> 1)  # exact ties of the first rounding
        sums[-1] = 2**23  # saturates 16 bits
        wanted = [[oracle.neural_art(int(v), s1, s2, a[c], bc[c], tie) for c, v in enumerate(row)] for row in sums]
        np.testing.assert_array_equal(bound(sums), wanted)


@pytest.mark.parametrize("tie", ["half-up", "half-away", "half-even"])
def test_neural_art_conv_of_older_compilers(tie: str, rng: np.random.Generator) -> None:
    ties: tuple[str, str, str] = tuple(rng.permutation([tie, "half-up", "floor"]).tolist())
    lowered = 0
    for _ in range(30):
        x, y = drawn(rng), drawn(rng)
        w = np.float32(rng.uniform(0.001, 0.02, 4))
        weights = rng.integers(-128, 128, (4, int(rng.integers(1, 300))))
        bias = rng.integers(-5000, 5000, 4) * 10 ** int(rng.integers(0, 4))
        scales = (x[0], [float(s) for s in w], y[0])
        s1, sh1, a1, a2, bc, s2 = oracle.neural_art_1_1_1_parameters(weights.tolist(), scales, bias.tolist(), y[1])
        by_channel = Quant(np.dtype(np.int8), w, np.asarray(0, np.int8), 0)
        layer = SumContext(quant(x), by_channel, quant(y), bias.astype(np.int32), weights=weights)
        bound = NarrowThrice(tie=ties[2], first_tie=ties[0], middle_tie=ties[1]).bind(layer)
        found = bound.parameters
        assert (int(found["S1"]), int(found["sh1"]), int(found["A2"]), int(found["S2"])) == (s1, sh1, a2, s2)
        lowered += s2 < 20
        assert (found["A1"].tolist(), found["BC"].tolist()) == (a1, bc)
        assert 2**14 <= a2 < 2**15 and 2**14 <= max(a1) < 2**15
        sums = rng.integers(-(2**17), 2**17, (300, 4))
        sums[:100] = (sums[:100] >> s1 << s1) + (1 << s1 >> 1)  # exact ties of the first rounding
        sums[-1] = 2**23  # saturates 16 bits
        wanted = [
            [oracle.neural_art_1_1_1(int(v), s1, sh1, a1[c], a2, bc[c], s2, ties) for c, v in enumerate(r)]
            for r in sums
        ]
        np.testing.assert_array_equal(bound(sums), wanted)
    assert 0 < lowered < 30  # large biases


@pytest.mark.parametrize("tie", ["half-up", "half-away", "half-even"])
def test_neural_art_add(tie: str, rng: np.random.Generator) -> None:
    for _ in range(3):
        a, b, y = drawn(rng), drawn(rng), drawn(rng)
        bound = AlignedAdd(tie=tie).bind(quant(a), quant(b), quant(y))
        wanted = grid(oracle.neural_art_add(a, b, y, tie))
        np.testing.assert_array_equal(bound(CODES[:, None], CODES[None, :]), wanted)


@pytest.mark.parametrize(("zero", "c", "c_shift"), [(1, 2**14, 0), (2, 2**14, 1), (3, 3 * 2**13, 1), (-2, -(2**14), 1)])
def test_the_constant_of_neural_art_s_add_fits_int16(zero: int, c: int, c_shift: int) -> None:
    """With scales of 1, S is 14 and the constant is zero * 2^14: 2 * 2^14 = 32768 does not fit int16."""
    one = quant((1.0, 0))
    parameters = ART.add.bind(one, one, quant((1.0, zero))).parameters
    assert parameters["S"] == 14
    assert (parameters["C"], parameters["C_shift"]) == (c, c_shift)
    assert np.iinfo(np.int16).min <= parameters["C"] <= np.iinfo(np.int16).max


def test_the_tie_probe_of_the_specification() -> None:
    """Weights (1, 127, 1), M = 0.5: S1 = 1, A = 2^14, S2 = 14, and three tie rules give three output vectors."""
    found = {}
    for tie in ("half-up", "half-away", "half-even"):
        layer = SumContext(quant((1.0, 0)), quant((0.5, 0)), quant((1.0, 0)), weights=np.array([[1, 127, 1]]))
        bound = NarrowThenAffine(tie=tie).bind(layer)
        parameters = {key: int(np.asarray(value).reshape(-1)[0]) for key, value in bound.parameters.items()}
        assert parameters == {"S1": 1, "A": 2**14, "S2": 14, "BC": 0}
        found[tie] = bound(CODES.astype(np.int64)[:, None])[:, 0].tolist()
        assert found[tie] == [oracle.neural_art(int(x), 1, 14, 2**14, 0, tie) for x in CODES]
    assert len({tuple(values) for values in found.values()}) == 3


def test_neural_art_is_half_up_by_default() -> None:
    assert ART.status == "inferred"
    assert isinstance(ART.conv, NarrowThenAffine)
    assert ART.conv.tie == "half-up"


# -- ONNX Runtime on ARM64 ------------------------------------------------------------------------------------------
def arm64_add(a: int, b: int, parameters: tuple[np.float32, int, np.float32, int, np.float32, int]) -> int:
    """One QLinearAdd of int8 codes, spelled out from the description of core/mlas/lib/qladd.cpp."""
    s_a, z_a, s_b, z_b, s_y, z_y = parameters
    r_a, r_b = np.float32(s_a / s_y), np.float32(s_b / s_y)
    exponent = math.floor(math.log2(float(max(r_a, r_b))))
    shift = 21 - exponent
    m_a, m_b = (round(Fraction(float(r)) * 2**shift) for r in (r_a, r_b))
    acc = (a - z_a) * m_a + (b - z_b) * m_b
    acc = acc - 1 if acc < 0 else acc
    value = max(-(2**15), min(2**15 - 1, (acc + 2 ** (shift - 1)) >> shift))
    value = max(-(2**15), min(2**15 - 1, value + z_y))
    return max(-128, min(127, value))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_add_on_arm64(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # decimal scales have exact ties, which is where the two forms of Add part
    scales = rng.choice([0.01, 0.02, 0.03, 0.04, 0.05], 3) if seed % 2 else rng.uniform(0.01, 0.9, 3)
    scales = [np.float32(scale) for scale in scales]
    zeros = [int(zero) for zero in rng.integers(-128, 128, 3)]
    quants = [quant(each) for each in zip(scales, zeros, strict=True)]
    a, b = rng.integers(-128, 128, (2, 300)).astype(np.int8)
    found = PROFILES["ort-arm64"].add.bind(*quants)(a, b)
    parameters = (scales[0], zeros[0], scales[1], zeros[1], scales[2], zeros[2])
    assert found.tolist() == [arm64_add(int(x), int(y), parameters) for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("scale", [2.0**-15, 256.0])
def test_add_on_arm64_outside_its_fixed_point_is_refused(scale: float) -> None:
    quants = [quant((s, 0)) for s in (scale, 1.0, 1.0)]
    with pytest.raises(ProfileError, match="for the fixed-point path"):
        PROFILES["ort-arm64"].add.bind(*quants)


def test_arm64_is_inferred_in_every_rule() -> None:
    profile = PROFILES["ort-arm64"]
    statuses = {name: getattr(profile, name).status for name in rule_names()}
    assert statuses.pop("float_sum") == "unknown"
    assert set(statuses.values()) == {"inferred"} == {profile.status}
