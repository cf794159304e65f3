"""A batch whose pictures are computed one by one, each thread with an arena of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from qdqnp.executor.buffer import small_buffer
from qdqnp.executor.plan import BoundStep
from qdqnp.executor.threads import each, one_blas_thread
from qdqnp.executor.walk import fold
from qdqnp.quant import Array
from qdqnp.schedule.schedule import Schedule


class Batch:
    """What is done for a batch of known shape. Threads may share it."""

    def __init__(
        self,
        one: Schedule,
        pictures: int,
        apart: Collection[str],
        together: Sequence[BoundStep],
        wanted: Collection[str],
        fixed: Mapping[str, Array],
    ) -> None:
        #: What is done for each picture.
        self.one = one
        self.pictures = pictures
        self._apart = frozenset(apart)
        #: What is done for the whole batch, after that.
        self.together = tuple(together)
        self._wanted = frozenset(wanted)
        #: Tensors that do not depend on the inputs.
        self._fixed = fixed

    def run(self, feeds: Mapping[str, Array], threads: int | None) -> dict[str, Array]:
        """Return the wanted tensors by name; they share no memory with inputs or arenas.

            feeds: the tensors that the run starts from.
            threads: how many pictures are computed at a time, None for as many as there are processors.

        Raises ProfileError with the step's label where a value leaves the profile's domain.
        """

        def compute(index: int) -> dict[str, Array]:
            alone = {name: feeds[name][index : index + 1] for name in self._apart if name in feeds}
            return self.one.run(alone, hold_blas=False)

        there = {**self._fixed, **feeds}
        values = {name: there[name].copy() for name in self._wanted if name in there}
        with one_blas_thread():
            for index, found in enumerate(each(compute, range(self.pictures), threads)):
                for name, array in found.items():
                    if name not in values:
                        values[name] = np.empty((self.pictures, *array.shape[1:]), array.dtype)
                    values[name][index] = array[0]
            if self.together:
                self._together(there, values)
        return {name: array for name, array in values.items() if name in self._wanted}

    def _together(self, there: Mapping[str, Array], values: dict[str, Array]) -> None:
        """Evaluate the steps that need the whole batch, and add what is wanted of them to the values.

        there: what the run starts from.
        """
        last = {name: index for index, bound in enumerate(self.together) for name in bound.step.input_names}
        with small_buffer():
            for done in fold(self.together, {**there, **values}, last_use=last):
                for name, array in done.made.items():
                    if name in self._wanted:
                        values[name] = array.copy() if done.bound.operator.views else np.asarray(array, order="C")
