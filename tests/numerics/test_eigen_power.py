"""Eigen's powers: close to the real ones, IEEE 754's own where those are special, and products for whole exponents."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qdqnp.numerics.eigen_power import power
from tests.ops.case import one_node
from tests.oracles import ort

F = np.float32


@pytest.mark.parametrize("exponent", [-0.75, 0.5, -3.5, 1.7, 8.0, -4.0, 0.3])
def test_within_three_steps_of_the_real_power(exponent: float, rng: np.random.Generator) -> None:
    x = (10 ** rng.uniform(-6, 6, 4096)).astype(F)
    found, real = power(x, exponent), x.astype(np.float64) ** float(F(exponent))
    kept = (real > 2.0**-126) & (real < 2.0**127)
    assert kept.sum() > 2000
    steps = np.abs(found.astype(np.float64) - real)[kept] / np.spacing(found[kept]).astype(np.float64)
    assert steps.max() <= 3


@pytest.mark.parametrize("exponent", [-3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7])
def test_whole_exponents_are_squared_again_and_again(exponent: int, rng: np.random.Generator) -> None:
    x = rng.normal(0, 3, 64).astype(F)
    base = F(1) / x if exponent < 0 else x
    two, four = base * base, (base * base) * (base * base)
    count = abs(exponent)
    parts = [part for part, bit in ((base, 1), (two, 2), (four, 4)) if count & bit]
    wanted = np.ones_like(x)
    for part in parts:
        wanted = wanted * part
    assert power(x, exponent).tolist() == wanted.tolist()


@pytest.mark.parametrize("exponent", [-0.75, 0.5, 9.0, -4.0, 8.0, -5.0])
def test_zeros_infinities_and_negative_numbers(exponent: float) -> None:
    x = np.array([0.0, -0.0, np.inf, -np.inf, -2.0, np.nan, 1.0, 2.0**-149], F)
    found = power(x, exponent)
    for number, made in zip(x.tolist(), found.tolist(), strict=True):
        wanted = pow_of_the_standard(number, exponent)
        if abs(number) in (2.0, 2.0**-149) and not math.isnan(wanted):
            assert made == pytest.approx(wanted, rel=1e-6)
        else:
            assert (
                math.isnan(made)
                if math.isnan(wanted)
                else (made, math.copysign(1, made))
                == (
                    wanted,
                    math.copysign(1, wanted),
                )
            )


def pow_of_the_standard(number: float, exponent: float) -> float:
    """Python's, which raises where C's gives an infinity or a NaN, rounded to float32."""
    try:
        with np.errstate(all="ignore"):
            return float(F(math.pow(number, exponent)))
    except OverflowError:
        return math.inf
    except ValueError:
        odd = exponent == int(exponent) and int(exponent) % 2 == 1
        return math.copysign(math.inf, number if odd else 1.0) if number == 0 else math.nan


@pytest.mark.parametrize("exponent", [0.75, 0.5, 3.5, 2.5])
def test_a_hundred_thousand_powers_are_onnx_runtimes(exponent: float, rng: np.random.Generator) -> None:
    """LRN of one channel: x times a power of 1 + x^2."""
    x = (rng.normal(0, 1, (1, 1, 250, 400)) * 10 ** rng.uniform(-1, 2, (1, 1, 250, 400))).astype(F)
    case = one_node("LRN", [("x", x)], size=1, alpha=1.0, beta=exponent)
    wanted = ort.run(case.model, case.inputs)["y"]
    assert (x * power(F(1) + x * x, -exponent)).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
def test_what_fills_no_register_is_the_c_librarys(count: int) -> None:
    """They differ now and then, so that an element's power depends on where it stands."""
    x = np.linspace(1, 4, 4000, dtype=F)
    whole, alone = power(x, -0.75), np.concatenate([power(part, -0.75) for part in x[:, None]])
    assert (whole != alone).any()
    assert power(x[:count], -0.75).tolist()[count // 4 * 4 :] == alone[count // 4 * 4 : count].tolist()
