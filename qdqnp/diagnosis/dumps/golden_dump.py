"""A golden set as a dump: its tensors under their ONNX names, as another set's device would have sent them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from qdqnp.diagnosis.dump import Dump, DumpEntry, read_dump
from qdqnp.diagnosis.dumps.manifest import MAX_BYTES, document_of, is_golden
from qdqnp.diagnosis.dumps.manifest import NAME as MANIFEST
from qdqnp.diagnosis.dumps.storage import Storage
from qdqnp.diagnosis.dumps.stored import Stored
from qdqnp.errors import QdqnpError
from qdqnp.files.paths import FOLDER, kind_of
from qdqnp.files.regular import read_inside
from qdqnp.golden_sets import GoldenSet, read
from qdqnp.golden_sets.tensor import GoldenTensor
from qdqnp.quant import Array

#: The roles of tensors; of two with one name the first of these is taken.
ROLES = ("output", "network_output", "network_input", "input")


class InSet(Stored):
    """A tensor of a golden set, in ONNX's order of axes, the cases along a new first axis."""

    def __init__(self, golden: GoldenSet, tensor: GoldenTensor) -> None:
        super().__init__(np.dtype(tensor.dtype), (golden.inputs if tensor.varies else 1, *tensor.shape))
        self._golden, self._tensor = golden, tensor

    def part(self, start: int, count: int) -> Array:
        each, end, pieces = math.prod(self._tensor.shape), start + count, []
        while start < end:
            case, within = divmod(start, each)
            try:
                array = self._golden.array(self._tensor, case).reshape(-1)
            except QdqnpError as error:
                raise ValueError("; ".join(str(problem) for problem in error.problems)) from error
            pieces.append(array[within : within + end - start])
            start += pieces[-1].size
        return np.concatenate(pieces) if pieces else np.zeros(0, self.dtype)


def golden_dump(path: Path) -> Dump:
    """Return a golden set as a dump: every tensor once, and the other arrays under the names of their files.

    Raises GoldenError for a damaged set.
    """
    golden = read(path)
    taken: set[str] = set()
    entries = []
    for role in (*ROLES, ""):
        for tensor in golden.tensors:
            shared = tensor.role in ROLES
            if (tensor.role == role if role else not shared) and not (shared and tensor.name in taken):
                name = tensor.name if shared else ""
                entries.append(DumpEntry(tensor.key, InSet(golden, tensor), form=Storage("NCHW"), tensor=name))
                taken |= {tensor.name} if shared else set()
    return Dump(path, tuple(sorted(entries, key=lambda entry: entry.name)))


def open_dump(dump: Path | Dump, runner: str = "") -> Dump:
    """Open a dump, or a golden set as one; one that is open stays as it is.

    runner: of Polygraphy's RunResults, what the runner's name begins with; '' for the only one.

    Raises InputError and GoldenError as `read_dump` and `golden_dump` do.
    """
    if isinstance(dump, Dump):
        return dump
    return golden_dump(dump) if is_set(dump) else read_dump(dump, runner)


def is_set(path: Path) -> bool:
    """Tell whether a path is the folder of a golden set."""
    if kind_of(path) != FOLDER:
        return False
    try:
        return is_golden(document_of(read_inside(path, MANIFEST, MAX_BYTES)))
    except (OSError, ValueError):
        return False
