"""A schedule: what is done in a run for known shapes, in order, and where its images lie. It is immutable."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from qdqnp.executor.buffer import small_buffer
from qdqnp.executor.threads import one_blas_thread
from qdqnp.kernels.scratch import Scratch
from qdqnp.quant import Array
from qdqnp.schedule.actions import Action, RunMemory, forgotten
from qdqnp.schedule.arena import aligned, carve, rounded
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
        self._free: deque[_Arena] = deque()
        #: The tensors of codes whose arrays share no memory with others.
        self._fresh = frozenset(name for action in self.actions for name in action.fresh)

    @property
    def nbytes(self) -> int:
        """The bytes of an arena."""
        return 4 * (self.floats + self.work)

    def last_reads(self) -> list[list[str]]:
        """Return, for each action, the tensors of codes that nothing after it reads."""
        last = {name: at for at, action in enumerate(self.actions) for name in action.codes}
        done: list[list[str]] = [[] for _ in self.actions]
        for name, at in last.items():
            if name not in self._wanted:
                done[at].append(name)
        return done

    def run(self, feeds: Mapping[str, Array], hold_blas: bool = True) -> dict[str, Array]:
        """Return the wanted tensors by name; they share no memory with inputs or arena.

            feeds: the tensors that the run starts from, for one picture.
            hold_blas: whether BLAS is held to one thread.

        Raises ProfileError with the step's label where a value leaves the profile's domain.
        """
        values = {**self._fixed, **feeds}
        ignored = np.errstate(all="ignore")  # overflow to infinity and NaN are values here, with defined codes
        with one_blas_thread(hold_blas), small_buffer(), ignored, self._lend() as arena:
            for calls in arena.calls:
                for call in calls:
                    call(values)
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
    """The memory of one run at a time, and the actions bound to it."""

    def __init__(self, schedule: Schedule) -> None:
        images, work = carve(aligned(rounded(schedule.floats) + schedule.work), (schedule.floats, schedule.work))
        placed = {name: place.put(images) for name, place in schedule.places.items()}
        memory = RunMemory(placed, work, Scratch())
        each = zip(schedule.actions, schedule.last_reads(), strict=True)
        self.calls = [[*action.bind(memory), *forgotten(done)] for action, done in each]
