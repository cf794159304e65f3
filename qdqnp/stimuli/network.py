"""Make stimuli for a whole network: patterns, random codes, and the best inputs that a seeded search found.

The inputs of a layer in the middle are what the layers before it make; they cannot be chosen freely. So these inputs
are never called exact: the search is hill climbing on the coverage that the set so far lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from qdqnp.errors import InputError, Problem
from qdqnp.executor.plan import Plan, on_host
from qdqnp.executor.walk import walk
from qdqnp.model import Model, feeds_for
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import profile_named
from qdqnp.program import Program, Tensor
from qdqnp.quant import EIGHT_BIT, Array
from qdqnp.stimuli.coverage import Coverage, measured
from qdqnp.stimuli.effort import effort
from qdqnp.stimuli.find import Shapes, input_shapes, same_program
from qdqnp.stimuli.patterns import PATTERNS, Slot, draw, random_codes
from qdqnp.stimuli.result import PATTERN, RANDOM, SEARCH, Stimulus, StimulusSet
from qdqnp.stimuli.subject import met_by

COVERAGE, DIFFERENCES = "coverage", "differences"
Inputs = Mapping[str, Array]


def for_network(
    model: Model,
    profile: str | Profile = "ort",
    *,
    against: tuple[str | Profile, str | Profile] | None = None,
    seed: int = 0,
    count: int = 4,
    steps: int = 10,
    shapes: Shapes | None = None,
    notify: Callable[[], None] = lambda: None,
    exhaustive: bool = False,
) -> StimulusSet:
    """Make inputs for the whole network, as codes of the quantizers that read them.

        model: the network.
        profile: the arithmetic.
        against: two profiles to tell apart.
        seed: seed of the random inputs and of the search.
        count: number of random inputs, and number of inputs to search for with each kind of search.
        steps: number of inputs that are tried for each input to search for.
        shapes: shapes of the inputs by name; symbolic sizes that are not given are 1.
        notify: called after each input that was tried.
        exhaustive: whether to try all of them, however long it takes; otherwise fewer, where the network is small and
            its tensors are huge, and a verdict says how many.

    Raises InputError where an input does not have codes, ProfileError where a profile does not define a layer.

    >>> import qdqnp
    >>> from qdqnp.inputs.shipped import shipped_model
    >>> model = qdqnp.load(shipped_model("dla46_c_int8"))
    >>> found = qdqnp.stimuli.for_network(model, count=1, steps=0)
    >>> [stimulus.kind for stimulus in found.stimuli]
    ['minimum', 'maximum', 'zero-point', 'alternating', 'first-maximum-then-minus-one', 'random', 'coverage']
    """
    named = profile_named(profile)
    others = tuple(profile_named(other) for other in against or ())
    plan = model.plan(named)
    for other in others:
        same_program(model, named, other)
    run = Runner(plan, tuple(model.plan(other, named.lowering) for other in others), notify)
    shape_of = input_shapes(plan, shapes or {})
    slots = input_slots(plan.program, shape_of)
    plan.admit(shape_of, keep_all=True)
    wanted = inputs_tried(count, steps, bool(others))
    allowed = effort(plan.steps, plan.shapes(shape_of), exhaustive)
    tries = Tries(min(wanted, allowed.inputs))
    stimuli = [
        run(kind, PATTERN, {name: make(slot) for name, slot in slots.items()})
        for kind, make in PATTERNS.items()
        if tries.take()
    ]
    stimuli += [run(RANDOM, RANDOM, inputs) for inputs in random_codes(slots, count, seed) if tries.take()]
    rng = np.random.default_rng([seed, 1])
    known = known_coverage(stimuli)
    for _ in range(count):
        best = climb(partial(run, COVERAGE, SEARCH), partial(gain, known), slots, rng, steps, tries)
        if best is not None:
            known = united(known, best.coverage)
            stimuli.append(best)
    for _ in range(count if others else 0):
        best = climb(partial(run, DIFFERENCES, SEARCH), differing, slots, rng, steps, tries)
        stimuli += [] if best is None else [best]
    against_names = tuple(other.name for other in others)
    verdicts = allowed.left_out(tries.taken, wanted)
    hosted = tuple(step.label for step in plan.program.steps if on_host(plan.program, step))
    return StimulusSet(named.name, "", "", stimuli, verdicts, against=against_names, seed=seed, on_host=hosted)


@dataclass
class Tries:
    """The inputs that a search may still try."""

    #: How many there are.
    most: int
    #: How many were taken.
    taken: int = 0

    def take(self) -> bool:
        """Take one and return True, or return False where none is left."""
        if self.taken >= self.most:
            return False
        self.taken += 1
        return True


def inputs_tried(count: int, steps: int, discriminating: bool) -> int:
    """Return how many inputs `for_network` runs."""
    return len(PATTERNS) + count + count * max(1, steps) * (2 if discriminating else 1)


@dataclass(frozen=True, eq=False)
class Runner:
    """Runs the network on one input and measures every layer."""

    #: The network under the profile.
    plan: Plan
    #: The plans of the two profiles to tell apart; empty without such profiles.
    pair: tuple[Plan, ...]
    #: Called after each run.
    notify: Callable[[], None]

    def __call__(self, kind: str, method: str, inputs: Inputs) -> Stimulus:
        feeds = feeds_for(self.plan, inputs, keep_all=True)
        values = {**feeds, **walk(self.plan, feeds, None)}
        coverage = {
            label: measured(met_by(bound, values), values[bound.step.output_names[0]])
            for label, bound in zip(self._labels(), self.plan.steps, strict=True)
            if bound.operator.rule
        }
        self.notify()
        return Stimulus(kind, method, inputs, coverage, differing=self._differing(feeds))

    def _labels(self) -> list[str]:
        """Name each step: its label, or what it makes where two steps have the same label."""
        labels = [bound.step.label for bound in self.plan.steps]
        return [
            label if labels.count(label) == 1 else bound.step.output_names[0]
            for label, bound in zip(labels, self.plan.steps, strict=True)
        ]

    def _differing(self, feeds: Inputs) -> int | None:
        """Count the elements, over all tensors, on which the two profiles differ."""
        if not self.pair:
            return None
        first, second = (walk(plan, feeds, None) for plan in self.pair)
        return sum(int(np.count_nonzero(first[name] != second[name])) for name in first)


# -- what is missing yet -----------------------------------------------------------------------------------------------
Known = dict[str, Coverage]


def known_coverage(stimuli: list[Stimulus]) -> Known:
    known: Known = {}
    for stimulus in stimuli:
        known = united(known, stimulus.coverage)
    return known


def united(known: Known, more: Mapping[str, Coverage]) -> Known:
    return {label: known[label].plus(part) if label in known else part for label, part in more.items()}


def gain(known: Known, stimulus: Stimulus) -> float:
    """Rate how much a stimulus adds: over all layers, the share of codes and of channels with ties or saturations that
    no earlier stimulus reached, and 1 for each of the four kinds of events that a layer had not met yet."""
    return sum(worth(known[label].plus(part)) - worth(known[label]) for label, part in stimulus.coverage.items())


def differing(stimulus: Stimulus) -> float:
    return float(stimulus.differing or 0)


def worth(coverage: Coverage) -> float:
    """Rate the coverage of one layer, from 0 to 6."""
    shares = [float(mask.mean()) for mask in (coverage.seen, coverage.reached) if mask.size]
    events = (coverage.ties_negative, coverage.ties_positive, coverage.saturated_low, coverage.saturated_high)
    return sum(shares) + sum(bool(count) for count in events)


# -- the search --------------------------------------------------------------------------------------------------------
def climb(
    run: Callable[[Inputs], Stimulus],
    score: Callable[[Stimulus], float],
    slots: Mapping[str, Slot],
    rng: np.random.Generator,
    steps: int,
    tries: Tries,
) -> Stimulus | None:
    """Return the best of `steps` inputs: first one start of each kind, then changes to the best so far; None where no
    try is left."""
    best: Stimulus | None = None
    value = 0.0
    for step in range(max(1, steps)):
        if not tries.take():
            break
        if best is None or step < len(STARTS):
            inputs = {name: STARTS[step](slot, rng) for name, slot in slots.items()}
        else:
            inputs = {name: changed(best.inputs[name], slot, rng) for name, slot in slots.items()}
        one = run(inputs)
        found = score(one)
        if best is None or found > value:
            best, value = one, found
    return best


def blocks(slot: Slot, rng: np.random.Generator) -> Array:
    """Draw random codes that are equal in blocks of the last axes: filters for edges and areas respond more strongly to
    them."""
    shape = slot.shape
    size = int(rng.integers(2, 9))
    coarse = tuple(-(-length // size) if axis >= len(shape) - 2 else length for axis, length in enumerate(shape))
    codes = draw(Slot(slot.dtype, coarse, slot.zero_point), rng)
    for axis in range(max(0, len(shape) - 2), len(shape)):
        codes = np.repeat(codes, size, axis=axis)
    return codes[tuple(slice(length) for length in shape)]


def narrow(slot: Slot, rng: np.random.Generator) -> Array:
    """Draw codes near the zero point."""
    low, high = slot.range
    reach = int(rng.integers(2, 40))
    near = rng.integers(slot.zero_point - reach, slot.zero_point + reach, size=slot.shape, endpoint=True)
    return np.clip(near, low, high).astype(slot.dtype)


def extreme(slot: Slot, rng: np.random.Generator) -> Array:
    """Draw the lowest or highest code everywhere."""
    return rng.choice(np.array(slot.range, slot.dtype), size=slot.shape)


STARTS = (blocks, narrow, extreme)


def changed(codes: Array, slot: Slot, rng: np.random.Generator) -> Array:
    """Return a copy in which a random box is drawn anew."""
    made = np.array(codes)  # without axes, codes may be a scalar
    if not made.size:
        return made
    box = []
    for length in slot.shape:
        first, last = sorted(rng.integers(0, length, size=2).tolist())
        box.append(slice(first, last + 1))
    at = tuple(box)
    kind = (draw, *STARTS)[int(rng.integers(1 + len(STARTS)))]
    made[at] = kind(Slot(slot.dtype, made[at].shape, slot.zero_point), rng)
    return made


# -- the inputs --------------------------------------------------------------------------------------------------------
def input_slots(program: Program, shapes: Shapes) -> dict[str, Slot]:
    """Return the codes that each input of the network takes. Raises InputError that lists the inputs without 8-bit
    codes."""
    slots: dict[str, Slot] = {}
    problems = []
    for name in program.inputs:
        slot = _slot(program, program.tensors[name], shapes[name])
        if slot is None:
            problems.append(
                Problem(
                    f"input '{name}'",
                    "8-bit codes, or an input that only one quantizer reads",
                    str(program.tensors[name].dtype),
                    "Choose a layer: --layer NAME.",
                )
            )
        else:
            slots[name] = slot
    if problems:
        raise InputError("no codes to make inputs of", problems)
    return slots


def _slot(program: Program, tensor: Tensor, shape: tuple[int, ...]) -> Slot | None:
    if tensor.dtype in EIGHT_BIT:
        zero = int(tensor.quant.zero_point.reshape(-1)[0]) if tensor.quant is not None else 0
        return Slot(tensor.dtype, shape, zero)
    readers = [step for step in program.steps if tensor.name in step.input_names]
    quants = [step.outputs[0].quant for step in readers if step.quantizes]
    first = quants[0] if quants else None
    if first is None or len(quants) != len(readers) or tensor.name in program.outputs or first.dtype not in EIGHT_BIT:
        return None
    if not first.per_tensor or not all(quant is not None and quant.same_as(first) for quant in quants):
        return None
    return Slot(first.dtype, shape, int(first.zero_point))
