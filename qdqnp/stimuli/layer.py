"""Make stimuli for one layer, run alone: plain patterns, random codes, and what can be constructed exactly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from qdqnp.errors import InputError
from qdqnp.executor.plan import BoundStep
from qdqnp.model import Model
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import profile_named
from qdqnp.numerics.questions import Means, Pairs, Singles, Sums, Windows
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.quant import Array
from qdqnp.stimuli import goals
from qdqnp.stimuli.average import EVERY_SUM, every_sum, of_the_sum
from qdqnp.stimuli.find import Shapes, subject
from qdqnp.stimuli.goals import REACHED, UNDECIDED, UNREACHABLE, Verdict
from qdqnp.stimuli.patterns import PATTERNS, random_codes
from qdqnp.stimuli.place import Sheet, sheets
from qdqnp.stimuli.result import (
    EXACT,
    EXHAUSTIVE,
    PATTERN,
    RANDOM,
    REAL_VALUE,
    ROUNDING,
    Stimulus,
    StimulusSet,
    by_layer,
)
from qdqnp.stimuli.subject import Subject, asks, sums_are_plain
from qdqnp.stimuli.sums import SummingLayer, bias_of, sums_of
from qdqnp.stimuli.tables import CODES, combinations, combinations_seen, every_code

EXTREMES, TIES, DIFFERENCES, EVERY_CODE = "extremes", "ties", "differences", "every code"


def for_layer(
    model: Model,
    label: str,
    profile: str | Profile = "ort",
    *,
    against: tuple[str | Profile, str | Profile] | None = None,
    seed: int = 0,
    count: int = 4,
    shapes: Shapes | None = None,
) -> StimulusSet:
    """Make inputs for one layer, which is run alone on explicit inputs of its own.

        model: the network.
        label: the layer's name, or the name of a tensor that it makes.
        profile: the arithmetic.
        against: two profiles to tell apart.
        seed: seed of the random inputs.
        count: number of random inputs.
        shapes: shapes of the network's inputs by name; symbolic sizes that are not given are 1.

    Raises InputError for a layer that is unknown or does not have integer arithmetic; ProfileError where a profile does
    not define the layer, or its arithmetic is not defined for an input.
    """
    named = profile_named(profile)
    others = tuple(profile_named(other) for other in against or ())
    layer, data = subject(model, label, named, others, shapes or {})
    stimuli = [
        layer.run(kind, PATTERN, {name: make(slot) for name, slot in layer.slots.items()})
        for kind, make in PATTERNS.items()
    ]
    stimuli += [layer.run(RANDOM, RANDOM, inputs) for inputs in random_codes(layer.slots, count, seed)]
    for stimulus in stimuli:
        layer.compare(stimulus.inputs)
    made = _constructed(layer)
    return replace(
        made,
        profile=named.name,
        stimuli=[*stimuli, *made.stimuli],
        model=data,
        against=tuple(other.name for other in others),
        seed=seed,
    )


def _constructed(layer: Subject) -> StimulusSet:
    """Construct what the operator allows beyond patterns."""
    step = layer.bound.step
    empty = StimulusSet("", step.label, step.op, ())
    if asks(layer.bound, Pairs) or asks(layer.bound, Singles):
        return _exhausted(empty, layer)
    if asks(layer.bound, Windows):
        return _averaged(empty, layer)
    if not (asks(layer.bound, Sums) or asks(layer.bound, Means)):
        return _undecided(empty, f"nothing is constructed for {step.op}: patterns and random codes only")
    try:
        sums = sums_of(layer.bound, layer.shapes)
    except InputError as error:
        return replace(_undecided(empty, str(error.problems[0])), ties_of=ROUNDING)
    return _summed(empty, layer, sums)


def _undecided(empty: StimulusSet, reason: str) -> StimulusSet:
    return replace(empty, verdicts=[Verdict("constructions", None, UNDECIDED, reason)])


# -- layers that sum ---------------------------------------------------------------------------------------------------
def _summed(empty: StimulusSet, layer: Subject, sums: SummingLayer) -> StimulusSet:
    extremes = goals.extremes(sums)
    saturating = _saturating(layer, sums, sheets(sums, extremes[0]))
    reasons = [f"the sums of '{name}' are not plain sums of products: some saturate" for name in saturating]
    if layer.profiles[0].name in saturating:
        return _undecided(empty, reasons[0])
    zeros = {name: slot.full(slot.zero_point) for name, slot in layer.slots.items()}
    rule, *others = (_requantizer(bound, zeros) for bound in (layer.bound, *layer.against))
    answers = {EXTREMES: extremes, TIES: goals.ties(sums, rule)}
    if saturating:
        answers[DIFFERENCES] = [], [Verdict(goals.DIFFERENCE, None, UNDECIDED, reasons[0])]
    elif others:
        answers[DIFFERENCES] = goals.differences(sums, others[0], others[1])
    stimuli = [
        layer.run(kind, EXACT, {sums.input.name: sheet.codes}, sheet.placed)
        for kind, (targets, _) in answers.items()
        for sheet in sheets(sums, targets)
    ]
    verdicts = [verdict for _, verdicts in answers.values() for verdict in verdicts]
    bias = bias_of(layer.bound)
    wide = np.array(bias or [0], np.int64)
    return replace(
        empty,
        stimuli=stimuli,
        verdicts=[*verdicts, *goals.saturations(sums, rule)],
        bias=bias,
        bound=(int((sums.least() + wide).min()), int((sums.most() + wide).max())),
        ties_of=ROUNDING,
    )


def _saturating(layer: Subject, sums: SummingLayer, made: Sequence[Sheet]) -> list[str]:
    """List the profiles under which sums saturate before all products are added. Where any sum saturates, the extremes
    do."""
    bounds = zip(layer.profiles, (layer.bound, *layer.against), strict=True)
    return [
        profile.name
        for profile, bound in bounds
        if not all(sums_are_plain(bound, sums.input.name, sheet) for sheet in made)
    ]


def _requantizer(bound: BoundStep, inputs: Mapping[str, Array]) -> Requantizer:
    question = bound.questions(inputs)[0].question
    found: Requantizer = question.bind(getattr(bound.profile, question.rule))
    return found


# -- layers that work code by code, or on windows of codes -------------------------------------------------------------
def _exhausted(empty: StimulusSet, layer: Subject) -> StimulusSet:
    cases = every_code(layer.bound, layer.slots)
    stimuli = [layer.run(EVERY_CODE, EXHAUSTIVE, inputs) for inputs in cases]
    wanted = combinations(layer.bound)
    seen = _different(combinations_seen(layer.bound, layer.bound.arrays(inputs)) for inputs in cases)
    what = "pairs of codes" if max(wanted) > CODES else "codes of each input"
    complete = seen == wanted
    text = f"all {max(wanted):,} {what}" if complete else f"{min(seen):,} of {max(wanted):,} {what}"
    return replace(empty, stimuli=stimuli, verdicts=_from_table(stimuli, text, complete, complete), ties_of=REAL_VALUE)


def _different(runs: Iterable[Sequence[Array]]) -> list[int]:
    """Count the different numbers over all runs, for each place of the runs' lists."""
    return [int(np.unique(np.concatenate(place)).size) for place in zip(*runs, strict=True)]


def _averaged(empty: StimulusSet, layer: Subject) -> StimulusSet:
    made, complete = every_sum(layer.bound, layer.shapes)
    (name,) = layer.slots
    stimuli = [layer.run(EVERY_SUM, EXHAUSTIVE, {name: sheet.codes}, sheet.placed) for sheet in made]
    count = sum(len(sheet.placed) for sheet in made)
    text = f"{'all' if complete else 'evenly spaced'} {count:,} sums of all kinds of windows"
    proven = complete and all(of_the_sum(profile) for profile in layer.profiles[1:])
    return replace(empty, stimuli=stimuli, verdicts=_from_table(stimuli, text, complete, proven), ties_of=REAL_VALUE)


def _from_table(stimuli: Sequence[Stimulus], text: str, complete: bool, proven: bool) -> list[Verdict]:
    """Read the verdicts off stimuli.

    stimuli: the stimuli that were run.
    text: what they show, in words.
    complete: whether they show every real value that there is.
    proven: whether they also show every code that the two profiles give.
    """
    (total,) = by_layer(stimuli).values()
    counts = {
        goals.TIE_NEGATIVE: total.ties_negative,
        goals.TIE_POSITIVE: total.ties_positive,
        goals.SATURATED_LOW: total.saturated_low,
        goals.SATURATED_HIGH: total.saturated_high,
    }
    verdicts = [_counted(goal, number or 0, text, complete) for goal, number in counts.items()]
    differing = [stimulus.differing for stimulus in stimuli if stimulus.differing is not None]
    if differing:
        more = "" if proven or not complete else ", each by one input; in float32 the order of the terms matters too"
        verdicts.append(_counted(goals.DIFFERENCE, sum(differing), text + more, proven))
    return verdicts


def _counted(goal: str, number: int, text: str, proven: bool) -> Verdict:
    if number:
        return Verdict(goal, None, REACHED, f"met by {number:,} output elements over {text}")
    return Verdict(goal, None, UNREACHABLE if proven else UNDECIDED, f"not met by any of {text}")
