"""PULP, Rockchip and TI against tests.oracles.shift_devices: drawn scales, sums of the size of codes, ties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qdqnp.errors import ProfileError
from qdqnp.numerics.multiplier import TopMantissa
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.quant import Quant
from tests.oracles import shift_devices as oracle


def quant(scale: Any, zero: int = 0, axis: int | None = None) -> Quant:
    return Quant(np.dtype(np.int8), np.asarray(scale, np.float32), np.asarray(zero, np.int8), axis)


def drawn(rng: np.random.Generator, channels: int) -> tuple[np.float32, np.ndarray, np.float32]:
    """Scales of x, of each channel, and of y; powers of two one time in three, which have exact ties."""
    if rng.random() < 1 / 3:
        return np.float32(0.5), (2.0 ** rng.integers(-9, -5, channels)).astype(np.float32), np.float32(0.25)
    x, y = np.float32(rng.uniform(0.01, 0.1)), np.float32(rng.uniform(0.02, 0.2))
    return x, rng.uniform(0.0005, 0.02, channels).astype(np.float32), y


def block(name: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(codes of the profile, codes of the oracle) of a layer with biases."""
    channels = 1 if name.startswith("rockchip") else 4
    x, w, y = drawn(rng, channels)
    zero = 0 if name == "ti-tinpu" else int(rng.integers(-128, 128))
    bias = rng.integers(-2000, 2000, channels).astype(np.int32)
    unit = float(y) / (float(x) * w.astype(np.float64))
    sums = np.rint(rng.uniform(-300, 300, (200, channels)) * unit).astype(np.int64) - bias
    sums[:80] = np.rint((rng.integers(-128, 128, (80, channels)) + 0.5) * unit).astype(np.int64) - bias
    weights = quant(w[0]) if channels == 1 else quant(w, axis=0)
    bound = PROFILES[name].conv.bind(SumContext(quant(x), weights, quant(y, zero), bias))
    wanted = np.empty_like(sums)
    for (row, c), value in np.ndenumerate(sums):
        wanted[row, c] = _one(name, int(value), int(bias[c]), (float(x), float(w[c]), float(y)), zero)
    return bound(sums), wanted


def _one(name: str, value: int, bias: int, scales: tuple[float, float, float], zero: int) -> int:
    if name == "pulp":
        return oracle.pulp(value, bias, scales, zero)
    if name == "ti-tinpu":
        return oracle.tinpu(value, bias, scales)
    return oracle.rockchip(value + bias, scales, zero)


NAMES = ("pulp", "rockchip-rk3588", "ti-tinpu")


@pytest.mark.parametrize("name", NAMES)
def test_whole_rule_from_scales(name: str, rng: np.random.Generator) -> None:
    for _ in range(40):
        found, wanted = block(name, rng)
        np.testing.assert_array_equal(found, wanted)


def test_pulp_wraps_in_int32() -> None:
    rule = replace(PROFILES["pulp"].conv, overrides=(("layer", (("mul", 2**20), ("add", 77), ("shift", 4))),))
    bound = rule.bind(SumContext(quant(1), quant(1), quant(1, 3), label="layer"))
    sums = np.array([0, 1, 2047, 2048, 4095, 4096, -(2**31), 2**31 - 1])[:, None]
    assert bound(sums)[:, 0].tolist() == [oracle.requant_shift(int(s), 2**20, 77, 4, 3) for s in sums[:, 0]]


def test_stated_numbers_take_the_place_of_derived_ones(rng: np.random.Generator) -> None:
    numbers = (("mul", (3, -5)), ("add", (100, -7)), ("shift", 3))
    rule = replace(PROFILES["pulp"].conv, overrides=(("layer", numbers),))
    context = SumContext(quant(1), quant([1, 1], axis=0), quant(1), np.array([9, 9], np.int32), label="layer")
    sums = rng.integers(-200, 200, (50, 2))
    wanted = [[oracle.requant_shift(int(a), 3, 100, 3, 0), oracle.requant_shift(int(b), -5, -7, 3, 0)] for a, b in sums]
    np.testing.assert_array_equal(rule.bind(context)(sums), wanted)
    ti = replace(PROFILES["ti-tinpu"].conv, overrides=(("layer", (("offset", 5), ("scale", 3), ("shift", 2))),))
    assert ti.bind(context)(np.array([[1, 2]])).tolist() == [[(1 + 5) * 3 >> 2, (2 + 5) * 3 >> 2]]
    with pytest.raises(ProfileError, match="1 or 2 values"):
        replace(rule, overrides=(("layer", (("mul", (1, 2, 3)),)),)).bind(context)


def test_what_is_not_known_is_refused() -> None:
    by_channel = SumContext(quant(1), quant([0.5, 0.25], axis=0), quant(1))
    with pytest.raises(ProfileError, match="multipliers by channel"):
        PROFILES["rockchip-rk3588"].conv.bind(by_channel)
    with pytest.raises(ProfileError, match="zero point of the output"):
        PROFILES["ti-tinpu"].conv.bind(SumContext(quant(1), quant(0.5), quant(1, 1)))
    for scale in (2.0**-40, 300.0):
        with pytest.raises(ProfileError, match="multiplier outside"):
            PROFILES["ti-tinpu"].conv.bind(SumContext(quant(1), quant(scale), quant(1)))
    with pytest.raises(ProfileError, match="in int32"):
        PROFILES["pulp"].conv.bind(SumContext(quant(1), quant(2.0**16), quant(1)))


def test_top_mantissa(rng: np.random.Generator) -> None:
    reals = [*rng.uniform(0.001, 1, 500), 0.5, 1.0, 1 - 2.0**-24, 2.0**-20]
    for real in reals:
        found = TopMantissa()(np.asarray(real))
        assert (int(found.value), int(found.shift)) == oracle.top_mantissa(float(real))
