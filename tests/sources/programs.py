"""Programs that have inputs and nothing else: enough for what is made for them."""

from __future__ import annotations

import numpy as np

from qdqnp.program import Program, Tensor


def program(**inputs: tuple[type, list[int | str | None]]) -> Program:
    """A program without steps; each input by its name: dtype and shape."""
    tensors = {name: Tensor(name, np.dtype(dtype), tuple(shape)) for name, (dtype, shape) in inputs.items()}
    return Program("none", (), tensors, tuple(inputs), ())
