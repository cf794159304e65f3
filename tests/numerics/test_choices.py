"""Choices: what a field declares, TOML, neighbours and `fit` know; a rule of the test's own is one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from qdqnp.diagnosis.identify.families import candidates
from qdqnp.errors import ProfileError
from qdqnp.numerics import rule as registry
from qdqnp.numerics.choices import choice, neighbours, resolved, variants
from qdqnp.numerics.profile_toml import from_toml
from qdqnp.numerics.profile_writer import to_toml
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rounding import ROUNDINGS, Quotient
from qdqnp.numerics.rule import Rule
from qdqnp.numerics.rules.add import AlignedAdd
from qdqnp.numerics.rules.average import ReciprocalAverage
from qdqnp.numerics.rules.requantize.float_round import FloatRound
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine
from qdqnp.numerics.status import INFERRED, STATUSES
from qdqnp.numerics.values import BoundRule, StageValue, clipped
from qdqnp.quant import Codes, Quant


@dataclass(frozen=True)
class HalvedAdd(Rule):
    """A device of the test's own: half the sum of the raw codes."""

    tie: str = choice("floor", of=ROUNDINGS, kind="tie rule")
    status: str = choice(INFERRED, of=STATUSES)

    def bind(self, a: Quant, b: Quant, y: Quant) -> Halved:
        return Halved(self, y)


@dataclass(frozen=True, eq=False)
class Halved(BoundRule):
    rule: HalvedAdd
    y: Quant

    def stages(self, a: Codes, b: Codes) -> list[StageValue]:
        half = Quotient(a.astype(np.int64) + b, 1)
        return clipped(half.rounded(self.rule.tie), self.y, half.exact)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The rule as if it had been defined with family='add', for one test."""
    monkeypatch.setitem(registry._FAMILIES, "add", [*registry._FAMILIES["add"], HalvedAdd])
    yield


def test_a_rule_of_a_test_is_a_kind_in_toml(registered: None) -> None:
    mine = from_toml('base = "tflite"\n[add]\nkind = "halved-add"\ntie = "truncate"', "mine")
    assert mine.add == HalvedAdd("truncate") and from_toml(to_toml(mine), "again") == mine
    with pytest.raises(ProfileError, match=r"add\.tie: expected one of half-up, .*, got \"up\""):
        from_toml('base = "tflite"\n[add]\nkind = "halved-add"\ntie = "up"', "mine")


def test_a_rule_of_a_test_is_searched_and_has_neighbours(registered: None) -> None:
    assert {rule.tie for rule in candidates("add") if isinstance(rule, HalvedAdd)} == set(ROUNDINGS)
    found = {(near.kind, near.text, near.rule) for near in neighbours(HalvedAdd())}
    assert found == {("tie rule", f"tie {tie}", HalvedAdd(tie)) for tie in ROUNDINGS if tie != "floor"}


def test_a_rule_that_is_not_registered_is_unknown() -> None:
    assert not any(isinstance(rule, HalvedAdd) for rule in candidates("add"))
    with pytest.raises(ProfileError, match="halved-add"):
        from_toml('base = "tflite"\n[add]\nkind = "halved-add"', "mine")


def test_a_family_keyword_registers() -> None:
    class Mine(Rule, family="only in this test"):
        pass

    assert registry.kinds("only in this test") == (Mine,)


def test_neighbours_differ_in_one_choice_and_are_found_inside() -> None:
    rule = ReciprocalAverage(PROFILES["neural-art-1.1.3"].global_average_pool, "half-up")
    found = [near.rule for near in neighbours(rule)]
    others = [tie for tie in ROUNDINGS if tie != "half-up"]
    assert found == [replace(rule, tie=tie) for tie in others] + [
        replace(rule, mean=replace(rule.mean, tie=tie)) for tie in others
    ]


def test_the_last_stage_comes_first() -> None:
    texts = [near.text for near in neighbours(PROFILES["tflite"].conv) if near.kind == "tie rule"]
    assert texts[0].startswith("ShiftRight") and texts[-1].startswith("MultiplyHigh") and len(texts) == 8


def test_a_choice_that_follows_another_changes_with_it_and_without_it() -> None:
    rule = NarrowThenAffine("half-up")
    found = {near.text: near.rule for near in neighbours(rule)}
    assert found["first rounding floor"] == NarrowThenAffine("half-up", first_tie="floor")
    assert found["second rounding floor"] == NarrowThenAffine("floor", first_tie="half-up")
    assert found["both roundings floor"] == NarrowThenAffine("floor")
    assert found["accumulator wrap-24"] == NarrowThenAffine("half-up", "wrap-24")
    assert resolved(rule, "first_tie") == "half-up"


def test_float_round_has_its_ties_among_its_neighbours() -> None:
    rule = FloatRound("float32", "float32", "half-even")
    found = {(near.kind, near.text): near.rule for near in neighbours(rule)}
    assert found["tie rule", "half-away"] == replace(rule, ties_to="half-away")


def test_variants_are_every_combination_once() -> None:
    assert len(set(variants(AlignedAdd))) == len(list(variants(AlignedAdd))) == len(ROUNDINGS) ** 2
    narrow = list(variants(NarrowThenAffine))
    assert len(set(narrow)) == len(narrow) == 3 * 5 * 5  # a first rounding that is said twice is one
    assert narrow[0] == NarrowThenAffine("half-up")
