"""A schedule: what is done in a run for known shapes, in order, and where its images lie. It is immutable."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from qdqnp.executor.buffer import small_buffer
from qdqnp.executor.threads import ONE, Crew, one_blas_thread
from qdqnp.kernels.scratch import Scratch
from qdqnp.limits import SCHEDULE_BYTES
from qdqnp.quant import Array
from qdqnp.schedule.actions import Action, Compiled, RunMemory, Shared, forgotten
from qdqnp.schedule.arena import aligned, carve, rounded
from qdqnp.schedule.form import floats_of
from qdqnp.schedule.image import Image, PlacedImage
from qdqnp.schedule.products import view


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
        #: Arenas that no run has, by number of threads.
        self._free: dict[int, deque[_Arena]] = {}
        #: The tensors of codes whose arrays share no memory with others.
        self._fresh = frozenset(name for action in self.actions for name in action.fresh)

    @property
    def nbytes(self) -> int:
        """The bytes of an arena of one thread."""
        return 4 * (self.floats + self.work)

    @property
    def compiled(self) -> bool:
        """Whether any step is computed on images."""
        return any(isinstance(action, Compiled) for action in self.actions)

    def shared(self, threads: int) -> tuple[Action, ...]:
        """Return the actions, divided among threads where that pays."""
        return tuple(action.shared(threads) for action in self.actions)

    def last_reads(self) -> list[list[str]]:
        """Return, for each action, the tensors of codes that nothing after it reads."""
        last = {name: at for at, action in enumerate(self.actions) for name in action.codes}
        done: list[list[str]] = [[] for _ in self.actions]
        for name, at in last.items():
            if name not in self._wanted:
                done[at].append(name)
        return done

    def run(self, feeds: Mapping[str, Array], threads: int = ONE, hold_blas: bool = True) -> dict[str, Array]:
        """Return the wanted tensors by name; they share no memory with inputs or arena.

            feeds: the tensors that the run starts from, for one picture.
            threads: how many compute at a time, at most; each has work memory.
            hold_blas: whether BLAS is held to one thread.

        Raises ProfileError with the step's label where a value leaves the profile's domain.
        """
        values = {**self._fixed, **feeds}
        ignored = np.errstate(all="ignore")  # overflow to infinity and NaN are values here, with defined codes
        with one_blas_thread(hold_blas), small_buffer(), ignored, self._lend(self._most(threads)) as arena:
            for calls in arena.calls:
                for call in calls:
                    call(values)
        return {name: self._own(values[name], name) for name in self._wanted if name in values}

    def _own(self, array: Array, name: str) -> Array:
        """Return an array that nothing else holds: a copy, where its maker does not give a fresh one."""
        return np.asarray(array, order="C") if name in self._fresh else np.array(array, order="C")

    def _most(self, threads: int) -> int:
        """Return how many of so many threads have work memory within the limit of an arena."""
        return max(ONE, min(threads, (SCHEDULE_BYTES // 4 - self.floats) // max(1, self.work)))

    @contextmanager
    def _lend(self, threads: int) -> Iterator[_Arena]:
        """Lend an arena. What dicts and deques do here is atomic: no lock, which a fork would leave locked."""
        free = self._free.setdefault(threads, deque())
        try:
            arena = free.pop()
        except IndexError:
            arena = _Arena(self, threads)
        try:
            with arena.crew.at_work():
                yield arena
        finally:
            free.append(arena)


class _Arena:
    """The memory of one run at a time, and the actions bound to it."""

    def __init__(self, schedule: Schedule, threads: int) -> None:
        actions = schedule.shared(threads)
        shared = [action for action in actions if isinstance(action, Shared)]
        count = max((len(action.shares) for action in shared), default=ONE)
        floats = max((floats_of(share) for action in shared for share in action.shares), default=0)
        sizes = (schedule.floats, *[max(schedule.work, floats)] * count)
        images, *works = carve(aligned(sum(map(rounded, sizes))), sizes)
        placed = {name: place.put(images) for name, place in schedule.places.items()}
        self.crew = Crew(count)
        memory = RunMemory(placed, works, self.crew, Scratch())
        each = zip(actions, schedule.last_reads(), strict=True)
        self.calls = [[*action.bind(memory), *forgotten(done)] for action, done in each]
