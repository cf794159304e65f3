"""Find what one layer that sums can be driven to, channel by channel: a sum for each goal, or why it does not exist.

Everything here is about sums before the bias; `place` turns them into inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from qdqnp.errors import ProfileError
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.quant import Array, Int64, Signs
from qdqnp.stimuli.scan import Found, Marker, Range, look, monotone, unclipped, visible
from qdqnp.stimuli.sums import SummingLayer

MOST_NEGATIVE, MOST_POSITIVE = "most negative accumulator", "most positive accumulator"
TIE_NEGATIVE, TIE_POSITIVE = "tie below zero", "tie above zero"
SATURATED_LOW, SATURATED_HIGH, INNER_SATURATED = "saturated low", "saturated high", "inner saturation"
DIFFERENCE = "difference"
REACHED, UNREACHABLE, UNDECIDED = "reached", "unreachable", "undecided"
TIE_GOALS = {-1: TIE_NEGATIVE, 1: TIE_POSITIVE}


@dataclass(frozen=True)
class Goal:
    """One output element to make."""

    #: What the element meets, one of the goals above.
    goal: str
    #: The element's channel.
    channel: int
    #: The element's sum, before the bias.
    total: int


@dataclass(frozen=True)
class Verdict:
    """The result for one goal."""

    #: The goal.
    goal: str
    #: The channel; None for the whole layer.
    channel: int | None
    #: 'reached' (run and checked), 'unreachable' (proven, by `reason`), or 'undecided' (neither).
    verdict: str
    #: The sum that reaches the goal, or why none is known.
    reason: str


Answer = tuple[list[Goal], list[Verdict]]


def extremes(sums: SummingLayer) -> Answer:
    """Return each channel's most negative and most positive sum, made by the input codes with the smallest or largest
    product."""
    targets, verdicts = [], []
    for goal, totals in ((MOST_NEGATIVE, sums.least()), (MOST_POSITIVE, sums.most())):
        for channel, total in enumerate(totals.tolist()):
            targets.append(Goal(goal, channel, total))
            verdicts.append(Verdict(goal, channel, REACHED, f"the sum {total}: no product can add more to it"))
    return targets, verdicts


def saturations(sums: SummingLayer, requantizer: Requantizer) -> list[Verdict]:
    """Find out whether the extremes of the sum are clipped. The rule is monotone, so where they are not clipped,
    nothing is."""
    if requantizer.y is None:
        return [
            Verdict(goal, None, UNREACHABLE, "the output is real: nothing is clipped")
            for goal in (SATURATED_LOW, SATURATED_HIGH)
        ]
    low, high = sums.least(), sums.most()
    least, most = requantizer.y.range
    proven = monotone(requantizer, low, high)
    ends = [
        (SATURATED_LOW, low, unclipped(requantizer, low) < least),
        (SATURATED_HIGH, high, unclipped(requantizer, high) > most),
    ]
    verdicts = [
        _saturation(goal, channel, int(total), bool(clipped), proven)
        for goal, totals, clips in ends
        for channel, (total, clipped) in enumerate(zip(totals, clips, strict=True))
    ]
    return verdicts + _inner(requantizer, low, high, proven)


def _saturation(goal: str, channel: int, total: int, clipped: bool, proven: bool) -> Verdict:
    if clipped:
        return Verdict(goal, channel, REACHED, f"the sum {total} is clipped")
    if proven:
        return Verdict(goal, channel, UNREACHABLE, f"even the code of the sum {total} is not clipped")
    return Verdict(goal, channel, UNDECIDED, f"the sum {total} is not clipped, but the rule is not monotone")


def _inner(requantizer: Requantizer, low: Int64, high: Int64, proven: bool) -> list[Verdict]:
    """Judge the stages that saturate on the way to the code, where the rule has such stages."""
    changed = [_saturates(requantizer, totals) for totals in (low, high)]
    if changed[0] is None or changed[1] is None:
        return []
    verdicts = []
    for channel, reached in enumerate(np.logical_or(changed[0], changed[1]).tolist()):
        verdict = REACHED if reached else UNREACHABLE if proven else UNDECIDED
        text = "is saturated by an inner stage" if reached else "pass the inner stages unchanged"
        verdicts.append(
            Verdict(
                INNER_SATURATED,
                channel,
                verdict,
                f"the extreme sums {text}" if not reached else f"an extreme sum {text}",
            )
        )
    return verdicts


def _saturates(requantizer: Requantizer, totals: Int64) -> Array | None:
    """Return whether an inner stage changes the sum, (channels,); None where the rule does not have such a stage."""
    stages = requantizer.stages(totals[None])
    pairs = [(before.array, after.array) for before, after in pairwise(stages) if after.saturated]
    return np.any([(before != after)[0] for before, after in pairs], axis=0) if pairs else None


def ties(sums: SummingLayer, requantizer: Requantizer, most: int) -> Answer:
    """Find for each channel a sum of each sign whose requantization meets an exact half; try at most `most` sums."""
    if requantizer.y is None:
        reason = "the output is real: nothing is rounded to a code"
        return [], [Verdict(goal, None, UNREACHABLE, reason) for goal in TIE_GOALS.values()]
    return _search(sums, [requantizer], requantizer.ties, TIE_GOALS, "a tie", most)


def differences(sums: SummingLayer, first: Requantizer, second: Requantizer, most: int) -> Answer:
    """Find for each channel a sum to which the two rules give different codes; try at most `most` sums."""

    def differ(totals: Int64) -> Signs:
        return np.asarray(first(totals) != second(totals), np.int8)

    return _search(sums, [first, second], differ, {1: DIFFERENCE}, "requantized differently", most)


def _search(
    sums: SummingLayer, rules: Sequence[Requantizer], marker: Marker, goals: dict[int, str], what: str, most: int
) -> Answer:
    try:
        where = _where(sums, rules)
        reachable = lambda channel, total: sums.site_for(channel, total) is not None  # noqa: E731
        found = look(marker, where, tuple(goals), reachable, most)
    except ProfileError as error:
        reason = f"the profile is not defined on every sum that inputs can make: {error.problems[0]}"
        return [], [Verdict(goal, None, UNDECIDED, reason) for goal in goals.values()]
    targets, verdicts = [], []
    for mark, goal in goals.items():
        for channel in range(sums.channels):
            total = found.found.get((channel, mark))
            if total is not None:
                targets.append(Goal(goal, channel, total))
                verdicts.append(Verdict(goal, channel, REACHED, f"the sum {total} is {what}"))
            else:
                verdicts.append(_not_found(goal, mark, channel, where, found, what))
    return targets, verdicts


def _where(sums: SummingLayer, rules: Sequence[Requantizer]) -> Range:
    """Return the sums that can tell: those that at least one of the rules does not clip."""
    low, high = sums.least(), sums.most()
    parts = [visible(rule, low, high) for rule in rules]
    first, last = np.min([part[0] for part in parts], axis=0), np.max([part[1] for part in parts], axis=0)
    return Range.between(first, last, sums.steps())


def _not_found(goal: str, mark: int, channel: int, where: Range, found: Found, what: str) -> Verdict:
    count, step = int(where.count[channel]), int(where.step[channel])
    if not count:
        return Verdict(goal, channel, UNREACHABLE, "every sum that inputs can make is clipped")
    span = f"the {count} sums in [{int(where.first[channel])}, {int(where.last[channel])}] with step {step}"
    if found.looked_at[channel] < count:
        return Verdict(
            goal, channel, UNDECIDED, f"looked at {int(found.looked_at[channel])} of {span}; --exhaustive: all"
        )
    what += {TIE_NEGATIVE: " below zero", TIE_POSITIVE: " above zero"}.get(goal, "")
    unmade = found.unmade.get((channel, mark), 0)
    text = f"of {span}, {unmade} would be {what}, but no input makes them" if unmade else f"none of {span} is {what}"
    return Verdict(goal, channel, UNREACHABLE, f"{text}; beyond them every sum is clipped or cannot be made")
