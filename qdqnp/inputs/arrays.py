"""Open array files that are inputs: qdqnp.files.npy reads them, and here its refusals become errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qdqnp.errors import InputError, Problem
from qdqnp.files.npy import Arrays, open_arrays
from qdqnp.files.paths import reason


@contextmanager
def input_arrays(path: Path) -> Iterator[Arrays]:
    """Open an .npy or .npz file of inputs; an array is read when it is asked for.

    Raises InputError for what cannot be read, also while the file is open.
    """
    try:
        with open_arrays(path) as arrays:
            yield arrays
    except (OSError, ValueError) as error:
        problem = Problem(f"file {path}", "a readable .npy or .npz file of numbers", reason(error))
        raise InputError("cannot read an input file", [problem]) from error
