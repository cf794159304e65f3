"""What a call returns: the inputs, what each of them met, and what was proven."""

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
    """One input and what it met."""

    #: Which pattern or construction it is.
    kind: str
    #: 'pattern', 'random', 'exact' (constructed; its targets were checked by running it), 'exhaustive' (part of a set
    #: that shows the layer everything) or 'search' (the best that was found).
    method: str
    #: Arrays by tensor name.
    inputs: Mapping[str, Array]
    #: What was met, by layer label.
    coverage: Mapping[str, Coverage]
    #: The output elements that the input was constructed for.
    placed: Sequence[Placed] = ()
    #: Number of output elements on which the two profiles to tell apart differ; None without such profiles.
    differing: int | None = None


@dataclass(frozen=True, eq=False)
class StimulusSet:
    """The stimuli for one layer or one network."""

    #: Name of the profile.
    profile: str
    #: The layer's label, '' for a network.
    label: str
    #: The layer's operator, '' for a network.
    op: str
    #: The stimuli, in the order of the set's cases.
    stimuli: Sequence[Stimulus]
    #: What was proven for each goal.
    verdicts: Sequence[Verdict] = ()
    #: The model that the inputs are for: one layer as a model of its own; empty for a network.
    model: bytes = b""
    #: Names of the two profiles to tell apart; empty without such profiles.
    against: tuple[str, ...] = ()
    #: Seed of the random inputs.
    seed: int = 0
    #: The bias of a layer that sums, one value or one for each channel.
    bias: Sequence[int] = ()
    #: The proven least and greatest accumulator.
    bound: tuple[int, int] | None = None
    #: What decides in the coverage whether an output is a tie or saturated.
    ties_of: str = ""
    #: The labels of the network's layers that a host computes in float32.
    on_host: tuple[str, ...] = ()


def by_layer(stimuli: Sequence[Stimulus]) -> dict[str, Coverage]:
    """Return the combined coverage of all stimuli, by layer."""
    total: dict[str, Coverage] = {}
    for stimulus in stimuli:
        for label, coverage in stimulus.coverage.items():
            total[label] = total[label].plus(coverage) if label in total else coverage
    return total
