"""Inputs of the `*_val_io.npz` that ST Edge AI's `validate` writes, as the model declares them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from qdqnp.files.npy import Arrays
from qdqnp.files.st_keys import StKey, st_key
from qdqnp.graph import Shape
from qdqnp.model import codes_taken
from qdqnp.program import Program, Tensor
from qdqnp.quant import EIGHT_BIT, Array, shifted


@dataclass(frozen=True)
class Validated:
    """An array that stands for an input of the model."""

    #: Its name in the file.
    name: str
    #: Whether it is what the device was given; else what the original model was given.
    device: bool

    def shape(self, arrays: Arrays, tensor: Tensor) -> tuple[int, ...]:
        """Return the array's shape in the order of the model's axes."""
        given = arrays.header(self.name).shape
        if self._flat(given, tensor):
            return (given[0], given[3])
        return (given[0], given[3], given[1], given[2]) if self._channel_last(given, tensor) else given

    def read(self, arrays: Arrays, program: Program, tensor: Tensor) -> Array:
        """Return the array in the order of the model's axes, 8-bit codes in the dtype that the model takes.

        Codes of the other sign are 128 higher or lower: tools that change the dtype of an input move its zero point
        with it.
        """
        array = arrays.read(self.name)
        given = array.shape
        if self._flat(given, tensor):
            array = array.reshape(given[0], given[3])
        elif self._channel_last(given, tensor):
            array = np.moveaxis(array, -1, 1)
        taken = tensor.dtype if tensor.dtype in EIGHT_BIT else codes_taken(program, tensor)
        return shifted(array, taken) if array.dtype in EIGHT_BIT and taken in EIGHT_BIT else array

    def _flat(self, given: Sequence[int], tensor: Tensor) -> bool:
        return len(tensor.shape) == 2 and len(given) == 4 and tuple(given[1:3]) == (1, 1)

    def _channel_last(self, given: Sequence[int], tensor: Tensor) -> bool:
        """Tell whether channels are last: where the model's own order fits as well, arrays of the device are."""
        if len(tensor.shape) != 4 or len(given) != 4:
            return False
        _, channels, rows, columns = tensor.shape
        last = _fits(given[1:], (rows, columns, channels))
        return last and (self.device or not _fits(given[1:], (channels, rows, columns)))


def _fits(sizes: Sequence[int], declared: Shape) -> bool:
    return all(not isinstance(want, int) or size == want for size, want in zip(sizes, declared, strict=True))


def validated(names: Collection[str], program: Program) -> dict[str, Validated] | None:
    """Return the array for each input of the model, by the input's name: the device's, else the original model's.

        names: the arrays of a file.

    Returns None where the file is of another kind, or lacks one.
    """
    keys = {st_key(name): name for name in names}
    found: dict[str, Validated] = {}
    for number, name in enumerate(program.inputs):
        for device in (True, False):
            held = keys.get(StKey(device, "inputs", number))
            if held is not None:
                found.setdefault(name, Validated(held, device))
    return found if len(found) == len(program.inputs) else None
