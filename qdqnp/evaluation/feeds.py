"""What a model is fed of one input of a data set, with a batch axis of 1."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qdqnp.errors import InputError
from qdqnp.evaluation.sample import Content
from qdqnp.files.pictures import decode_picture
from qdqnp.inputs.pictures import Picture, Preprocessing, picture_feeds, pillow
from qdqnp.program import Program, Tensor
from qdqnp.quant import Array


class MisfitError(Exception):
    """An input does not fit a model; the text says why."""


def decoded(content: Content) -> tuple[Array | Mapping[str, Array], tuple[str, ...]]:
    """Return the pixels of a picture, or the arrays, and what was done to make 8-bit RGB of it.

    Raises ValueError for a file that is no readable picture, InputError where Pillow is missing.

    >>> decoded(np.zeros((2, 2, 1), np.uint8))[1]
    ()
    """
    if isinstance(content, bytes):
        found = decode_picture(content, pillow())
        return found.pixels, found.notes
    return content, ()


class Feeder:
    """Makes what a model is fed. Columns with equal `key` are fed the same.

    program: the model.
    preprocessing: what is done to pictures, as `resolved` returns it; None where the model takes none.
    """

    def __init__(self, program: Program, preprocessing: Preprocessing | None) -> None:
        self._program, self._preprocessing = program, preprocessing
        self._inputs = [program.tensors[name] for name in program.inputs]
        self.key = (preprocessing, tuple((one.name, one.dtype.str, one.shape) for one in self._inputs))

    def feeds(self, name: str, content: Array | Mapping[str, Array]) -> dict[str, Array]:
        """Return arrays by input name, the batch axis 1. Raises MisfitError.

        name: the input's name.
        content: pixels uint8 (height, width, 1 or 3), or arrays as the model takes them.
        """
        if not isinstance(content, Mapping):
            return self._pictured(name, content)
        only = content.get("") if len(content) == 1 and len(self._inputs) == 1 else None
        found = {}
        for tensor in self._inputs:
            array = content.get(tensor.name) if only is None else only
            if array is None:
                raise MisfitError(f"no array for the input '{tensor.name}'; there are {sorted(content)}")
            found[tensor.name] = _fitted(array, tensor)
        return found

    def _pictured(self, name: str, pixels: Array) -> dict[str, Array]:
        if self._preprocessing is None:
            raise MisfitError("a picture, where the model takes none")
        try:
            return picture_feeds([Picture(name, pixels)], self._preprocessing, self._program)
        except InputError as error:
            problem = error.problems[0]
            got = f"expected {problem.expected}, got {problem.got}"
            raise MisfitError(f"{got}. {problem.hint}" if problem.hint else got) from error


def _fitted(array: Array, tensor: Tensor) -> Array:
    """Return an array with a batch axis of 1."""
    whole = array if array.ndim == len(tensor.shape) else array[np.newaxis]
    sizes = zip(whole.shape[1:], tensor.shape[1:], strict=False)
    fits = whole.ndim == len(tensor.shape) and len(whole) == 1
    if not fits or any(isinstance(want, int) and size != want for size, want in sizes):
        wanted = list(tensor.shape[1:])
        raise MisfitError(f"input '{tensor.name}': expected shape {wanted}, got {list(array.shape)}")
    if array.dtype != tensor.dtype:
        raise MisfitError(
            f"input '{tensor.name}': expected {tensor.dtype}, got {array.dtype}. Convert it with astype()."
        )
    return whole
