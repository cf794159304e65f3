"""A schedule: what is done in a run for known shapes, in order, and where its images lie. It is immutable."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from qdqnp.executor.buffer import small_buffer
from qdqnp.executor.plan import BoundStep
from qdqnp.executor.threads import one_blas_thread
from qdqnp.executor.walk import fold
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.tables import UnaryTable
from qdqnp.quant import Array
from qdqnp.schedule.arena import aligned, carve, rounded
from qdqnp.schedule.form import Call, Form
from qdqnp.schedule.image import Image, PlacedImage
from qdqnp.schedule.products import view


@dataclass(frozen=True, eq=False)
class Compiled:
    """A step in its compiled form, on images."""

    form: Form

    @property
    def images(self) -> tuple[str, ...]:
        return (*self.form.inputs, self.form.output.name)

    @property
    def codes(self) -> tuple[str, ...]:
        return self.form.codes


@dataclass(frozen=True, eq=False)
class Defined:
    """A step without a compiled form, on codes."""

    bound: BoundStep
    images: tuple[str, ...] = ()

    @property
    def codes(self) -> tuple[str, ...]:
        return self.bound.step.input_names


@dataclass(frozen=True, eq=False)
class Entered:
    """Codes become an image."""

    image: Image

    @property
    def images(self) -> tuple[str, ...]:
        return (self.image.name,)

    codes = images


@dataclass(frozen=True, eq=False)
class Left:
    """An image becomes codes."""

    image: Image
    codes: tuple[str, ...] = ()

    @property
    def images(self) -> tuple[str, ...]:
        return (self.image.name,)


@dataclass(frozen=True, eq=False)
class Looked:
    """Codes that are a function of others are looked up."""

    #: The label of the step that quantizes them.
    label: str
    source: str
    made: str
    table: UnaryTable
    images: tuple[str, ...] = ()

    @property
    def codes(self) -> tuple[str, ...]:
        return (self.source,)


Action = Compiled | Defined | Entered | Left | Looked


@dataclass(frozen=True, eq=False)
class ArenaPlace:
    """Where an image lies in the arena."""

    image: Image
    #: Where the memory begins, in floats.
    start: int
    #: The channels of the image in whose memory it lies, and its first channel there.
    pitch: int
    channel: int
    #: Rows of zeros.
    above: int
    below: int

    def put(self, arena: Array) -> PlacedImage:
        """Return the image in an arena."""
        image = self.image
        shape = (self.above + image.height + self.below, image.width, image.channels)
        strides = (image.width * self.pitch, self.pitch, 1)
        return PlacedImage(image, view(arena, self.start + self.channel, shape, strides), self.above)


class Schedule:
    """What is done for known shapes. Threads may share it: each run borrows an arena."""

    def __init__(
        self,
        actions: Sequence[Action],
        places: Mapping[str, ArenaPlace],
        floats: int,
        work: int,
        wanted: Collection[str],
        fixed: Mapping[str, Array],
    ) -> None:
        self.actions = tuple(actions)
        self.places = places
        #: Floats of all images at once, and of the work memory that the forms share.
        self.floats, self.work = floats, work
        self._wanted = frozenset(wanted)
        #: Tensors that do not depend on the inputs.
        self._fixed = fixed
        self._free: deque[_Arena] = deque()
        #: The tensors of codes whose arrays share no memory with others.
        self._fresh = frozenset(self._made_fresh())
        #: For each action, the tensors of codes that nothing after it reads.
        self._done = self._last_reads()

    @property
    def nbytes(self) -> int:
        """The bytes of an arena."""
        return 4 * (self.floats + self.work)

    def _made_fresh(self) -> Iterator[str]:
        for action in self.actions:
            if isinstance(action, Left):
                yield action.image.name
            elif isinstance(action, Looked):
                yield action.made
            elif isinstance(action, Defined) and not action.bound.operator.views:
                yield from action.bound.step.output_names

    def _last_reads(self) -> tuple[tuple[str, ...], ...]:
        last = {name: at for at, action in enumerate(self.actions) for name in action.codes}
        done: list[list[str]] = [[] for _ in self.actions]
        for name, at in last.items():
            if name not in self._wanted:
                done[at].append(name)
        return tuple(map(tuple, done))

    def run(self, feeds: Mapping[str, Array], hold_blas: bool = True) -> dict[str, Array]:
        """Return the wanted tensors by name; they share no memory with inputs or arena.

            feeds: the tensors that the run starts from, for one picture.
            hold_blas: whether BLAS is held to one thread.

        Raises ProfileError with the step's label where a value leaves the profile's domain.
        """
        values = {**self._fixed, **feeds}
        with one_blas_thread(hold_blas), small_buffer(), self._lend() as arena:
            for action, calls, done in zip(self.actions, arena.calls, self._done, strict=True):
                if isinstance(action, Defined):
                    for evaluated in fold((action.bound,), values, scratch=arena.scratch):
                        values.update(evaluated.made)
                elif isinstance(action, Left):
                    values[action.image.name] = arena.placed[action.image.name].codes()
                elif isinstance(action, Looked):
                    values[action.made] = action.table(values[action.source])
                else:
                    with np.errstate(all="ignore"):
                        for call in calls:
                            call(values)
                for name in done:
                    values.pop(name, None)
        return {name: self._own(values[name], name) for name in self._wanted if name in values}

    def _own(self, array: Array, name: str) -> Array:
        """Return an array that nothing else holds: a copy, where its maker does not give a fresh one."""
        return np.asarray(array, order="C") if name in self._fresh else np.array(array, order="C")

    @contextmanager
    def _lend(self) -> Iterator[_Arena]:
        """Lend an arena. A deque's `append` and `pop` are atomic: no lock, which a fork would leave locked."""
        try:
            arena = self._free.pop()
        except IndexError:
            arena = _Arena(self)
        try:
            yield arena
        finally:
            self._free.append(arena)


class _Arena:
    """The memory of one run at a time, and the schedule's calls bound to it."""

    def __init__(self, schedule: Schedule) -> None:
        memory, work = carve(aligned(rounded(schedule.floats) + schedule.work), (schedule.floats, schedule.work))
        self.placed = {name: place.put(memory) for name, place in schedule.places.items()}
        self.scratch = Scratch()
        self.calls = [self._calls(action, work) for action in schedule.actions]

    def _calls(self, action: Action, work: Array) -> Sequence[Call]:
        if isinstance(action, Entered):
            image = self.placed[action.image.name]
            return [_cleared(image), lambda values: image.take(values[image.image.name])]
        if isinstance(action, Compiled):
            form = action.form
            made = form.bind(self.placed, carve(work, form.work))
            return [_cleared(self.placed[form.output.name]), *made]
        return ()


def _cleared(image: PlacedImage) -> Call:
    return lambda _: image.clear_borders()
