"""Stimuli for one layer, run alone: plain patterns, random codes, and what can be constructed exactly.

Nothing is claimed that was not run: every constructed input goes through the layer, and must meet its targets there.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from qdqnp.errors import InputError, Problem, ProfileError, QdqnpError, shorten
from qdqnp.executor.events import marks
from qdqnp.executor.plan import BoundStep, Plan
from qdqnp.model import Model
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import profile_named
from qdqnp.quant import EIGHT_BIT, Array
from qdqnp.stimuli import goals
from qdqnp.stimuli.average import AVERAGE, EVERY_SUM, every_sum, of_the_sum
from qdqnp.stimuli.coverage import Coverage, Met, measured
from qdqnp.stimuli.goals import REACHED, UNDECIDED, UNREACHABLE, Target, Verdict
from qdqnp.stimuli.ideal import ideal
from qdqnp.stimuli.patterns import PATTERNS, Slot, random_codes
from qdqnp.stimuli.place import Placed, sheets
from qdqnp.stimuli.sums import Sums, sums_of
from qdqnp.stimuli.tables import BINARY, UNARY, combinations, combinations_seen, every_code

PATTERN, RANDOM, EXACT, EXHAUSTIVE = "pattern", "random", "exact", "exhaustive"
EXTREMES, TIES, DIFFERENCES, EVERY_CODE = "extremes", "ties", "differences", "every code"
SUMMING = ("QLinearConv", "QGemm", "QLinearMatMul", "QLinearGlobalAveragePool")
WITH_ARITHMETIC = (*SUMMING, *BINARY, *UNARY, AVERAGE, "QLinearSoftmax")
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Stimulus:
    """One input and what it met.

    kind: which pattern or construction. method: 'pattern', 'random', 'exact' (constructed; its targets were checked by
    running it), 'exhaustive' (part of a set that shows the layer everything) or 'search' (the best that was found).
    inputs: arrays by tensor name. placed: the output elements that it was constructed for. differing: output elements on
    which the two profiles of `against` differ; None where there are none. coverage: by layer label.
    """

    kind: str
    method: str
    inputs: Mapping[str, Array]
    coverage: Mapping[str, Coverage]
    placed: Sequence[Placed] = ()
    differing: int | None = None


@dataclass(frozen=True, eq=False)
class StimulusSet:
    """label: of the layer, '' for a whole network. bias: (channels,) of a layer that sums. bound: the least and greatest
    accumulator that is proven for the layer. ties_of: what counts as a tie in the coverage."""

    profile: str
    label: str
    op: str
    stimuli: Sequence[Stimulus]
    verdicts: Sequence[Verdict] = ()
    against: tuple[str, ...] = ()
    seed: int = 0
    shapes: Shapes = field(default_factory=dict)
    bias: Sequence[int] = ()
    bound: tuple[int, int] | None = None
    ties_of: str = ""


ROUNDING, REAL_VALUE = "roundings of the profile's stages", "the exact real value"


@dataclass(frozen=True, eq=False)
class Subject:
    """The layer under test: bound to its profile, and to the two profiles to tell apart, if any."""

    bound: BoundStep
    against: tuple[BoundStep, ...]
    profiles: tuple[Profile, ...]
    shapes: Shapes
    slots: Mapping[str, Slot]

    def run(self, kind: str, method: str, inputs: Mapping[str, Array], placed: Sequence[Placed] = ()) -> Stimulus:
        """The stimulus with what it meets. Raises QdqnpError where it does not meet what it was constructed for."""
        codes = self.bound.evaluate(inputs)[self.bound.step.output_names[0]]
        met = met_by(self.bound, inputs)
        differ = self._differ(inputs)
        for one in placed:
            self._check(one, met, differ)
        count = None if differ is None else int(np.count_nonzero(differ))
        return Stimulus(kind, method, inputs, {self.bound.step.label: measured(met, codes)}, placed, count)

    def _differ(self, inputs: Mapping[str, Array]) -> Array | None:
        if not self.against:
            return None
        first, second = (bound.evaluate(inputs)[bound.step.output_names[0]] for bound in self.against)
        return channels_last(self.bound, first != second)

    def _check(self, placed: Placed, met: Met, differ: Array | None) -> None:
        target = placed.target
        bias = bias_of(self.bound)
        wanted = target.total + (bias[target.channel % len(bias)] if bias else 0)
        fine = met.accumulator is None or met.accumulator[placed.index] == wanted
        for sign, goal in goals.TIE_GOALS.items():
            fine &= target.goal != goal or (met.ties is not None and met.ties[placed.index] == sign)
        if target.goal == goals.DIFFERENCE:
            fine &= differ is not None and bool(differ.reshape(met.accumulator.shape)[placed.index])  # type: ignore[union-attr]
        if not fine:
            problem = Problem(f"step {self.bound.step.label}, output element {list(placed.index)}",
                              f"{target.goal}, accumulator {wanted}", "another",
                              "The layer's sums are not plain sums of products.")  # fmt: skip
            raise QdqnpError("a constructed input does not do what it was made for", [problem])


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
    """Inputs for the layer of that name (or that makes the tensor of that name), on explicit inputs of its own.

    against: two profiles to tell apart. count: random inputs. shapes: of the network's inputs, by name; symbolic sizes
    not given are 1. Raises InputError for a layer that is unknown or has no integer arithmetic, ProfileError where a
    profile does not define it.
    """
    named = profile_named(profile)
    plan = model.plan(named)
    bound = _layer(plan, label)
    sizes = plan.shapes(input_shapes(plan, shapes or {}))
    others = tuple(profile_named(other) for other in against or ())
    subject = Subject(bound, _twins(model, plan, bound, others), (named, *others), sizes, _slots(plan, bound, sizes))
    stimuli = [subject.run(kind, PATTERN, {name: make(slot) for name, slot in subject.slots.items()})
               for kind, make in PATTERNS.items()]  # fmt: skip
    stimuli += [subject.run(RANDOM, RANDOM, inputs) for inputs in random_codes(subject.slots, count, seed)]
    made = _constructed(subject)
    return replace(
        made,
        stimuli=[*stimuli, *made.stimuli],
        profile=named.name,
        against=tuple(other.name for other in others),
        seed=seed,
        shapes={name: sizes[name] for name in subject.slots},
    )


def _constructed(subject: Subject) -> StimulusSet:
    """The stimuli that the operator has beyond patterns."""
    step = subject.bound.step
    empty = StimulusSet("", step.label, step.op, ())
    if step.op in (*BINARY, *UNARY):
        return _exhausted(empty, subject)
    if step.op == AVERAGE:
        return _averaged(empty, subject)
    if step.op not in SUMMING:
        reason = f"{step.op} has no construction here: patterns and random codes only"
        return replace(empty, verdicts=[Verdict("constructions", None, UNDECIDED, reason)])
    try:
        sums = sums_of(subject.bound, subject.shapes)
    except InputError as error:
        return replace(empty, verdicts=[Verdict("constructions", None, UNDECIDED, str(error.problems[0]))])
    assert sums is not None
    return _summed(empty, subject, sums)


# -- layers that sum ----------------------------------------------------------------------------------------------------
def _summed(empty: StimulusSet, subject: Subject, sums: Sums) -> StimulusSet:
    zeros = {name: slot.full(slot.zero_point) for name, slot in subject.slots.items()}
    rule, *others = (_requantizer(bound, zeros) for bound in (subject.bound, *subject.against))
    answers = {EXTREMES: goals.extremes(sums), TIES: goals.ties(sums, rule)}
    if others:
        answers[DIFFERENCES] = goals.differences(sums, others[0], others[1])
    stimuli = [
        subject.run(kind, EXACT, {sums.input.name: sheet.codes}, sheet.placed)
        for kind, (targets, _) in answers.items()
        for sheet in sheets(sums, targets)
    ]
    verdicts = [verdict for _, verdicts in answers.values() for verdict in verdicts]
    bias = bias_of(subject.bound)
    wide = np.array(bias or [0], np.int64)
    return replace(
        empty,
        stimuli=stimuli,
        verdicts=[*verdicts, *goals.saturations(sums, rule)],
        bias=bias,
        bound=(int((sums.least() + wide).min()), int((sums.most() + wide).max())),
        ties_of=ROUNDING,
    )


def _requantizer(bound: BoundStep, inputs: Mapping[str, Array]) -> goals.Requantizer:
    assert bound.bound.detail is not None
    return bound.bound.detail(bound.arrays(inputs))[1]


def bias_of(bound: BoundStep) -> list[int]:
    """The constant bias of a layer that sums, one value or one per channel; empty where there is none."""
    operand = bound.step.inputs[2] if len(bound.step.inputs) > 2 and bound.step.op in SUMMING else None
    if operand is None or operand.name not in bound.consts:
        return []
    return [int(value) for value in bound.consts[operand.name].reshape(-1)]


# -- layers that work code by code, or on windows of codes -----------------------------------------------------------------
def _exhausted(empty: StimulusSet, subject: Subject) -> StimulusSet:
    cases = every_code(subject.bound, subject.slots)
    stimuli = [subject.run(EVERY_CODE, EXHAUSTIVE, inputs) for inputs in cases]
    wanted = combinations(subject.bound)
    seen = _union(combinations_seen(subject.bound, subject.bound.arrays(inputs)) for inputs in cases)
    what = "pairs of codes" if max(wanted) > 256 else "codes of each input"
    complete = seen == wanted
    text = f"all {max(wanted):,} {what}" if complete else f"{min(seen):,} of {max(wanted):,} {what}"
    return replace(empty, stimuli=stimuli, verdicts=_from_table(stimuli, text, complete), ties_of=REAL_VALUE)


def _union(parts: Iterable[list[Array]]) -> list[int]:
    """How many different numbers there are at each place of the lists."""
    return [int(np.unique(np.concatenate(column)).size) for column in zip(*parts, strict=True)]


def _averaged(empty: StimulusSet, subject: Subject) -> StimulusSet:
    made, complete = every_sum(subject.bound, subject.shapes)
    (name,) = subject.slots
    stimuli = [subject.run(EVERY_SUM, EXHAUSTIVE, {name: sheet.codes}, sheet.placed) for sheet in made]
    count = sum(len(sheet.placed) for sheet in made)
    text = f"{'all' if complete else 'evenly spaced'} {count:,} sums of all kinds of windows"
    proven = complete and all(of_the_sum(profile) for profile in subject.profiles[1:])
    if complete and not proven:
        text += ", each by one input; in float32 the result depends on the order of its terms too"
    verdicts = [verdict for verdict in _from_table(stimuli, text, complete) if verdict.goal != goals.DIFFERENCE]
    return replace(empty, stimuli=stimuli, ties_of=REAL_VALUE,
                   verdicts=[*verdicts, *_difference(stimuli, text, proven)])  # fmt: skip


def _from_table(stimuli: Sequence[Stimulus], text: str, complete: bool) -> list[Verdict]:
    """Verdicts read off stimuli that show the layer everything (if `complete`)."""
    total = total_coverage(stimuli)
    counts = {
        goals.TIE_NEGATIVE: total.ties_negative,
        goals.TIE_POSITIVE: total.ties_positive,
        goals.SATURATED_LOW: total.saturated_low,
        goals.SATURATED_HIGH: total.saturated_high,
    }
    verdicts = [_counted(goal, count or 0, text, complete) for goal, count in counts.items()]
    return verdicts + _difference(stimuli, text, complete)


def _difference(stimuli: Sequence[Stimulus], text: str, proven: bool) -> list[Verdict]:
    if any(stimulus.differing is None for stimulus in stimuli):
        return []
    return [_counted(goals.DIFFERENCE, sum(stimulus.differing or 0 for stimulus in stimuli), text, proven)]


def _counted(goal: str, count: int, text: str, proven: bool) -> Verdict:
    if count:
        return Verdict(goal, None, REACHED, f"met by {count:,} output elements over {text}")
    return Verdict(goal, None, UNREACHABLE if proven else UNDECIDED, f"not met by any of {text}")


def total_coverage(stimuli: Sequence[Stimulus]) -> Coverage:
    """Of all stimuli of one layer together."""
    parts = [coverage for stimulus in stimuli for coverage in stimulus.coverage.values()]
    total = parts[0]
    for part in parts[1:]:
        total = total.plus(part)
    return total


# -- measuring ----------------------------------------------------------------------------------------------------------
def met_by(bound: BoundStep, inputs: Mapping[str, Array]) -> Met:
    """What a layer's outputs meet on these inputs: by its stages, or else by its exact real value."""
    arrays = bound.arrays(inputs)
    found = marks(bound.bound, arrays)
    if found is not None:
        return Met(found.ties, found.low, found.high, found.accumulator, found.inner)
    real = ideal(bound, arrays)
    y = bound.step.outputs[0].quant
    if real is None or y is None:
        return Met()
    ties, rounded = (channels_last(bound, part) for part in real)
    low, high = y.range
    return Met(ties, rounded + int(y.zero_point) < low, rounded + int(y.zero_point) > high)


def channels_last(bound: BoundStep, array: Array) -> Array:
    """A layer's output with its channels last; the spatial axes of a global average are dropped, as they are in its
    sums."""
    if bound.step.op == "QLinearGlobalAveragePool":
        return array.reshape(array.shape[:2])
    axis = 1 if array.ndim > 1 and bound.step.op != "QLinearMatMul" else -1
    return np.moveaxis(array, axis, -1) if array.ndim else array


# -- finding the layer ------------------------------------------------------------------------------------------------
def _layer(plan: Plan, label: str) -> BoundStep:
    named = [bound for bound in plan.steps if label == bound.step.label or label in bound.step.output_names]
    if not named:
        raise InputError("no such layer", [Problem("layer", _names(plan, label), repr(shorten(label, 60)))])
    found = [bound for bound in named if bound.step.op in WITH_ARITHMETIC]
    if not found:
        listed = ", ".join(_having(plan)[:10]) or "none: the model has no quantized layer"
        problem = Problem(f"layer '{label}'", "a layer with integer arithmetic", named[0].step.op,
                          f"Layers that have: {listed}")  # fmt: skip
        raise InputError("the layer computes nothing that could round or saturate", [problem])
    return found[0]


def _having(plan: Plan) -> list[str]:
    return [bound.step.label for bound in plan.steps if bound.step.op in WITH_ARITHMETIC]


def _names(plan: Plan, label: str) -> str:
    """What could have been meant."""
    known = [name for bound in plan.steps for name in (bound.step.label, *bound.step.output_names)]
    close = difflib.get_close_matches(label, known, n=5, cutoff=0.5)
    return "one of " + ", ".join(f"'{shorten(name, 60)}'" for name in close or _having(plan)[:10])


def _twins(model: Model, plan: Plan, bound: BoundStep, profiles: Sequence[Profile]) -> tuple[BoundStep, ...]:
    """The same step under other profiles."""
    index = plan.steps.index(bound)
    found = []
    for profile in profiles:
        other = model.plan(profile)
        if other.program is not plan.program:
            problem = Problem(f"profile '{profile.name}'", f"the lowering of '{plan.profile.name}'", "another")
            raise ProfileError("the profiles run different programs", [problem])
        found.append(other.steps[index])
    return tuple(found)


def _slots(plan: Plan, bound: BoundStep, shapes: Shapes) -> dict[str, Slot]:
    """The inputs of the step that are no constants. Raises InputError where one holds no 8-bit codes."""
    slots: dict[str, Slot] = {}
    for operand in bound.step.inputs:
        if operand is None or operand.name in bound.consts:
            continue
        dtype = plan.program.tensors[operand.name].dtype
        if operand.quant is None or dtype not in EIGHT_BIT:
            problem = Problem(f"layer '{bound.step.label}', input '{operand.name}'", "8-bit codes", str(dtype))
            raise InputError("no stimuli for this layer", [problem])
        slots[operand.name] = Slot(dtype, shapes[operand.name], int(operand.quant.zero_point.reshape(-1)[0]))
    if not slots or any(0 in slot.shape for slot in slots.values()):
        problem = Problem(f"layer '{bound.step.label}'", "inputs with elements", "none")
        raise InputError("no stimuli for this layer", [problem])
    return slots


def input_shapes(plan: Plan, given: Shapes) -> dict[str, tuple[int, ...]]:
    """Shapes of the network's inputs: as given, else as declared with 1 for symbolic sizes. Raises InputError for shapes
    that do not fit the declared ones."""
    tensors = {name: plan.program.tensors[name] for name in plan.program.inputs}
    problems = [Problem(f"shape of '{name}'", "an input of the model: " + ", ".join(tensors), "another")
                for name in given if name not in tensors]  # fmt: skip
    shapes = {}
    for name, tensor in tensors.items():
        shapes[name] = given.get(name, tuple(size if isinstance(size, int) else 1 for size in tensor.shape))
        declared = [size if isinstance(size, int) else "?" for size in tensor.shape]
        fits = len(shapes[name]) == len(declared) and all(
            want in ("?", size) and size > 0 for size, want in zip(shapes[name], declared, strict=True)
        )
        if not fits:
            problems.append(Problem(f"shape of '{name}'", f"{declared}, sizes of 1 and more", str(list(shapes[name]))))
    if problems:
        raise InputError("shapes that do not fit the model", problems)
    return shapes


__all__ = ["Callable", "Stimulus", "StimulusSet", "Target", "for_layer"]
