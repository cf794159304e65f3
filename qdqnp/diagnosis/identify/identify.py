"""identify: find out which arithmetic a device uses. Each layer, fed the device's own inputs, is run under every
profile."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from qdqnp.diagnosis.identify.distinguish import Search, Searches
from qdqnp.diagnosis.identify.families import describe
from qdqnp.diagnosis.identify.layers import Layers
from qdqnp.diagnosis.identify.observations import REFERENCE, Dumped, JudgedTensor, Observed, evidence, sort_dump
from qdqnp.diagnosis.tally import Tally, compared
from qdqnp.errors import QdqnpError
from qdqnp.model import Model
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import PROFILES
from qdqnp.ops.registry import rule_of
from qdqnp.quant import Array

Operators = tuple[str, ...]


@dataclass
class Standing:
    """Profiles that gave equal codes on all the data of one operator."""

    #: The names of the profiles.
    profiles: list[str]
    #: These profiles' codes against the device's. Where dtype or shape differ from the device's, every element differs.
    tally: Tally = field(default_factory=Tally)

    def add(self, codes: Array, device: Array) -> None:
        found = compared(codes, device)
        self.tally.include(Tally(device.size, device.size) if found.note else found)

    def as_json(self) -> dict[str, Any]:
        return {"profiles": self.profiles, **self.tally.as_json("elements", "differing", "largest")}


@dataclass(frozen=True)
class ProfileSplit:
    """Two arithmetics that give equal codes on the dump, and an input on which they would differ."""

    #: Names of the profiles that have the first arithmetic.
    one: list[str]
    #: Names of the profiles that have the second.
    other: list[str]
    #: The search for such an input.
    search: Search


@dataclass
class OperatorVerdict:
    """The result for all layers of one operator, or of one run of operators where the tensors between them are
    missing."""

    #: The operator or operators.
    operators: Operators
    #: The dumped tensors that they made.
    tensors: list[str]
    #: The profiles, nearest to the device first.
    standings: list[Standing]
    #: The profiles without arithmetic for these operators, and why.
    undefined: dict[str, str] = field(default_factory=dict)
    #: The first standing's arithmetic in words; '' where its profiles have several.
    rule: str = ""
    #: Groups of the first standing's profiles that agree on everything that these layers can meet.
    inseparable: list[list[str]] = field(default_factory=list)
    #: What would tell the others of these profiles apart.
    splits: list[ProfileSplit] = field(default_factory=list)

    @property
    def name(self) -> str:
        return " > ".join(self.operators)

    @property
    def matched(self) -> list[str]:
        """List the profiles that give every code of the device; empty where no profile does."""
        return self.standings[0].profiles if self.standings and self.standings[0].tally.equal else []

    def as_json(self) -> dict[str, Any]:
        plain = ("matched", "operators", "tensors", "undefined", "rule", "inseparable")
        return {
            "operator": self.name,
            **{key: getattr(self, key) for key in plain},
            "standings": [standing.as_json() for standing in self.standings],
            "splits": [asdict(split) for split in self.splits],
        }


@dataclass
class IdentifyReport:
    """The verdicts on all operators of a dump."""

    #: One verdict for each operator or run of operators.
    verdicts: list[OperatorVerdict]
    #: Tensors that no profile decides (MaxPool, Flatten) but that differ, each with its number of differing elements:
    #: the dump or its mapping is wrong there.
    moved: dict[str, int]
    #: Tensors that the program does not make.
    unknown: tuple[str, ...]
    #: Tensors whose inputs are not known.
    unreachable: tuple[str, ...]
    #: Number of runs of the dump.
    runs: int

    @property
    def everywhere(self) -> list[str]:
        """List the profiles that give every code of every operator in the dump."""
        return [name for name in self._names() if all(name in verdict.matched for verdict in self.verdicts)]

    def _names(self) -> list[str]:
        return self.verdicts[0].matched if self.verdicts else []

    def as_json(self) -> dict[str, Any]:
        rest = {key: getattr(self, key) for key in ("moved", "unknown", "unreachable", "runs", "everywhere")}
        return {"operators": [verdict.as_json() for verdict in self.verdicts], **rest}


def identify(model: Model, runs: Sequence[Observed], profiles: Iterable[Profile] = PROFILES.values()) -> IdentifyReport:
    """Rank the profiles for each operator by how many of the device's codes they do not give.

        model: the model that the device ran.
        runs: the device's runs.
        profiles: the profiles to rank.

    Raises InputError where a dumped tensor does not fit the model, or where the dump has nothing that can be judged.

    >>> import numpy as np
    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
    >>> from qdqnp.diagnosis.identify.observations import Observed
    >>> x = {"input": np.random.default_rng(0).standard_normal((1, 3, 32, 32), np.float32)}
    >>> device = model.trace(x, profile="tflite")
    >>> identify(model, [Observed(x, device)]).everywhere
    ['tflite', 'tflm', 'tflm-2026-08', 'cmsis-nn', 'tosa-double']
    """
    return identify_all([sort_dump(model, runs)], profiles)


def identify_all(devices: Sequence[Dumped], profiles: Iterable[Profile] = PROFILES.values()) -> IdentifyReport:
    """Rank the profiles as `identify` does, for the dumps that one device gave for several models."""
    listed = list(profiles)
    answers = [_Answers(profile, devices) for profile in listed]
    kinds = dict.fromkeys(target.operators for dumped in devices for target in dumped.judged)
    verdicts = [_verdict(kind, devices, answers) for kind in kinds]
    for verdict in verdicts:
        _add_rules(verdict, devices, listed)
    moved = {
        target.tensor: count
        for dumped in devices
        for target in dumped.moved
        if (count := _differing(dumped.reference, target))
    }
    unknown = tuple(name for dumped in devices for name in dumped.unknown)
    unreachable = tuple(name for dumped in devices for name in dumped.unreachable)
    return IdentifyReport(verdicts, moved, unknown, unreachable, sum(dumped.runs for dumped in devices))


def _differing(reference: Layers, target: JudgedTensor) -> int:
    found = [compared(reference.replay(target.tensor, known), codes) for known, codes in target.cases]
    return sum(count.differing or bool(count.note) for count in found)


class _Answers:
    """One profile's codes for every target."""

    def __init__(self, profile: Profile, devices: Sequence[Dumped]) -> None:
        self.name = profile.name
        self.standings: dict[Operators, Standing] = {}
        self.digests: dict[Operators, Any] = {}
        self.undefined: dict[Operators, str] = {}
        for dumped in devices:
            layers = Layers(dumped.model, profile)
            for target in dumped.judged:
                if target.operators not in self.undefined:
                    self._add(layers, target)

    def _add(self, layers: Layers, target: JudgedTensor) -> None:
        standing = self.standings.setdefault(target.operators, Standing([self.name]))
        digest = self.digests.setdefault(target.operators, hashlib.blake2b())
        for known, device in target.cases:
            try:
                codes = layers.replay(target.tensor, known)
            except QdqnpError as error:
                self.undefined[target.operators] = error.problems[0].got if error.problems else error.title
                return
            standing.add(codes, device)
            digest.update(np.ascontiguousarray(codes).tobytes())


def _verdict(kind: Operators, devices: Sequence[Dumped], answers: Sequence[_Answers]) -> OperatorVerdict:
    """Group the profiles of equal codes, the nearest to the device first."""
    classes: dict[bytes, Standing] = {}
    for answer in answers:
        if kind in answer.undefined:
            continue
        key = answer.digests[kind].digest()
        if key in classes:
            classes[key].profiles.append(answer.name)
        else:
            classes[key] = answer.standings[kind]
    tensors = [target.tensor for dumped in devices for target in dumped.judged if target.operators == kind]
    standings = sorted(classes.values(), key=lambda standing: (standing.tally.differing, standing.tally.largest))
    undefined = {answer.name: answer.undefined[kind] for answer in answers if kind in answer.undefined}
    return OperatorVerdict(kind, tensors, standings, undefined)


def _add_rules(verdict: OperatorVerdict, devices: Sequence[Dumped], profiles: Sequence[Profile]) -> None:
    """Add the rules of the first standing to the verdict, and what would tell the different ones apart."""
    if len(verdict.operators) != 1 or not verdict.standings:
        return
    own = [(dumped, t) for dumped in devices for t in dumped.judged if t.operators == verdict.operators]
    found = [one for dumped, target in own for one in evidence(dumped, target)]
    # an average pool over the whole image asks for a global average: the question says which rule answered
    fields = {one.field for one in found} or {rule_of(verdict.operators[0])}
    if len(fields) > 1:
        return
    (field_name,) = fields
    names = verdict.standings[0].profiles
    by_rule: dict[Any, list[str]] = {}
    for profile in profiles:
        # another lowering may round at other places: the rule alone does not say what the profile computes
        if profile.name in names and profile.lowers_like(REFERENCE):
            by_rule.setdefault(getattr(profile, field_name), []).append(profile.name)
    searches = Searches(found)
    groups = searches.groups(by_rule)
    verdict.rule = describe(groups[0][0]) if len(groups) == 1 else ""
    named = [[name for rule in group for name in by_rule[rule]] for group in groups]
    verdict.inseparable = [names for names in named if len(names) > 1]
    verdict.splits = [
        ProfileSplit(named[i], named[j], searches.split(groups[i][0], groups[j][0]))
        for i, j in combinations(range(len(groups)), 2)
    ]
