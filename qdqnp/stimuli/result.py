"""What a call gives back: inputs, what each of them met, and what was proven."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qdqnp.quant import Array
from qdqnp.stimuli.coverage import Coverage
from qdqnp.stimuli.goals import Verdict
from qdqnp.stimuli.place import Placed

PATTERN, RANDOM, EXACT, EXHAUSTIVE, SEARCH = "pattern", "random", "exact", "exhaustive", "search"
ROUNDING, REAL_VALUE = "the roundings of the profile's stages", "the exact real value"


@dataclass(frozen=True, eq=False)
class Stimulus:
    """One input and what it met.

    kind: which pattern or construction. method: 'pattern', 'random', 'exact' (constructed; its targets were checked by
    running it), 'exhaustive' (part of a set that shows the layer everything) or 'search' (the best that was found).
    inputs: arrays by tensor name. coverage: by layer label. placed: the output elements that it was constructed for.
    differing: output elements on which the two profiles to tell apart differ; None where there are none.
    """

    kind: str
    method: str
    inputs: Mapping[str, Array]
    coverage: Mapping[str, Coverage]
    placed: Sequence[Placed] = ()
    differing: int | None = None


@dataclass(frozen=True, eq=False)
class StimulusSet:
    """model: that the inputs are for: one layer as a model of its own, or the network. label, op: of the layer, '' for
    a network. against: the two profiles to tell apart, if any. bias: of a layer that sums, one value or one for each
    channel. bound: its proven least and greatest accumulator. ties_of: what decides in the coverage whether an output
    is a tie or saturated."""

    profile: str
    label: str
    op: str
    stimuli: Sequence[Stimulus]
    verdicts: Sequence[Verdict] = ()
    model: bytes = b""
    against: tuple[str, ...] = ()
    seed: int = 0
    bias: Sequence[int] = ()
    bound: tuple[int, int] | None = None
    ties_of: str = ""


def by_layer(stimuli: Sequence[Stimulus]) -> dict[str, Coverage]:
    """The coverage of all of them together, by layer."""
    total: dict[str, Coverage] = {}
    for stimulus in stimuli:
        for label, coverage in stimulus.coverage.items():
            total[label] = total[label].plus(coverage) if label in total else coverage
    return total
