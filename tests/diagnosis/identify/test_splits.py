"""splits: steps of rules by counting, and input codes that make a sum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qdqnp.diagnosis.identify import distinguish
from qdqnp.diagnosis.identify.distinguish import Searches, codes_for, reachable
from qdqnp.diagnosis.identify.evidence import Evidence
from qdqnp.diagnosis.identify.families import candidates
from qdqnp.diagnosis.identify.fit import _gives
from qdqnp.diagnosis.identify.fit_narrow import BC_UNITS, _Data, _edges, _formula, _possible, _solve, fit_narrow
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.profiles.neural_art import TIE
from qdqnp.numerics.questions import Pairs, Singles, Sums, Windows
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.rules.lookup import IdentityFunction
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.quant import Quant
from qdqnp.stimuli.scan import thresholds

INT8 = np.dtype(np.int8)


def quant(scale: float, zero: int) -> Quant:
    return Quant(INT8, np.asarray(np.float32(scale)), np.asarray(np.int8(zero)))


def small_layer(rng: np.random.Generator) -> SumContext:
    weights = rng.integers(-9, 10, (3, 4))
    scale = (10 ** rng.uniform(-3, -1, 3)).astype(np.float32)
    w = Quant(INT8, scale, np.zeros(3, np.int8), 0)
    bias = rng.integers(-500, 500, 3).astype(np.int32)
    return SumContext(
        quant(0.05, int(rng.integers(-20, 20))),
        w,
        quant(0.02, int(rng.integers(-20, 20))),
        bias,
        weights=weights,
        label="layer",
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["ort", "exact", "tflite", "neural-art-1.1.3", "nvdla"]))
def test_thresholds_are_those_of_counting(seed: int, name: str) -> None:
    layer = small_layer(np.random.default_rng(seed))
    low, high = reachable(layer.weights, layer.x)
    bound = PROFILES[name].conv.bind(layer)
    found = thresholds(bound, low, high, layer.output)
    for channel in range(3):
        sums = np.arange(low[channel], high[channel] + 1)
        codes = bound(np.repeat(sums[:, None], 3, axis=1))[:, channel]
        for row, code in enumerate(range(-128, 127)):
            above = sums[codes > code]
            assert found[row, channel] == (above[0] if above.size else high[channel] + 1)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_thresholds_are_the_same_whatever_is_tried_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = small_layer(rng)
    low, high = reachable(layer.weights, layer.x)
    near = rng.integers(low - 20, high + 20, (255, 3))  # in no order, and past the ends
    for name in ("ort", "exact", "tflite", "neural-art-1.1.3", "nvdla", "ethos-u"):
        bound = PROFILES[name].conv.bind(layer)
        found = thresholds(bound, low, high, layer.output)
        assert np.array_equal(thresholds(bound, low, high, layer.output, near), found)
        near = found


def test_thresholds_of_a_rule_like_the_last_take_two_looks(rng: np.random.Generator) -> None:
    layer = small_layer(rng)
    low, high = reachable(layer.weights, layer.x)
    bound, looks = PROFILES["ort"].conv.bind(layer), []

    def counted(sums: np.ndarray) -> np.ndarray:
        looks.append(sums.size)
        return bound(sums)

    near = thresholds(counted, low, high, layer.output)
    assert sum(looks) > 5 * near.size
    looks.clear()
    assert np.array_equal(thresholds(counted, low, high, layer.output, near), near)
    assert sum(looks) <= 2 * near.size


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_reachable_ends_are_reached_and_codes_make_their_sum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(-127, 128, int(rng.integers(1, 30)))
    x = quant(0.1, int(rng.integers(-128, 128)))
    low, high = (int(end[0]) for end in reachable(weights[None], x))
    for total in (low, high, int(rng.integers(low, high + 1))):
        codes = codes_for(weights, total, x)
        if codes is not None:
            assert all(-128 <= code <= 127 for code in codes)
            assert sum((code - int(x.zero_point)) * int(w) for code, w in zip(codes, weights, strict=True)) == total
    assert codes_for(weights, low, x) is not None and codes_for(weights, high, x) is not None
    assert codes_for(weights, high + 1, x) is None


def test_a_sum_that_no_integers_make_is_not_looked_for() -> None:
    assert codes_for(np.full(5000, 127), 128, quant(1, 0)) is None
    assert codes_for(np.zeros(3, np.int64), 0, quant(1, 0)) == (0, 0, 0)
    assert codes_for(np.zeros(3, np.int64), 1, quant(1, 0)) is None


def test_rules_are_grouped_by_all_that_they_give(rng: np.random.Generator) -> None:
    codes = rng.integers(-128, 128, 10).astype(np.int8)
    same = Evidence(Singles("concat", "same", quant(0.1, 3), quant(0.1, 3), IdentityFunction(), codes), codes)
    half = Evidence(Singles("concat", "half", quant(0.25, 0), quant(0.5, 0), IdentityFunction(), codes), codes)
    rules = [PROFILES[name].concat for name in ("ort", "exact", "tflite", "tflite-single")]
    assert len(Searches([same]).groups(rules)) == 1
    groups = Searches([same, half]).groups(rules)
    tables = [
        tuple(rule.bind(half.question.x, half.question.y, IdentityFunction())(np.arange(-128, 128, dtype=np.int8)))
        for rule in rules
    ]
    assert [len(group) for group in groups] == [tables.count(table) for table in dict.fromkeys(tables)]
    assert sorted(map(len, groups)) == [2, 2]  # exact halves: to even, or up
    search = Searches([same, half]).split(rules[0], rules[3])
    assert search.stimulus is not None and search.stimulus.layer == "half"
    assert Searches([]).groups(rules) == [[rule] for rule in rules]


def test_pairs_are_searched_completely() -> None:
    quants = (quant(0.5, 0), quant(0.25, 0), quant(1.0, 0))
    codes = np.zeros(1, np.int8)
    search = Searches([Evidence(Pairs("add", "add", quants, codes, codes), codes)])
    found = search.split(PROFILES["exact"].add, PROFILES["neural-art-1.1.3"].add).stimulus
    assert found is not None
    a, b = found.input_codes
    exact = round(a * 0.5 + b * 0.25)
    assert found.codes[0] == max(-128, min(127, exact)) != found.codes[1]
    alike = search.split(PROFILES["exact"].add, PROFILES["exact"].add)
    assert alike.stimulus is None and alike.complete


def test_windows_whose_sum_depends_on_its_order_are_not_searched_completely() -> None:
    """Both rules give 0 for all windows that are tried; but a float32 sum has orders that were not."""
    taps, inside = np.zeros((2, 1), np.int8), np.ones((2, 1), bool)
    one = Evidence(Windows("avg", quant(1e-6, 0), quant(1.0, 0), taps, inside, np.array([2])), taps[0])
    search = Searches([one])
    ort, exact, tflite = (PROFILES[name].average_pool for name in ("ort", "exact", "tflite"))
    for pair in ((ort, exact), (exact, ort)):
        found = search.split(*pair)
        assert found.stimulus is None and not found.complete
    assert search.split(exact, tflite).complete


# -- fit_narrow: what it solves for ------------------------------------------------------------------------------------
@pytest.mark.parametrize("tie", list(ROUNDINGS))
def test_edges_are_the_first_values_of_each_code(tie: str) -> None:
    for shift in (0, 1, 2, 5, 20):
        edges = _edges(tie, shift, -128, 127)
        codes = np.arange(-128, 129)
        assert (ROUNDINGS[tie](edges, shift) >= codes).all()
        assert (ROUNDINGS[tie](edges - 1, shift) < codes).all()


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_bias_constants_are_the_nearest_that_fit(seed: int) -> None:
    """Against a search of every BC within the limit, channel by channel."""
    rng = np.random.default_rng(seed)
    layer = small_layer(rng)
    own = NarrowThenAffine(TIE).bind(layer)
    moved = own.bc + rng.integers(-6, 5, 3)
    hidden = NarrowThenAffine(TIE, overrides=(("layer", (("BC", tuple(int(v) for v in moved)),)),))
    low, high = reachable(layer.weights, layer.x)
    sums = rng.integers(low, high + 1, (1500, 3))
    codes = hidden.bind(layer)(sums)
    found = fit_narrow([Evidence(Sums("conv", layer, known=sums), codes)])
    assert found is not None
    assert np.array_equal(found.rule.bind(layer)(sums), codes)
    if (found.numbers["layer"].s1, found.numbers["layer"].s2) != (own.s1, own.s2) or found.rule.tie != "half-up":
        return
    for channel in range(3):
        fits = [d for d in range(-BC_UNITS, BC_UNITS + 1) if gives(layer, own, channel, d, sums, codes)]
        assert abs(found.numbers["layer"].offsets[channel]) == min(abs(d) for d in fits)


def gives(layer: SumContext, own: object, channel: int, offset: int, sums: np.ndarray, codes: np.ndarray) -> bool:
    bc = own.bc.copy()
    bc[channel] += offset
    rule = NarrowThenAffine(TIE, overrides=(("layer", (("BC", tuple(int(v) for v in bc)),)),))
    return bool(np.array_equal(rule.bind(layer)(sums)[:, channel], codes[:, channel]))


@pytest.mark.parametrize("tie", list(ROUNDINGS))
def test_dense_data_leave_one_bias_constant(tie: str, rng: np.random.Generator) -> None:
    """Every value in a row meets every step between codes: the interval of BC has one element."""
    layer = small_layer(rng)
    units = rng.integers(-6, 7, 3)
    formula = replace(_formula(layer, ()), s2=4, a=np.ones(3, np.int64), bc=rng.integers(-100, 100, 3))
    part = np.repeat(np.arange(-3000, 3000)[:, None], 3, axis=1)
    codes = np.clip(ROUNDINGS[tie](part + formula.bc + units, 4), -128, 127).astype(np.int8)
    found = _solve(_Data(layer, part, codes), part, formula, tie)
    assert found is not None and np.array_equal(found.offsets, units)
    codes[1000] = -codes[1000] - 1  # a code that contradicts the others
    assert _solve(_Data(layer, part, codes), part, formula, tie) is None


@pytest.mark.parametrize("first", list(ROUNDINGS))
@pytest.mark.parametrize("second", list(ROUNDINGS))
def test_shifts_are_left_out_only_where_no_tie_rule_fits(first: str, second: str, rng: np.random.Generator) -> None:
    layer = small_layer(rng)
    formula = _formula(layer, (2, 12))
    sums = rng.integers(-3000, 3000, (50, 3))
    x16 = ROUNDINGS[first](sums, 2)
    y = ROUNDINGS[second](formula.a * x16 + formula.bc + rng.integers(-BC_UNITS, BC_UNITS + 1, 3), 12)
    data = _Data(layer, sums, np.clip(y, *formula.y.range).astype(np.int8))
    assert _solve(data, x16, formula, second) is not None
    assert _possible(data, "exact", formula)
    assert not _possible(replace(data, codes=~data.codes), "exact", formula)


@pytest.mark.parametrize(("kernel", "every"), [(7, True), (90, False)])
def test_windows_of_a_large_kernel_are_few_and_said_to_be(kernel: int, every: bool) -> None:
    size = kernel**2
    taps, inside = np.zeros((size, 1), np.int8), np.ones((size, 1), bool)
    made = distinguish._all_windows(Windows("avg", quant(0.1, 3), quant(0.07, 0), taps, inside, np.array([size])))
    assert made.taps.size <= 2 * distinguish.WINDOW_CODES
    sums = np.unique(made.taps.astype(np.int64).sum(axis=0))
    assert distinguish._every_sum(made) == every
    assert (sums.size == 255 * size + 1) == every
    assert {int(sums[0]), int(sums[-1])} == {-128 * size, 127 * size}


def test_codes_for_a_sum_of_very_many_weights_are_not_looked_for() -> None:
    x = quant(0.5, 3)
    assert codes_for(np.ones(distinguish.SOLVER_WEIGHTS + 1, np.int64), 5, x) is None
    assert codes_for(np.ones(distinguish.SOLVER_WEIGHTS // 2, np.int64), 5, x) is not None


@pytest.mark.parametrize("wrong", [False, True])
def test_evidence_without_repetitions_says_the_same(wrong: bool, rng: np.random.Generator) -> None:
    """A rule gives all of it if and only if it gives what is left, right or wrong as the device may be."""
    layer, pair = small_layer(rng), (quant(0.5, 0), quant(0.25, 7), quant(1.0, -3))
    a, b = (rng.integers(-6, 6, 3000).astype(np.int8) for _ in range(2))
    sums = np.concatenate([rng.integers(-300, 300, (2000, 3)), [[9000, -9000, 12345]]])
    for asked in (Sums("conv", layer, known=sums), Pairs("add", "add", pair, a, b)):
        device = asked.codes(getattr(PROFILES["tflite"], asked.rule))
        if wrong:  # one answer of many to the same element
            device.reshape(-1)[int(rng.integers(device.size))] ^= 1
        one = Evidence(asked, device)
        few = one.distinct()
        assert few.device.size < one.device.size / 2
        given = []
        for rule in candidates(asked.rule):
            given.append(_gives(rule, [one]))
            assert _gives(rule, [few]) == given[-1]
        assert any(given) != wrong
