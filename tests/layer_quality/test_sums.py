"""ErrorSums: the formula of ONNX Runtime's loss debugger, and sums that do not depend on order."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from qdqnp.layer_quality.sums import ErrorSums


def pairs(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    found = []
    for _ in range(count):
        wanted = rng.standard_normal((3, 5)) * 10.0 ** rng.integers(-6, 7)
        found.append((wanted, wanted + rng.standard_normal((3, 5)) * 1e-3))
    return found


def counted(given: list[tuple[np.ndarray, np.ndarray]]) -> ErrorSums:
    sums = ErrorSums()
    for wanted, made in given:
        sums.add(wanted, made)
    return sums


def test_sums_are_those_of_fractions() -> None:
    wanted, made = np.array([3.0, -4.0]), np.array([3.0, -2.0])
    sums = counted([(wanted, made)])
    assert (sums.signal, sums.noise, sums.product, sums.made) == (Fraction(25), Fraction(4), Fraction(17), Fraction(13))
    assert sums.largest == 2.0 and sums.elements == 2
    assert sums.sqnr == pytest.approx(20 * math.log10(5 / 2), abs=1e-12)
    assert sums.cosine == pytest.approx(17 / (5 * math.sqrt(13)), abs=1e-15)
    assert sums.share == 4 / 25


def test_the_formula_is_the_loss_debuggers() -> None:
    debug = pytest.importorskip("onnxruntime.quantization.qdq_loss_debug")
    for given in ([pair] for pair in pairs(5)):
        wanted, made = zip(*given, strict=True)
        theirs = debug.compute_signal_to_quantization_noice_ratio(list(wanted), list(made))
        assert counted(given).sqnr == pytest.approx(theirs, abs=1e-12)
    wanted, made = zip(*pairs(7), strict=True)
    theirs = debug.compute_signal_to_quantization_noice_ratio(list(wanted), list(made))
    assert counted(pairs(7)).sqnr == pytest.approx(theirs, abs=1e-12)
    same = np.ones(3)
    assert counted([(same, same)]).sqnr == debug.compute_signal_to_quantization_noice_ratio(same, same)


def test_no_order_and_no_split_changes_a_bit() -> None:
    given = pairs(12)
    whole = counted(given)
    assert counted(given[::-1]) == whole
    for cut in (1, 5, 11):
        left, right = counted(given[:cut]), counted(given[cut:])
        right.include(left)
        assert right == whole and right.as_json() == whole.as_json()


def test_what_is_not_finite_is_left_out_and_counted() -> None:
    wanted = np.array([1.0, np.inf, np.nan, 2.0])
    made = np.array([1.5, 1.0, 1.0, -np.inf])
    sums = counted([(wanted, made)])
    assert (sums.elements, sums.left_out, sums.largest, sums.noise) == (1, 3, 0.5, Fraction(1, 4))


def test_zeros() -> None:
    zero = np.zeros(2)
    assert counted([(zero, zero)]).cosine == 1.0 and counted([(zero, zero)]).share == 0.0
    assert counted([(zero, zero + 1)]).cosine == 0.0 and counted([(zero, zero + 1)]).share == math.inf
