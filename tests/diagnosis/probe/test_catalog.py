"""What each probe's hypotheses answer, against the sentences of the probe written in Python integers and fractions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from qdqnp.diagnosis.probe.answers import answer_of
from qdqnp.diagnosis.probe.catalog import probes
from qdqnp.diagnosis.probe.probes import Hypothesis, Probe, telling
from qdqnp.numerics.rounding import ROUNDINGS
from tests.oracles.fixed_point import by_definition

ALL = {probe.name: probe for probe in probes()}
SPLIT_AXES = {"input channels": 0, "kernel rows": 1, "kernel columns": 2}


def codes_of(values: list[Fraction], tie: str, zero: int = 0) -> list[int]:
    """Rounded, the zero point added after the rounding, clipped to int8."""
    return [max(-128, min(127, int(by_definition(tie, value)) + zero)) for value in values]


def answered(probe: Probe, text: str) -> list[int]:
    return probe.answers()[text].reshape(-1).tolist()


def flat(probe: Probe, name: str) -> list[int]:
    return probe.codes[name].reshape(-1).astype(int).tolist()


def test_every_code_is_halved() -> None:
    """In first_tie the first stage halves, in second_tie the second: both show the tie rule on every odd code."""
    first, second = ALL["first_tie"], ALL["second_tie"]
    assert sorted(flat(second, "x")) == list(range(-128, 128))
    driven = first.codes["x"][0].astype(int)
    assert not driven[1:].any() and sorted(driven[0].reshape(-1)) == list(range(-128, 128))
    for tie in ROUNDINGS:
        wanted = codes_of([Fraction(x, 2) for x in range(-128, 128)], tie)
        for probe in (first, second):
            found = probe.answers()[tie].reshape(-1).tolist()
            codes = probe.codes["x"][0, 0].reshape(-1).tolist()
            assert [code for _, code in sorted(zip(codes, found, strict=True))] == wanted


@pytest.mark.parametrize("tie", list(ROUNDINGS))
def test_sums_are_halved(tie: str) -> None:
    """The zero point 3 is added before the rounding, which half-away tells from after it."""
    probe = ALL["add_tie"]
    pairs = list(zip(flat(probe, "a"), flat(probe, "b"), strict=True))
    assert len(set(pairs)) > 700 and sum((a + b) % 2 for a, b in pairs) > 400
    assert answered(probe, tie) == codes_of([Fraction(a + b, 2) + 3 for a, b in pairs], tie)


def sums_of(probe: Probe) -> list[int]:
    """Of a 1x1 convolution whose weights are all 127."""
    return (127 * probe.codes["x"].astype(int).sum(axis=1)).reshape(-1).tolist()


def wrapped(value: int, bits: int) -> int:
    return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def held(value: int, bits: int) -> int:
    return max(-(2 ** (bits - 1)), min(2 ** (bits - 1) - 1, value))


@pytest.mark.parametrize("stages", ["one stage", "two stages"])
def test_an_accumulator_of_24_bits(stages: str) -> None:
    """One unit of y is 2^17 of the sum. Both ways to end agree with the exact one as long as 24 bits hold the sum."""
    probe = ALL["accumulator_24"]
    sums = sums_of(probe)
    past = [not -(2**23) <= total < 2**23 for total in sums]
    assert max(sums) > 10_000_000 and min(sums) < -10_000_000 and 5 < sum(past) < 40
    changes: dict[str, Callable[[int], int]] = {
        "exact": lambda total: total,
        "saturate-24": lambda total: held(total, 24),
        "wrap-24": lambda total: wrapped(total, 24),
    }
    answers = {kind: answered(probe, f"{stages}, accumulator {kind}") for kind in changes}
    for kind, change in changes.items():
        inside = [code for code, out in zip(answers[kind], past, strict=True) if not out]
        assert inside == [code for code, out in zip(answers["exact"], past, strict=True) if not out]
        if stages == "one stage":
            assert answers[kind] == codes_of([Fraction(change(total), 2**17) for total in sums], "half-up")
    signs = {kind: [code > 0 for code, out in zip(answers[kind], past, strict=True) if out] for kind in changes}
    assert signs["saturate-24"] == signs["exact"] == [not sign for sign in signs["wrap-24"]]
    assert len({tuple(codes) for codes in answers.values()}) == 3


def test_an_accumulator_of_32_bits() -> None:
    """One unit of y is 2^24 of the accumulator, whose bias is 2^31 - 2^23; the zero point is -64."""
    probe = ALL["accumulator_32"]
    totals = [total + 2**31 - 2**23 for total in sums_of(probe)]
    assert any(total >= 2**31 for total in totals) and any(total < 2**31 for total in totals)
    for text, tie, change in (
        ("wraps at 32 bits", "half-up", lambda total: wrapped(total, 32)),
        ("wider than 32 bits", "half-even", lambda total: total),
        ("saturates at 32 bits", "half-even", lambda total: held(total, 32)),
    ):
        assert answered(probe, text) == codes_of([Fraction(change(total), 2**24) for total in totals], tie, -64), text
    assert len({tuple(codes.reshape(-1)) for codes in probe.answers().values()}) >= 3


def test_an_average_over_49() -> None:
    probe = ALL["average_49"]
    totals = probe.codes["x"][0].astype(int).sum(axis=(1, 2)).tolist()
    ratio = Fraction(float(np.float32(0.033))) / Fraction(float(np.float32(0.022)))
    real = [(total - 49 * 17) * ratio / 49 for total in totals]
    assert answered(probe, "as exact") == codes_of(real, "half-even", -14)
    for tie in ROUNDINGS:  # the mean is rounded in codes of x, then in codes of y; 0.02 for reciprocals of 16 bits
        most = (ratio + 1) / (1 if tie in ("floor", "truncate") else 2) + Fraction(2, 100)
        codes = answered(probe, f"16-bit reciprocal, two stages, {tie}")
        inside = [(code, value) for code, value in zip(codes, real, strict=True) if -128 < code < 127]
        assert len(inside) > 60 and all(abs(code + 14 - value) < most for code, value in inside)


def float32(value: float) -> Fraction:
    return Fraction(float(np.float32(value)))


def in_range(value: Fraction) -> tuple[int, int]:
    """The integer in [2^14, 2^15) and the shift that stand for a multiplier."""
    shift = 0
    while value * 2 ** (shift + 1) < 2**15:
        shift += 1
    return round(value * 2**shift), shift


@pytest.mark.parametrize("first", ["half-up", "half-away", "half-even"])
def test_both_generations(first: str) -> None:
    """S1 = 1; a bias of 77; with three narrowings the middle scale is 2^(ceil(log2 0.0437) - 6) = 2^-10."""
    probe = ALL["generation"]
    x = probe.codes["x"].astype(int)[0].reshape(3, -1)
    sums = (3 * x[0] + 113 * x[1] + 20 * x[2]).tolist()
    x16 = [held(int(by_definition(first, Fraction(total, 2))), 16) for total in sums]
    s_x, s_w, s_y = Fraction(1, 32), float32(0.0063), float32(0.0437)
    bias = float32(77 * float(float32(float(s_x * s_w))))
    a, s2 = in_range(s_x * s_w / s_y * 2)
    bc = (5 + bias / s_y) * 2**s2 // 1
    wanted = codes_of([Fraction(a * value + bc, 2**s2) for value in x16], "half-up")
    assert answered(probe, f"two narrowings (ST Edge AI 3), first {first}") == wanted
    a1, sh1 = in_range(s_x * s_w * 2**10 * 2)
    m16 = [held(int(by_definition("half-up", Fraction(a1 * value, 2**sh1))), 16) for value in x16]
    a2, bc = round(2**10 / s_y), (5 + bias / s_y) * 2**20 // 1
    wanted = codes_of([Fraction(a2 * value + bc, 2**20) for value in m16], "half-up")
    assert answered(probe, f"three narrowings (ST Edge AI 2), first {first}") == wanted


def test_what_a_chain_hands_on() -> None:
    probe = ALL["chained_units"]
    w = probe.model.program().tensors["w_codes"].const.astype(int).reshape(-1, 1)
    products = w * probe.codes["x"].astype(int)[0].reshape(1920, 64)
    totals = products.sum(axis=0).tolist()
    assert max(totals) > 30_000 and min(totals) < -30_000 and max(map(abs, totals)) < 2**15
    whole = codes_of([Fraction(total, 2**8) for total in totals], "half-up")
    assert answered(probe, "every unit hands on the whole sum, or one that wraps and comes back") == whole
    for count in (2, 3, 4):
        narrow, wide = [], []
        for parts in np.stack([part.sum(axis=0) for part in np.array_split(products, count)], axis=1).tolist():
            small = large = 0
            for part in parts:
                small, large = held(small + held(part, 16), 16), held(large + part, 24)
            narrow.append(Fraction(small, 2**8))
            wide.append(Fraction(held(large, 16), 2**8))
        assert answered(probe, f"{count} parts, each narrowed to 16 bits") == codes_of(narrow, "half-up")
        found = answered(probe, f"{count} units, sums saturate at 24 bits between them")
        assert found == codes_of(wide, "half-up") != whole


def test_a_table_of_256_codes() -> None:
    probe = ALL["activation"]
    scale = float(np.float32(0.047))
    reals = [Fraction(256 / (1 + math.exp(-scale * (code - 7)))) for code in flat(probe, "x")]
    nearest, cut = probe.answers().values()
    assert nearest.reshape(-1).tolist() == codes_of(reals, "half-away", -128)
    assert cut.reshape(-1).tolist() == codes_of(reals, "floor", -128)


def parts_of(probe: Probe, axis: int, count: int) -> np.ndarray:
    """The sums of each part at each position: (parts, 64)."""
    tensors = probe.model.program().tensors
    w, x = tensors["w_codes"].const.astype(int)[0], probe.codes["x"].astype(int)[0]
    found = []
    for row, column in np.ndindex(8, 8):
        products = x[:, row : row + 11, column : column + 11] * w
        found.append([int(part.sum()) for part in np.array_split(products, count, axis=axis)])
    return np.array(found).T


@pytest.mark.parametrize("what", list(SPLIT_AXES))
@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_large_kernel_in_parts(what: str, count: int) -> None:
    """Each part is held in 16 bits, and each partial total; one unit of y is 2^8 of the sum."""
    probe = ALL["large_kernel"]
    parts = parts_of(probe, SPLIT_AXES[what], count)
    wanted = []
    for sums in parts.T.tolist():
        total = 0
        for part in sums:
            total = held(total + held(part, 16), 16)
        wanted.append(Fraction(total, 2**8))
    assert answered(probe, f"split in {count} by {what}") == codes_of(wanted, "half-up")
    inside = np.abs(parts.sum(axis=0)) < 2**15
    assert (np.abs(parts[:, inside]) > 2**15).any()  # "the sums of parts pass 16 bits where their total does not"


def test_a_large_kernel_that_is_not_split() -> None:
    probe = ALL["large_kernel"]
    totals = parts_of(probe, 0, 1)[0].tolist()
    once = codes_of([Fraction(total, 2**8) for total in totals], "half-even")
    assert answered(probe, "not split, one stage") == once
    narrow = codes_of([Fraction(held(total, 16), 2**8) for total in totals], "half-up")
    assert answered(probe, "not split, 16 bits between two stages") == narrow
    splits = {text: codes.tobytes() for text, codes in probe.answers().items() if text.startswith("split")}
    assert len(set(splits.values())) == len(splits) == 9


# -- inputs that tell, answers that are read ---------------------------------------------------------------------------
def test_inputs_that_tell_are_chosen_whatever_else_is(rng: np.random.Generator) -> None:
    """Of 5,000 inputs two tell the hypotheses apart, each of them another pair."""
    answers = [np.zeros(5000, np.int8) for _ in range(3)]
    at = rng.choice(5000, 2, replace=False)
    answers[1][at[0]] = 1
    answers[2][at[1]] = 1
    chosen = telling(answers, 20, rng)
    assert len(chosen) == 20 and set(at) <= set(chosen.tolist())


def test_what_remains_and_what_is_nearest() -> None:
    probe = ALL["first_tie"]
    answers = probe.answers()
    codes = answers["half-up"].copy()
    found = answer_of(probe, codes)
    assert found.remaining == ("half-up",) and found.nearest == ("half-up", 0) and found.fits
    codes.reshape(-1)[:3] += 1
    found = answer_of(probe, codes)
    assert found.remaining == () and found.nearest == ("half-up", 3) and found.fits
    kernel = ALL["large_kernel"]
    split = answer_of(kernel, kernel.answers()["split in 2 by kernel rows"])
    assert split.remaining == ("split in 2 by kernel rows",) and not split.fits  # no profile's rule does that


def test_an_answer_that_a_rule_gives_too_may_be_fitted() -> None:
    """Of two hypotheses that remain one has a rule, the other is the same answer without one."""
    second = ALL["second_tie"]
    rule = second.hypotheses[0].rule
    both = (Hypothesis("by a rule", rule), Hypothesis("by hand", answer=lambda found: found.codes(rule)))
    probe = replace(second, hypotheses=both)
    found = answer_of(probe, probe.answers()["by a rule"])
    assert found.remaining == ("by a rule", "by hand") and found.fits
    assert not answer_of(replace(second, hypotheses=both[1:]), found.codes).fits


def test_a_sum_rounded_twice_shows() -> None:
    """0.29 = 0.58 / 2: the product by 0.58 is rounded half up, and its half once more."""
    probe = ALL["roundings"]
    ratio = Fraction(float(np.float32(2.0**-4))) * Fraction(float(np.float32(2.0**-6)))
    ratio /= Fraction(float(np.float32(2.0**-10 / 0.29)))
    values = [x * ratio for x in flat(probe, "x")]
    once = answered(probe, next(text for text in probe.answers() if text.startswith("once")))
    assert once == codes_of(values, "half-up") == codes_of(values, "half-even")  # no sum is a tie
    first = [math.floor(2 * value + Fraction(1, 2)) for value in values]
    for text in (text for text in probe.answers() if text.startswith("twice")):
        tie = text.removeprefix("twice, ").split(" ")[0]
        assert answered(probe, text) == codes_of([Fraction(value, 2) for value in first], tie), text
    every = list(probe.answers().values())
    assert all((a != b).any() for at, a in enumerate(every) for b in every[:at])


def test_averages_without_a_rescale() -> None:
    probe = ALL["average_49"]
    means = [Fraction(int(total), 49) for total in probe.codes["x"][0].astype(int).sum(axis=(1, 2))]
    raw = [text for text in probe.answers() if text.startswith("raw codes")]
    assert answered(probe, raw[0]) == codes_of(means, "half-away") and answered(probe, raw[1]) == codes_of(
        means, "truncate"
    )
    probe = ALL["average_raw"]
    means = [Fraction(int(total), 4) for total in probe.codes["x"][0].astype(int).sum(axis=(1, 2))]
    assert sum(mean.denominator == 2 for mean in means) > 60 and min(means) == -128 and max(means) == 127
    for tie in ROUNDINGS:
        assert answered(probe, f"the sum of raw codes by their number, {tie}") == codes_of(means, tie)


def test_an_addition_of_three_rescalings() -> None:
    """gemmlowp rounds the sum of two halves, which are exact, half up in the multiplication and away from zero in the
    shift; the zero point comes behind it."""
    probe = ALL["add_tie"]
    text = next(text for text in probe.answers() if text.startswith("three rescalings"))
    pairs = list(zip(flat(probe, "a"), flat(probe, "b"), strict=True))
    assert answered(probe, text) == codes_of([Fraction(a + b, 2) for a, b in pairs], "half-away", 3)
