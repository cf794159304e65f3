"""Compare the other arrays that a golden set holds beside its tensors (weights, sums, stages) value by value."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qdqnp.diagnosis.align import Aligned
from qdqnp.diagnosis.dump import DumpEntry
from qdqnp.diagnosis.tally import unequal
from qdqnp.errors import GoldenError
from qdqnp.golden_sets import GoldenSet
from qdqnp.golden_sets.tensor import GoldenTensor
from qdqnp.quant import Array

#: Roles of the arrays that a layer computes; others are constants.
COMPUTED = ("sum", "accumulator", "stage", "input", "output", "network_output")


@dataclass(frozen=True)
class Aside:
    """An entry of a dump that is another array of the golden set than a tensor that is compared."""

    #: The name of the entry: the key of the array in the set, or its name in C.
    name: str
    #: The array's role.
    role: str
    #: Elements compared; 0 where the entry does not fit the array.
    elements: int = 0
    #: Elements that differ from the set's.
    differing: int = 0
    #: Why it was not compared; '' where it was.
    why: str = ""


def asides(golden: GoldenSet | None, aligned: Aligned, first: int) -> Iterator[Aside]:
    """Compare the entries that are left over and that have the name of an array of the set.

    golden: the set; None where there is none.
    aligned: the dump.
    first: the case of the set that is the dump's first one.
    """
    known = {} if golden is None else {name: tensor for tensor in golden.tensors for name in tensor.called}
    for name in aligned.unused:
        tensor, entry = known.get(name), aligned.entries.get(name)
        if golden is not None and tensor is not None and entry is not None:
            yield _compared(golden, tensor, entry, first)


def _compared(golden: GoldenSet, tensor: GoldenTensor, entry: DumpEntry, first: int) -> Aside:
    dtype, elements, stored = np.dtype(tensor.dtype), math.prod(tensor.shape), entry.stored
    most = golden.inputs - first if tensor.varies else 1
    each = elements * dtype.itemsize
    count = stored.nbytes // each if each else most
    if not 1 <= count <= most or count * each != stored.nbytes:
        return Aside(entry.name, tensor.role, why=f"{entry.words}, where {tensor.dtype}{list(tensor.shape)} fits")
    differing = 0
    try:
        for case in range(count):
            got = np.ascontiguousarray(
                stored.part(case * elements, elements) if not entry.raw else _bytes(entry, case, each)
            )
            values = got.view(dtype.newbyteorder("<")).astype(dtype) if entry.raw else got.view(dtype)
            differing += int(
                np.count_nonzero(unequal(_logical(tensor, entry, values), golden.array(tensor, first + case)))
            )
    except (OSError, ValueError, GoldenError) as error:
        return Aside(entry.name, tensor.role, why=str(error))
    return Aside(entry.name, tensor.role, count * elements, differing)


def _bytes(entry: DumpEntry, case: int, each: int) -> Array:
    return entry.stored.part(case * each, each)


def _logical(tensor: GoldenTensor, entry: DumpEntry, values: Array) -> Array:
    """Return the values in ONNX's order of axes: an entry may be stored as in the set, or, as its shape tells, so."""
    shape = tuple(entry.stored.shape[-len(tensor.shape) :]) if tensor.shape else ()
    if entry.form.layout == "NCHW" or (not entry.raw and shape == tensor.shape != tensor.stored_shape):
        return values.reshape(tensor.shape)
    return np.ascontiguousarray(tensor.order.logical(values.reshape(tensor.stored_shape))).reshape(tensor.shape)
