"""The report of `diff --prove`: a claim for each layer and profile, and a bound for each output of the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qdqnp.diagnosis.proof.claim import DIFFERS, NEVER, NOT_PROVEN, Claim


@dataclass(frozen=True, eq=False)
class ProofRow:
    """One layer."""

    #: The name of the tensor that the layer makes.
    name: str
    label: str
    op: str
    #: A claim for each profile after the first.
    claims: tuple[Claim, ...]
    #: For each of them, how far the tensor can be apart at most where each profile computes the whole network; None
    #: where nothing is known.
    bounds: tuple[int | None, ...]
    #: Status of each profile's rule for the layer, the first profile's too: 'established', 'inferred' or ''.
    statuses: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        those = zip(self.statuses[1:], self.claims, self.bounds, strict=True)
        profiles = [{"status": status, **claim.as_json(), "bound": bound} for status, claim, bound in those]
        return {"name": self.name, "label": self.label, "op": self.op, "profiles": profiles}


@dataclass(frozen=True)
class OutputBound:
    """How far an output of the network can be apart under one profile and the first, for any input of the network."""

    #: The tensor of codes that the bound is about: the output, or what its DequantizeLinear reads.
    codes: str
    #: No two codes are further apart; None where nothing is known.
    lsb: int | None
    #: The bound of the real values, where the output is real; None where it holds codes, or nothing is known.
    real: float | None = None


@dataclass(frozen=True)
class Total:
    """The claims about all layers of a network under one profile."""

    #: Numbers of layers.
    never: int
    differs: int
    not_proven: int
    #: The largest difference of any layer of which it is proven.
    largest: int
    #: Sums, pairs and codes over all layers of which it is proven.
    reachable: int
    differing: int

    @classmethod
    def of(cls, claims: Sequence[Claim]) -> Total:
        never, differs, unknown = (sum(c.verdict == v for c in claims) for v in (NEVER, DIFFERS, NOT_PROVEN))
        largest = max((claim.largest or 0 for claim in claims), default=0)
        return cls(never, differs, unknown, largest, sum(c.reachable for c in claims), sum(c.differing for c in claims))


@dataclass(frozen=True, eq=False)
class ProofReport:
    """What is proven of a model under two or more profiles, each against the first."""

    #: The names of the profiles as they were asked for, and their statuses.
    profiles: tuple[str, ...]
    statuses: tuple[str, ...]
    #: A row for each tensor that a layer makes.
    rows: tuple[ProofRow, ...]
    #: For each output of the network by name, a bound for each profile after the first.
    outputs: dict[str, tuple[OutputBound, ...]]

    def total(self, profile: int) -> Total:
        """Count the layers of one profile after the first by what is claimed of them."""
        return Total.of([row.claims[profile - 1] for row in self.rows])

    def as_json(self) -> dict[str, Any]:
        named = [{"name": n, "status": s} for n, s in zip(self.profiles, self.statuses, strict=True)]
        outputs = [
            {"name": name, "profiles": [dict(vars(bound)) for bound in bounds]} for name, bounds in self.outputs.items()
        ]
        totals = [dict(vars(self.total(index))) for index in range(1, len(self.profiles))]
        layers = [row.as_json() for row in self.rows]
        return {"profiles": named, "layers": layers, "totals": totals, "outputs": outputs}
