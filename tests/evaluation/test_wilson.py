"""Wilson's interval against the equation that defines it, and against published figures."""

from __future__ import annotations

import math

import pytest

from qdqnp.evaluation.wilson import Z_95, interval


def test_the_quantile_is_that_of_the_normal_distribution() -> None:
    assert math.erf(Z_95 / math.sqrt(2)) == pytest.approx(0.95, abs=1e-15)


@pytest.mark.parametrize("of", [1, 2, 10, 1000, 50_000])
@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.5, 0.999, 1])
def test_the_ends_are_z_deviations_from_what_was_seen(of: int, share: float) -> None:
    """|k/n - p| = z sqrt(p (1 - p) / n) at both ends."""
    count = round(share * of)
    low, high = interval(count, of)
    assert 0 <= low <= count / of <= high <= 1
    for end in (low, high):
        assert abs(count / of - end) == pytest.approx(Z_95 * math.sqrt(end * (1 - end) / of), rel=1e-9, abs=1e-9)
    assert (low == 0) == (count == 0) and (high == 1) == (count == of)


def test_published_figures() -> None:
    """R. G. Newcombe, Statistics in Medicine 17, 1998, pages 857 to 872, table I, method 3."""
    for (count, of), ends in {
        (81, 263): (0.2553, 0.3662),
        (15, 148): (0.0624, 0.1605),
        (0, 20): (0.0000, 0.1611),
        (1, 29): (0.0061, 0.1718),
    }.items():
        assert interval(count, of) == pytest.approx(ends, abs=5e-5)


def test_of_nothing_nothing_is_known() -> None:
    assert interval(0, 0) == (0, 1)
