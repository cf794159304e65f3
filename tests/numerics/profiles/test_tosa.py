"""The TOSA rows equal the TOSA reference model's RESCALE, int32 to int8, single and double round."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qdqnp.numerics.multiplier import Fixed
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.values import shifted
from qdqnp.quant import Quant
from tests.numerics.profiles.cases import draw, expected
from tests.oracles import tosa

pytestmark = [pytest.mark.oracle, pytest.mark.skipif(bool(tosa.missing()), reason=tosa.missing())]


def compare(name: str, seed: int, count: int) -> tuple[int, int]:
    """(compared, differing) codes: cases of the row in its domain, one channel each, and several zero points."""
    rng = np.random.default_rng(seed)
    rule = PROFILES[name].conv
    assert isinstance(rule, Rescale)
    acc, m, shift = draw(rng, name, count)
    # the model calls values outside [-2^(shift-1), 2^(shift-1)) unpredictable in both modes
    inside = expected(name, acc, m, shift)[1] & (np.abs(acc + 0.5) < np.ldexp(1.0, shift - 1))
    acc, m, shift = acc[inside], m[inside], shift[inside]
    compared = differing = 0
    for zero, part in zip((-128, 0, 3, 127), np.array_split(np.arange(acc.size), 4), strict=True):
        found = tosa.rescale(acc[part][None], m[part], shift[part], zero, double=not name.endswith("single"))[0]
        y = Quant(np.dtype(np.int8), np.float32(1), np.asarray(zero, np.int8))  # type: ignore[arg-type]
        ours: Any = shifted(rule.apply(acc[part], Fixed(m[part], shift[part])), y)[-1].array
        compared, differing = compared + part.size, differing + int((ours != found).sum())
    return compared, differing


@pytest.mark.parametrize("name", ["tosa-single", "tosa-double", "ethos-u"])
def test_rescale(name: str) -> None:
    compared, differing = compare(name, 1, 20_000)
    assert compared > 10_000
    assert differing == 0


def test_the_modes_differ() -> None:
    """The comparison can fail: -3 * 0.25 is -1 rounded twice and -1 once, 1 * 0.25 is 1 rounded twice and 0 once."""
    acc, m, shift = np.array([[1, -3]]), np.array([2**30] * 2), np.array([32] * 2)
    assert tosa.rescale(acc, m, shift, 0, double=True).tolist() == [[1, -1]]
    assert tosa.rescale(acc, m, shift, 0, double=False).tolist() == [[0, -1]]


@pytest.mark.parametrize("shift", [2, 20, 31])
def test_the_domain_of_single_round(shift: int) -> None:
    """The model refuses the same accumulators as the profile: test_rows has the profile's side."""
    edge = 2 ** (shift - 1)
    for acc, fine in ((edge - 1, True), (edge, False), (-edge, True), (-edge - 1, False)):
        arguments = np.array([[acc]]), np.array([2**30]), np.array([shift])
        if fine:
            assert tosa.rescale(*arguments, 0, double=False).shape == (1, 1)
        else:
            with pytest.raises(ValueError, match="UNPREDICTABLE"):
                tosa.rescale(*arguments, 0, double=False)
