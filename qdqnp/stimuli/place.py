"""Turn the sums of single output elements into whole inputs of the layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.quant import Codes
from qdqnp.stimuli.goals import Goal
from qdqnp.stimuli.sums import Place, SummingLayer


@dataclass(frozen=True)
class Placed:
    """A target and the output element that it became."""

    #: The target.
    target: Goal
    #: Index of the element with channels last, channel included.
    index: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Sheet:
    """One input of the layer."""

    #: The input's codes.
    codes: Codes
    #: The targets that the input meets.
    placed: list[Placed]


def sheets(sums: SummingLayer, targets: Sequence[Goal]) -> list[Sheet]:
    """Make inputs that meet all targets, as few as simple bookkeeping allows. Input elements that no target needs are
    at the zero point.

    Channels of different groups read different inputs, so they share an output position. Channels of one group take
    positions whose windows do not overlap, and the next sheet when these are used up.
    """
    made: dict[tuple[int, int], Sheet] = {}
    used: dict[tuple[int, int], int] = {}
    for target in targets:
        site = sums.site_for(target.channel, target.total)
        if site is None:
            raise ValueError(f"no inputs have the sum {target.total} in channel {target.channel}")
        group = int(sums.group_of[target.channel])
        number = used.get((site, group), 0)
        used[site, group] = number + 1
        sheet, spot = divmod(number, len(sums.sites[site]))
        if (site, sheet) not in made:
            made[site, sheet] = Sheet(np.full(sums.shape, sums.zero, sums.quant.dtype), [])
        place = sums.sites[site][spot]
        _write(made[site, sheet].codes, sums, target, site, place)
        made[site, sheet].placed.append(Placed(target, (*place.index, target.channel)))
    return [made[key] for key in sorted(made)]


def _write(codes: Codes, sums: SummingLayer, target: Goal, site: int, place: Place) -> None:
    inside = place.taps >= 0
    at = place.taps[inside] + int(sums.group_of[target.channel]) * sums.group_stride
    codes.reshape(-1)[at] = sums.reach(target.channel, site).inputs_for(target.total) + sums.zero
