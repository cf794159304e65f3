"""Make stimuli for a whole network: patterns, random codes, and the best inputs that a seeded search found.

The inputs of a layer in the middle are what the layers before it make; they cannot be chosen freely. So these inputs
are never called exact: the search is hill climbing on the coverage that the set so far lacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Unpack

import numpy as np

from qdqnp.engine import Workplace
from qdqnp.errors import InputError, Problem
from qdqnp.executor.plan import on_host
from qdqnp.model import Model
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import profile_named
from qdqnp.program import Program, Tensor
from qdqnp.quant import EIGHT_BIT, Array
from qdqnp.stimuli.coverage import Coverage
from qdqnp.stimuli.effort import effort
from qdqnp.stimuli.find import Shapes, input_shapes, same_program
from qdqnp.stimuli.patterns import PATTERNS, Slot, draw, random_codes
from qdqnp.stimuli.result import PATTERN, RANDOM, SEARCH, Stimulus, StimulusSet
from qdqnp.stimuli.runner import Inputs, StimulusJob, runner

COVERAGE, DIFFERENCES = "coverage", "differences"


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
    **where: Unpack[Workplace],
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
        where: where inputs are computed: keyword arguments of qdqnp.engine.run_shards, this process without them. The
            set does not depend on it: changes to the best input so far are tried ahead, and anew where it changed.

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
    shape_of = input_shapes(plan, shapes or {})
    slots = input_slots(plan.program, shape_of)
    plan.admit(shape_of, keep_all=True)
    wanted = inputs_tried(count, steps, bool(others))
    allowed = effort(plan.steps, plan.shapes(shape_of), exhaustive)
    tries = Tries(min(wanted, allowed.inputs))
    with runner(StimulusJob(model, named, others), notify, **where) as run:
        kinds = [kind for kind in PATTERNS if tries.take()]
        patterns = run.each(
            PATTERN, PATTERN, [{name: PATTERNS[kind](slot) for name, slot in slots.items()} for kind in kinds]
        )
        stimuli = [replace(one, kind=kind) for kind, one in zip(kinds, patterns, strict=True)]
        stimuli += run.each(RANDOM, RANDOM, [inputs for inputs in random_codes(slots, count, seed) if tries.take()])
        rng = np.random.default_rng([seed, 1])
        known = known_coverage(stimuli)
        for _ in range(count):
            best = climb(partial(run.each, COVERAGE, SEARCH), run.ahead, partial(gain, known), slots, rng, steps, tries)
            if best is not None:
                known = united(known, best.coverage)
                stimuli.append(best)
        for _ in range(count if others else 0):
            best = climb(partial(run.each, DIFFERENCES, SEARCH), run.ahead, differing, slots, rng, steps, tries)
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
    run: Callable[[Sequence[Inputs]], Iterable[Stimulus]],
    ahead: int,
    score: Callable[[Stimulus], float],
    slots: Mapping[str, Slot],
    rng: np.random.Generator,
    steps: int,
    tries: Tries,
) -> Stimulus | None:
    """Return the best of `steps` inputs: first one start of each kind, then changes to the best so far; None where no
    try is left.

    What is drawn does not depend on what was found: so changes can be tried ahead. Where one of them is better, those
    behind it were changes to something else, and are tried again.
    """
    drawn = [drawn_step(step, slots, rng) for step in range(max(1, steps)) if tries.take()]
    best: Stimulus | None = None
    value = 0.0
    at = 0
    while at < len(drawn):
        until = at + (1 if best is None else ahead)
        for one in run([made({} if best is None else best.inputs) for made in drawn[at:until]]):
            at += 1
            found = score(one)
            if best is None or found > value:
                best, value = one, found
                break
    return best


def drawn_step(step: int, slots: Mapping[str, Slot], rng: np.random.Generator) -> Callable[[Inputs], Inputs]:
    """Draw a step of the search: a function of the best inputs so far that returns the inputs to try."""
    if step < len(STARTS):
        start = {name: STARTS[step](slot, rng) for name, slot in slots.items()}
        return lambda best: start
    changes = {name: change(slot, rng) for name, slot in slots.items()}
    return lambda best: {name: changed(best[name]) for name, changed in changes.items()}


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


def change(slot: Slot, rng: np.random.Generator) -> Callable[[Array], Array]:
    """Draw a random box of codes: a function of codes that returns a copy with this box in it."""
    if not math.prod(slot.shape):
        return np.array
    box = []
    for length in slot.shape:
        first, last = sorted(rng.integers(0, length, size=2).tolist())
        box.append(slice(first, last + 1))
    at = tuple(box)
    kind = (draw, *STARTS)[int(rng.integers(1 + len(STARTS)))]
    inside = kind(Slot(slot.dtype, tuple(part.stop - part.start for part in box), slot.zero_point), rng)

    def changed(codes: Array) -> Array:
        made = np.array(codes)  # without axes, codes may be a scalar
        made[at] = inside
        return made

    return changed


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
