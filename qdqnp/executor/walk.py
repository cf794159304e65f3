"""Evaluates steps in order: `fold` is the only loop that does so, `walk` runs a whole plan on one set of inputs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.executor.buffer import small_buffer
from qdqnp.executor.events import Events, events
from qdqnp.executor.plan import BoundStep, Plan, accumulators
from qdqnp.executor.threads import one_blas_thread
from qdqnp.kernels.scratch import Scratch
from qdqnp.quant import Array


@dataclass
class Notes:
    """What a trace records beyond tensors, by the name of each step's first output. What is None is not recorded."""

    #: int32 accumulators of the steps that requantize sums.
    accumulators: dict[str, Array] | None = None
    #: Events of the same steps.
    events: dict[str, Events] | None = None
    #: The numbers that each step's arithmetic uses, by name, in the very arrays that it uses.
    numbers: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def add(self, bound: BoundStep, values: Mapping[str, Array]) -> None:
        name = bound.step.output_names[0]
        used = bound.numbers(values)
        if used:
            self.numbers[name] = used
        if self.accumulators is not None:
            found = accumulators(bound, values)
            if found is not None:
                self.accumulators[name] = found
        if self.events is not None:
            counted = events(bound.questions(values), bound.profile)
            if counted is not None:
                self.events[name] = counted


@dataclass(frozen=True, eq=False)
class Evaluated:
    """One step of a fold, just evaluated."""

    #: The step's place among the steps of the fold.
    index: int
    bound: BoundStep
    #: Tensors by name: the step's inputs, and all that a later step still reads.
    values: Mapping[str, Array]
    #: What the step itself computed, by output name.
    made: dict[str, Array]


def fold(
    steps: Iterable[BoundStep],
    given: Mapping[str, Array],
    known: Mapping[str, Array] | None = None,
    last_use: Mapping[str, int] | None = None,
    scratch: Scratch | None = None,
) -> Iterator[Evaluated]:
    """Evaluate steps in order, each on what is given and what the steps before it made; yield every evaluated step.

        given: tensors to start from, by name; a step is left out if all its outputs are given.
        known: tensors that steps read instead of what earlier steps made of them; the steps that make them are
            evaluated all the same.
        last_use: for each tensor, the index of the last step that reads it, after which the fold lets go of it; None
            keeps everything.
        scratch: work memory; no array that is yielded lies in it.

    Raises ProfileError with the step's label where a value leaves the profile's domain, InputError where an input of a
    step is missing.
    """
    forced, work = known or {}, scratch or Scratch()
    values = {**given, **forced}
    for index, bound in enumerate(steps):
        if not all(name in given for name in bound.step.output_names):
            with np.errstate(all="ignore"):
                made = bound.compute_in_run(values, work)
            values.update(made)
            values.update(forced)
            yield Evaluated(index, bound, values, made)
        if last_use is not None:
            for name in bound.step.input_names:
                if last_use[name] == index:
                    values.pop(name, None)


def made_by(
    steps: Iterable[BoundStep],
    given: Mapping[str, Array],
    known: Mapping[str, Array] | None = None,
    scratch: Scratch | None = None,
) -> dict[str, Array]:
    """Return every tensor that a fold makes, by name. Arrays may share memory with inputs.

    Arguments and errors are those of `fold`.
    """
    with one_blas_thread(), small_buffer():
        return {name: array for done in fold(steps, given, known, scratch=scratch) for name, array in done.made.items()}


def walk(
    plan: Plan,
    feeds: Mapping[str, Array],
    keep: Collection[str] | None,
    notes: Notes | None = None,
    hold_blas: bool = True,
) -> dict[str, Array]:
    """Evaluate every step whose outputs are not already in `feeds`, and return the kept tensors by name, in order.

        keep: names to return, None for every tensor that is not a constant.
        notes: filled in during the walk, if given.
        hold_blas: whether BLAS is held to one thread.

    The returned arrays are fresh: they do not share memory with inputs, constants or work memory.
    """
    kept = {name: array.copy() for name, array in feeds.items() if keep is None or name in keep}
    with one_blas_thread(hold_blas), small_buffer(), plan.scratch.lend() as scratch:
        for done in fold(plan.steps, feeds, last_use=plan.last_use, scratch=scratch):
            if notes is not None:
                with np.errstate(all="ignore"):  # as when steps are bound and evaluated
                    notes.add(done.bound, done.values)
            for name, array in done.made.items():
                if keep is None or name in keep:
                    kept[name] = array.copy() if done.bound.operator.views else np.asarray(array, order="C")
    return kept
