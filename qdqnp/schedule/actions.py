"""What is done in a run, one action after the other. An action is bound to memory once, and then called in each run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from qdqnp.executor.buffer import small_buffer
from qdqnp.executor.plan import BoundStep
from qdqnp.executor.threads import Crew
from qdqnp.graph import Sizes
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.tables import UnaryTable
from qdqnp.quant import Array
from qdqnp.schedule.arena import carve
from qdqnp.schedule.form import Form
from qdqnp.schedule.image import Image, PlacedImage
from qdqnp.schedule.leaving import Leaving

#: Products that a form computes, at least, that are worth to be divided among threads. Measured; it decides speed only.
FEWEST_PRODUCTS = 25_000_000

#: Does a part of an action. It is given the tensors of codes by name, and adds those that it makes.
Act = Callable[[dict[str, Array]], None]


@dataclass(frozen=True, eq=False)
class RunMemory:
    """The memory of one run at a time."""

    #: The images by name.
    placed: Mapping[str, PlacedImage]
    #: For each thread, flat floats that the forms share.
    works: Sequence[Array]
    #: The threads.
    crew: Crew
    #: What steps on codes share.
    scratch: Scratch


class Action(ABC):
    """One thing that is done."""

    @property
    def images(self) -> tuple[str, ...]:
        """The images that are read or made, by name."""
        return ()

    @property
    def codes(self) -> tuple[str, ...]:
        """The tensors of codes that are read, by name."""
        return ()

    @property
    def fresh(self) -> tuple[str, ...]:
        """The tensors of codes that are made, by name, in arrays that share no memory with others."""
        return ()

    @abstractmethod
    def bind(self, memory: RunMemory) -> Sequence[Act]:
        """Return what does it, in order."""

    def shared(self, threads: int) -> Action:
        """Return what does it in several threads where that pays, else the action itself."""
        return self


@dataclass(frozen=True, eq=False)
class Compiled(Action):
    """A step is computed in its compiled form, on images."""

    form: Form

    @property
    def images(self) -> tuple[str, ...]:
        return (*self.form.inputs, self.form.output.name)

    @property
    def codes(self) -> tuple[str, ...]:
        return self.form.codes

    def bind(self, memory: RunMemory) -> Sequence[Act]:
        form = self.form
        calls = form.bind(memory.placed, carve(memory.works[0], form.work))
        return [*_cleared(memory.placed[form.output.name]), *calls]

    def shared(self, threads: int) -> Action:
        shares = self.form.shares(threads) if threads > 1 and self.form.products >= FEWEST_PRODUCTS else []
        return Shared(self.form, shares) if len(shares) > 1 else self


@dataclass(frozen=True, eq=False)
class Shared(Compiled):
    """A step is computed by several threads, some rows of its output each."""

    shares: Sequence[Form]

    def bind(self, memory: RunMemory) -> Sequence[Act]:
        each = [
            share.bind(memory.placed, carve(work, share.work))
            for share, work in zip(self.shares, memory.works, strict=False)
        ]
        return [*_cleared(memory.placed[self.form.output.name]), partial(_together, memory.crew, each)]


def _together(crew: Crew, each: Sequence[Sequence[Act]], values: dict[str, Array]) -> None:
    """Let each thread make its calls."""
    crew.together([partial(_made, calls, values) for calls in each])


def _made(calls: Sequence[Act], values: dict[str, Array]) -> None:
    with small_buffer(), np.errstate(all="ignore"):  # both are of a thread
        for call in calls:
            call(values)


@dataclass(frozen=True, eq=False)
class Defined(Action):
    """A step without a compiled form is computed on codes."""

    bound: BoundStep

    @property
    def codes(self) -> tuple[str, ...]:
        return self.bound.step.input_names

    @property
    def fresh(self) -> tuple[str, ...]:
        return () if self.bound.operator.views else self.bound.step.output_names

    def bind(self, memory: RunMemory) -> Sequence[Act]:
        return [lambda values: values.update(self.bound.compute_in_run(values, memory.scratch))]


@dataclass(frozen=True, eq=False)
class Entered(Action):
    """Codes become an image."""

    image: Image

    @property
    def images(self) -> tuple[str, ...]:
        return (self.image.name,)

    @property
    def codes(self) -> tuple[str, ...]:
        return (self.image.name,)

    def bind(self, memory: RunMemory) -> Sequence[Act]:
        name, placed = self.image.name, memory.placed[self.image.name]
        return [*_cleared(placed), lambda values: placed.take(values[name])]


@dataclass(frozen=True, eq=False)
class Left(Action):
    """An image becomes codes."""

    image: Image
    #: Channels whose codes are there already, (first, stop) by the name of the tensor that has them, by their first.
    known: Mapping[str, tuple[int, int]]

    @property
    def images(self) -> tuple[str, ...]:
        return (self.image.name,)

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(self.known)

    @property
    def fresh(self) -> tuple[str, ...]:
        return (self.image.name,)

    def bind(self, memory: RunMemory) -> Sequence[Act]:
        name, known = self.image.name, tuple(self.known)
        codes = Leaving(memory.placed[name], memory.works[0], list(self.known.values()))

        def leave(values: dict[str, Array]) -> None:
            values[name] = codes(*(values[part] for part in known))

        return [leave]


@dataclass(frozen=True, eq=False)
class Looked(Action):
    """Codes that are a function of others are looked up."""

    #: The label of the step that quantizes them.
    label: str
    source: str
    made: str
    table: UnaryTable

    @property
    def codes(self) -> tuple[str, ...]:
        return (self.source,)

    @property
    def fresh(self) -> tuple[str, ...]:
        return (self.made,)

    def bind(self, memory: RunMemory) -> Sequence[Act]:
        def look(values: dict[str, Array]) -> None:
            values[self.made] = self.table(values[self.source])

        return [look]


@dataclass(frozen=True, eq=False)
class Reshaped(Action):
    """A tensor of codes gets another shape; its elements stay in their order."""

    label: str
    source: str
    made: str
    shape: Sizes

    @property
    def codes(self) -> tuple[str, ...]:
        return (self.source,)

    def bind(self, memory: RunMemory) -> Sequence[Act]:
        def reshape(values: dict[str, Array]) -> None:
            values[self.made] = values[self.source].reshape(self.shape)

        return [reshape]


def forgotten(names: Sequence[str]) -> Sequence[Act]:
    """Return what lets go of tensors of codes; nothing where there are none."""

    def forget(values: dict[str, Array]) -> None:
        for name in names:
            values.pop(name, None)

    return [forget] if names else []


def _cleared(placed: PlacedImage) -> Sequence[Act]:
    """Return what writes the rows of zeros around an image; nothing where there are none."""
    return [lambda _: placed.clear_borders()] if len(placed.array) > placed.image.height else []
