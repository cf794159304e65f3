"""fit: recover the free choices of an arithmetic from a device's codes, as a profile that can be run.

For each operator, every rule of its family computes the codes of all layers; the rules that give every code remain.
Where no rule does, Neural-ART's numbers are solved for layer by layer. A rule that leaves a single code unexplained is
never taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from qdqnp.diagnosis.identify.distinguish import Search, Searches
from qdqnp.diagnosis.identify.evidence import Evidence
from qdqnp.diagnosis.identify.families import NAMED, candidates, describe, names_of
from qdqnp.diagnosis.identify.fit_narrow import NarrowFit, fit_narrow
from qdqnp.diagnosis.identify.observations import Dumped, Observed, evidence, sort_dump
from qdqnp.errors import InputError, Problem, ProfileError
from qdqnp.model import Model
from qdqnp.numerics.profile import RULES, Profile
from qdqnp.numerics.questions import Sums
from qdqnp.numerics.status import INFERRED

# FEW: elements of each layer that are compared before all. SEARCHED_LAYERS: layers that Searches covers.
FEW, SEARCHED_LAYERS = 512, 4


@dataclass(frozen=True)
class NamedRule:
    """An arithmetic in words, with the named profiles that have it."""

    text: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class RuleSplit:
    """Two arithmetics that both give every code, and an input on which they would differ."""

    one: NamedRule
    other: NamedRule
    search: Search


@dataclass
class Fit:
    """The fit of one field of a profile."""

    #: The field's name.
    name: str
    #: Labels of the layers that the fit rests on.
    layers: list[str]
    #: Number of the device's codes on these layers.
    elements: int
    #: The rule that was taken; None where no rule gives every code.
    chosen: Any = None
    #: All rules that give every code.
    fitting: list[Any] = field(default_factory=list)
    #: These rules in words. Rules that agree on everything that the searched layers can meet are in one group, and the
    #: chosen rule's group is the first.
    groups: list[list[NamedRule]] = field(default_factory=list)
    #: What would tell each other group from the first.
    splits: list[RuleSplit] = field(default_factory=list)
    #: Neural-ART's numbers, where they were solved for.
    narrow: NarrowFit | None = None
    #: Where no rule fits, the rule with the fewest mismatches, and their number.
    nearest: tuple[NamedRule, int] | None = None

    @property
    def text(self) -> str:
        return describe(self.chosen) if self.chosen is not None else ""

    def as_json(self) -> dict[str, Any]:
        found = {"name": self.name, "layers": self.layers, "elements": self.elements, "rule": self.text}
        groups = [[asdict(rule) for rule in group] for group in self.groups]
        nearest = {"rule": asdict(self.nearest[0]), "differing": self.nearest[1]} if self.nearest else None
        splits = [asdict(split) for split in self.splits]
        narrow = self.narrow.as_json() if self.narrow is not None else None
        return {**found, "groups": groups, "splits": splits, "numbers": narrow, "nearest": nearest}


@dataclass(frozen=True)
class Fitted:
    """A profile that was fitted to a device."""

    #: The base profile with every fitted rule.
    profile: Profile
    #: Name of the named profile that the fit starts from.
    base: str
    #: The fit of each field that the dump shows.
    fits: list[Fit]
    #: Fields that no layer of the dump uses; their rules are the base's.
    unseen: list[str]

    @property
    def unfitted(self) -> list[str]:
        """List the fields that the dump shows but that no rule fits."""
        return [fit.name for fit in self.fits if fit.chosen is None]

    def as_json(self) -> dict[str, Any]:
        fits = [fit.as_json() for fit in self.fits]
        return {"base": self.base, "fits": fits, "unfitted": self.unfitted, "unseen": self.unseen}


def fit(model: Model, runs: Sequence[Observed], name: str = "fitted") -> Fitted:
    """Fit every operator of a dump. Raises InputError where no layer was dumped together with its inputs."""
    return fit_all([sort_dump(model, runs)], name)


def fit_all(devices: Sequence[Dumped], name: str = "fitted") -> Fitted:
    """Fit every operator of the dumps that one device gave for several models. Raises InputError as `fit` does."""
    found: dict[str, list[Evidence]] = {}
    for dumped in devices:
        for target in dumped.judged:
            for one in evidence(dumped, target):
                found.setdefault(one.field, []).append(one)
    if not found:
        raise InputError("nothing to fit", [Problem("dump", "a layer together with its inputs", "none")])
    fits = [fit_field(key, ones) for key, ones in found.items()]
    base = _base(fits)
    for made in fits:
        if made.fitting:
            made.chosen = min(made.fitting, key=lambda rule: _strangeness(rule, made.name, base, fits))
            _group(made, found[made.name])
    rules: dict[str, Any] = {f.name: replace(f.chosen, status=INFERRED) for f in fits if f.chosen is not None}
    changed = {key: rule for key, rule in rules.items() if not _equal(rule, getattr(base, key))}
    profile = replace(
        base,
        name=name,
        summary=f"fitted to a device's codes, from {base.name}",
        status=INFERRED,
        source="qdqnp identify --fit",
        **changed,
    )
    unseen = [key for key in RULES if key not in found]
    return Fitted(profile, base.name, fits, unseen)


def _base(fits: Sequence[Fit]) -> Profile:
    """Choose the named profile whose rules fit the most fields; among equals, the one whose rules are of the fitting
    class in the most fields; then the first."""

    def score(profile: Profile) -> tuple[int, int]:
        own = [(getattr(profile, fit.name), fit.fitting or [fit.chosen]) for fit in fits]
        same = sum(any(_equal(rule, other) for other in fitting) for rule, fitting in own)
        return same, sum(any(type(rule) is type(other) for other in fitting) for rule, fitting in own)

    return max(NAMED, key=score)


def _equal(rule: Any, other: Any) -> bool:
    """Return whether two rules are one arithmetic, regardless of their status."""
    return type(rule) is type(other) and replace(rule, status=INFERRED) == replace(other, status=INFERRED)


def _strangeness(rule: Any, name: str, base: Profile, fits: Sequence[Fit]) -> tuple[bool, bool, bool]:
    """Rate how little a rule matches the rest of the device. Of several rules that fit, the least strange is taken."""
    own = getattr(base, name)
    sums = ("conv", "matmul", "gemm")
    alone = [other for other in fits if other.name in sums and other.name != name]
    shared = name in sums and any(_equal(rule, one) for other in alone for one in other.fitting)
    return not _equal(rule, own), type(rule) is not type(own), not shared


def fit_field(key: str, found: Sequence[Evidence]) -> Fit:
    """Find the rules of one field that give every code of all its layers."""
    made = Fit(key, list(dict.fromkeys(one.label for one in found)), sum(one.device.size for one in found))
    rules = candidates(key)
    few, whole = [one.part(slice(0, FEW)) for one in found], [one.distinct() for one in found]
    made.fitting = [rule for rule in rules if _gives(rule, few) and _gives(rule, whole)]
    if made.fitting:
        made.chosen = made.fitting[0]
    elif all(isinstance(one.question, Sums) and not one.question.by_row for one in found):
        made.narrow = fit_narrow(whole)
        made.chosen = made.narrow.rule if made.narrow is not None else None
    if made.chosen is None:
        made.nearest = _nearest(key, rules, found)
    return made


def _gives(rule: Any, found: Sequence[Evidence]) -> bool:
    """Return whether a rule gives every code."""
    return all(_mismatches(rule, one) == 0 for one in found)


def _mismatches(rule: Any, one: Evidence) -> int:
    try:
        return int(np.count_nonzero(one.codes(rule) != one.device))
    except ProfileError:  # outside the rule's domain: it can give none of them
        return one.device.size


def _nearest(key: str, rules: Sequence[Any], found: Sequence[Evidence]) -> tuple[NamedRule, int]:
    few = [one.part(slice(0, FEW)) for one in found]
    best = min(rules, key=lambda rule: sum(_mismatches(rule, one) for one in few))
    return _rule(key, best), sum(_mismatches(best, one) for one in found)


def _rule(key: str, rule: Any) -> NamedRule:
    return NamedRule(describe(rule), tuple(names_of(key, rule)))


def _group(made: Fit, found: Sequence[Evidence]) -> None:
    """Group the rules that agree on everything, the chosen one first, and find what would tell the other groups from
    it."""
    searches = Searches(found, SEARCHED_LAYERS)
    ordered = [made.chosen, *(rule for rule in made.fitting if rule is not made.chosen)]
    groups = searches.groups(ordered, proven=False)
    made.groups = [[_rule(made.name, rule) for rule in group] for group in groups]
    made.splits = [
        RuleSplit(made.groups[0][0], made.groups[index][0], searches.split(groups[0][0], groups[index][0]))
        for index in range(1, len(groups))
    ]
