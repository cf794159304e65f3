"""glibc's expf, logf and powf: its bits where it is at hand, and within its error of the functions everywhere."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.numerics import libm
from tests.numerics.test_float32 import bits
from tests.oracles import ort

Array = np.ndarray[Any, np.dtype[Any]]
F = np.float32
RNG = np.random.default_rng(3)
POSITIVE = np.concatenate(
    [RNG.integers(1, 0x7F800000, 3000).astype(np.int32).view(F), RNG.uniform(0.5, 2, 3000).astype(F)]
)
ALL = np.concatenate([RNG.uniform(-110, 92, 4000).astype(F), RNG.normal(0, 1, 2000).astype(F)])
ODD = np.array([0.0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 1e-45, 88.73, 88.72, -103.98, -103.97, 3e38, 2, -3, 0.5], F)


def c_function(name: str, arguments: int) -> Callable[..., float]:
    try:
        library: Any = ctypes.CDLL("libm.so.6")
        getattr(library, name)
    except (OSError, AttributeError):
        pytest.skip("no glibc")
    if "fma" not in ort.cpu_flags():
        pytest.skip("glibc computes otherwise without FMA")
    function = getattr(library, name)
    function.argtypes, function.restype = [ctypes.c_float] * arguments, ctypes.c_float
    return function  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "function", "x"),
    [("expf", libm.exp, np.append(ALL, ODD)), ("logf", libm.log, np.append(POSITIVE, ODD))],
)
def test_it_is_glibcs(name: str, function: Callable[[Array], Array], x: Array) -> None:
    wanted = c_function(name, 1)
    assert bits(function(x)) == bits([wanted(float(value)) for value in x])


def test_powers_are_glibcs() -> None:
    wanted = c_function("powf", 2)
    exponents = RNG.choice(np.array([0.5, -0.5, 2, 3, -1, 1 / 3, 1.7, 40, -17, 1e-5], F), POSITIVE.size)
    x, y = (array.reshape(-1) for array in np.meshgrid(ODD, ODD))
    x, y = np.append(x, POSITIVE), np.append(y, exponents)
    assert bits(libm.power(x, y)) == bits([wanted(float(a), float(b)) for a, b in zip(x, y, strict=True)])


@pytest.mark.parametrize("exponent", [*ODD.tolist(), -0.5, -2, -3, 1.5, 16777217])
def test_one_exponent_for_all(exponent: float) -> None:
    """Some releases of NumPy take other ways for such an exponent."""
    powf = c_function("powf", 2)
    wanted = np.array([powf(float(x), exponent) for x in ODD], F)
    np.testing.assert_array_equal(bits(libm.power(ODD, F(exponent))), bits(wanted))


def test_it_is_close_to_the_function() -> None:
    inside = ALL[(ALL > -87) & (ALL < 88)].astype(np.float64)
    assert np.abs(libm.exp(inside.astype(F)) / np.exp(inside) - 1).max() < 2.0**-23
    wide = POSITIVE.astype(np.float64)
    assert (np.abs(libm.log(POSITIVE) - np.log(wide)) <= np.spacing(np.abs(np.log(wide)).astype(F))).all()
    root = libm.power(POSITIVE, np.full_like(POSITIVE, 0.5))
    assert np.abs(root / np.sqrt(wide) - 1).max() < 2.0**-23


NUMBERS = st.floats(-1e9, 1e9, allow_subnormal=False).filter(lambda x: abs(x) > 1e-9)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(NUMBERS, NUMBERS, NUMBERS)
def test_the_fused_step_rounds_once(a: float, b: float, c: float) -> None:
    for addend in (c, -a * b, np.nextafter(-a * b, np.inf)):
        exact = Fraction(a) * Fraction(b) + Fraction(float(addend))
        assert float(libm.fma64(a, b, float(addend))) == float(exact)
