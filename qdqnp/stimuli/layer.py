"""Make stimuli for one layer, run alone: plain patterns, random codes, and what can be constructed exactly."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice

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
from qdqnp.stimuli.effort import Effort, effort
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
    exhaustive: bool = False,
) -> StimulusSet:
    """Make inputs for one layer, which is run alone on explicit inputs of its own.

        model: the network.
        label: the layer's name, or the name of a tensor that it makes.
        profile: the arithmetic.
        against: two profiles to tell apart.
        seed: seed of the random inputs.
        count: number of random inputs.
        shapes: shapes of the network's inputs by name; symbolic sizes that are not given are 1.
        exhaustive: whether to try everything, however long it takes; otherwise what is not tried is 'undecided'.

    Raises InputError for a layer that is unknown or does not have integer arithmetic; ProfileError where a profile does
    not define the layer, or its arithmetic is not defined for an input.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
    >>> found = qdqnp.stimuli.for_layer(model, "fc", "tflite", against=("tflite", "tflite-single"))
    >>> found.op, sorted({stimulus.method for stimulus in found.stimuli})
    ('QLinearConv', ['exact', 'pattern', 'random'])
    """
    named = profile_named(profile)
    others = tuple(profile_named(other) for other in against or ())
    layer, data = subject(model, label, named, others, shapes or {})
    allowed = effort([layer.bound], layer.shapes, exhaustive)
    plain = min(len(PATTERNS) + count, max(1, allowed.inputs // 2))
    stimuli = [
        layer.run(kind, PATTERN, {name: make(slot) for name, slot in layer.slots.items()})
        for kind, make in islice(PATTERNS.items(), plain)
    ]
    drawn = random_codes(layer.slots, plain - len(stimuli), seed)
    stimuli += [layer.run(RANDOM, RANDOM, inputs) for inputs in drawn]
    for stimulus in stimuli:
        layer.compare(stimulus.inputs)
    made = _constructed(layer, replace(allowed, inputs=max(0, allowed.inputs - plain)))
    return replace(
        made,
        profile=named.name,
        stimuli=[*stimuli, *made.stimuli],
        verdicts=[*made.verdicts, *allowed.left_out(plain, len(PATTERNS) + count)],
        model=data,
        against=tuple(other.name for other in others),
        seed=seed,
    )


def _constructed(layer: Subject, allowed: Effort) -> StimulusSet:
    """Construct what the operator allows beyond patterns, in as many inputs as are allowed."""
    step = layer.bound.step
    empty = StimulusSet("", step.label, step.op, ())
    if asks(layer.bound, Pairs) or asks(layer.bound, Singles):
        return _exhausted(empty, layer, allowed)
    if asks(layer.bound, Windows):
        return _averaged(empty, layer, allowed)
    if not (asks(layer.bound, Sums) or asks(layer.bound, Means)):
        return _undecided(empty, f"nothing is constructed for {step.op}: patterns and random codes only")
    try:
        sums = sums_of(layer.bound, layer.shapes)
    except InputError as error:
        return replace(_undecided(empty, str(error.problems[0])), ties_of=ROUNDING)
    return _summed(empty, layer, sums, allowed)


def _undecided(empty: StimulusSet, reason: str) -> StimulusSet:
    return replace(empty, verdicts=[Verdict("constructions", None, UNDECIDED, reason)])


# -- layers that sum ---------------------------------------------------------------------------------------------------
def _summed(empty: StimulusSet, layer: Subject, sums: SummingLayer, allowed: Effort) -> StimulusSet:
    extremes = goals.extremes(sums)
    made = {EXTREMES: sheets(sums, extremes[0])}
    if len(made[EXTREMES]) > allowed.inputs:
        left_out = allowed.left_out(0, len(made[EXTREMES]))
        return replace(empty, verdicts=[replace(verdict, goal="constructions") for verdict in left_out])
    saturating = _saturating(layer, sums, made[EXTREMES])
    reasons = [f"the sums of '{name}' are not plain sums of products: some saturate" for name in saturating]
    if layer.profiles[0].name in saturating:
        return _undecided(empty, reasons[0])
    zeros = {name: slot.full(slot.zero_point) for name, slot in layer.slots.items()}
    rule, *others = (_requantizer(bound, zeros) for bound in (layer.bound, *layer.against))
    answers = {EXTREMES: extremes, TIES: goals.ties(sums, rule, allowed.sums)}
    if saturating:
        answers[DIFFERENCES] = [], [Verdict(goals.DIFFERENCE, None, UNDECIDED, reasons[0])]
    elif others:
        answers[DIFFERENCES] = goals.differences(sums, others[0], others[1], allowed.sums)
    made |= {kind: sheets(sums, targets) for kind, (targets, _) in answers.items() if kind != EXTREMES}
    planned = [(kind, sheet) for kind, those in made.items() for sheet in those]
    stimuli = [
        layer.run(kind, EXACT, {sums.input.name: sheet.codes}, sheet.placed)
        for kind, sheet in planned[: allowed.inputs]
    ]
    missing = {(one.target.goal, one.target.channel) for _, sheet in planned[allowed.inputs :] for one in sheet.placed}
    verdicts = [_if_run(verdict, missing) for _, verdicts in answers.values() for verdict in verdicts]
    verdicts += allowed.left_out(len(stimuli), len(planned))
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


def _if_run(verdict: Verdict, missing: Collection[tuple[str, int]]) -> Verdict:
    """Return the verdict, but 'undecided' where the input for its goal and channel was not run."""
    if (verdict.goal, verdict.channel) not in missing:
        return verdict
    return replace(verdict, verdict=UNDECIDED, reason=f"{verdict.reason}, but its input was not run")


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
def _exhausted(empty: StimulusSet, layer: Subject, allowed: Effort) -> StimulusSet:
    every = every_code(layer.bound, layer.slots)
    cases = every[: max(1, allowed.inputs)]
    stimuli = [layer.run(EVERY_CODE, EXHAUSTIVE, inputs) for inputs in cases]
    wanted = combinations(layer.bound)
    seen = _different(combinations_seen(layer.bound, layer.bound.arrays(inputs)) for inputs in cases)
    what = "pairs of codes" if max(wanted) > CODES else "codes of each input"
    complete = seen == wanted
    text = f"all {max(wanted):,} {what}" if complete else f"{min(seen):,} of {max(wanted):,} {what}"
    verdicts = _from_table(stimuli, text, complete, complete) + allowed.left_out(len(cases), len(every))
    return replace(empty, stimuli=stimuli, verdicts=verdicts, ties_of=REAL_VALUE)


def _different(runs: Iterable[Sequence[Array]]) -> list[int]:
    """Count the different numbers over all runs, for each place of the runs' lists."""
    return [int(np.unique(np.concatenate(place)).size) for place in zip(*runs, strict=True)]


def _averaged(empty: StimulusSet, layer: Subject, allowed: Effort) -> StimulusSet:
    made, complete = every_sum(layer.bound, layer.shapes, allowed.inputs)
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
