"""Mutated rules are noticed by a few cases already; and what no mutant changes is not counted as noticed."""

from __future__ import annotations

import numpy as np
import pytest

from qdqnp.conformance.pack import spread
from qdqnp.conformance.table import layers_of
from qdqnp.numerics.profiles import profile_named
from tools.verify.conformance_mutants import (
    CANNOT,
    CLAMP,
    KINDS,
    MULTIPLIER,
    MUTANTS,
    ROUNDINGS,
    TIE,
    ZERO,
    Noticed,
    markdown,
    missed,
    noticed_by,
    rounding,
    unnoticed,
)


@pytest.mark.parametrize("op", ["QLinearMatMul", "QuantizeLinear", "QLinearLeakyRelu", "QLinearGlobalAveragePool"])
def test_every_kind_of_mutation_is_noticed(op: str) -> None:
    found = noticed_by(op, profile_named("ort"), 6)
    for kind in KINDS:
        there = found.kind(kind)
        assert there is not None and there[1] > 0, (op, kind, found.counts)
    assert found.exhaustive == (op == "QLinearLeakyRelu")
    assert found.cases == next(iter(found.counts.values()))[0]


def test_products_without_a_rounding_have_zero_points_alone() -> None:
    found = noticed_by("MatMulInteger", profile_named("ort"), 3)
    assert [kind for kind in KINDS if found.kind(kind)] == [ZERO]
    assert "| MatMulInteger |" in markdown([found], "ort")


@pytest.mark.parametrize(
    ("name", "halves"), [("halves away from zero", [-2, -1, 1, 2, 3]), ("halves up", [-1, 0, 1, 2, 3])]
)
def test_mutated_roundings_differ_in_halves_alone(name: str, halves: list[int]) -> None:
    """Against what their names say, and against NumPy everywhere else."""
    real = np.float32([-1.5, -0.5, 0.5, 1.5, 2.5])
    others = np.random.default_rng(0).uniform(-300, 300, 1000).astype(np.float32)
    others = np.append(others, np.float32([0.49999997, -0.49999997, 8388609]))
    others = others[np.abs(others - np.trunc(others)) != 0.5]
    rint = np.rint
    with rounding(name):
        assert np.rint(real).tolist() == halves
        assert np.array_equal(np.rint(others), rint(others))
        out = np.empty_like(real)
        assert np.rint(real, out=out) is not None and out.tolist() == halves
    assert np.rint is rint


def test_mutants_have_names_of_their_own_and_a_kind() -> None:
    assert len({one.name for one in MUTANTS}) == len(MUTANTS)
    assert {one.kind for one in MUTANTS} == {TIE, CLAMP, ZERO, MULTIPLIER}
    assert set(ROUNDINGS) == {one.name for one in MUTANTS if one.kind == TIE}
    assert Noticed("x").kind(TIE) is None
    assert list(spread(layers_of("QLinearMatMul"), 1))


@pytest.mark.parametrize("op", ["QLinearTanh", "QLinearSigmoid", "QLinearHardSigmoid", "QLinearSoftmax"])
def test_functions_whose_values_are_hardly_ever_halves_meet_some(op: str) -> None:
    layers = len(layers_of(op))
    found = noticed_by(op, profile_named("ort"), layers)
    assert missed([found]) == []
    silent = [name for name, (_, noticed) in found.counts.items() if not noticed]
    assert not set(silent) & {*ROUNDINGS, "highest code", "lowest code", "yz"}


def test_what_no_input_can_show_has_a_reason_and_is_not_noticed() -> None:
    """Of ArgMax; and a reason that does not hold, and a kind that nobody notices, are told."""
    found = noticed_by("ArgMax", profile_named("ort"), 2)
    assert found.counts == {"xz": [found.counts["xz"][0], 0]} and found.counts["xz"][0] > 10
    assert missed([found]) == [] and "no input shows it" in markdown([found], "ort")
    assert f"| ArgMax | xz | {CANNOT['ArgMax', 'xz']} |" in unnoticed([found])
    found.counts["xz"] = [5, 1]
    assert missed([found]) == ["noticed, though no input can show it: ArgMax: xz"]
    other = Noticed("QLinearMul", 5, {"xs +1 ulp": [5, 0], "xs -1 ulp": [5, 0], "yz": [5, 2]}, exhaustive=False)
    assert missed([other]) == ["noticed by no case: QLinearMul: multiplier by one"]
    assert "| QLinearMul | xs +1 ulp, xs -1 ulp | no value" in "\n".join(unnoticed([other]))
