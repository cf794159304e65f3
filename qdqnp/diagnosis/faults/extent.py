"""Extents: fewer values than the tensor has, or rows with padding between them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qdqnp.diagnosis.align import Misfit
from qdqnp.diagnosis.faults.suspect import Finding, Suspect
from qdqnp.diagnosis.orders import LAST, orders
from qdqnp.diagnosis.tally import ordered
from qdqnp.quant import Array

TRUNCATED = "truncated"
PADDED = "padded rows"
# Rows are padded to a power of two, of bytes.
ALIGNMENTS = (4, 8, 16, 32, 64, 128, 256)
# With more padding than this the values that are left tell too little.
MOST_PADDING = 4
LEAST_SEEN = 16


def truncated(suspect: Suspect) -> Iterator[Finding]:
    """Right up to some place in memory, and one code from there on."""
    for order in orders(suspect.want[0].shape, blocks=False):
        starts = [_cut(want, got) for want, got in zip(*suspect.in_memory(order), strict=True)]
        if all(starts):
            yield Finding(TRUNCATED, f"from element {min(starts)} on{', NHWC' * (order.text == LAST)}")
            return


def _cut(want: Array, got: Array) -> int:
    """From which element on what lies in memory is one code, up to which it is right; 0 where it is not so."""
    start = int(np.argmax(ordered(got) != ordered(want)))
    rest = got[start:]
    return start if rest.size > 1 and rest.min() == rest.max() else 0


def padded_rows(suspect: Suspect) -> Iterator[Finding]:
    """The first bytes of a buffer whose rows are longer than the tensor's."""
    for order in orders(suspect.want[0].shape, blocks=False):
        wants, gots = suspect.in_memory(order)
        shape, last = suspect.want[0].shape, order.text == LAST
        row = shape[1] * shape[3] if last else shape[-1] if shape else 1
        lines = [want.reshape(-1, row) for want in wants]
        for stride in _strides(lines[0], suspect.target.dtype.itemsize):
            if all(_padded(want, got, stride) for want, got in zip(lines, gots, strict=True)):
                yield Finding(PADDED, f"{stride} elements for {row}{', NHWC' * last}")
                return


def _strides(array: Array, width: int) -> Iterator[int]:
    row = array.shape[-1] if array.ndim > 1 else 0
    for alignment in ALIGNMENTS:
        stride = -(-row * width // alignment) * alignment // width
        if row > 1 and row < stride <= MOST_PADDING * row:
            yield stride


def _padded(want: Array, got: Array, stride: int) -> bool:
    """Whether the rows of `want`, `stride` apart, are what `got` holds, as far as it reaches."""
    rows, held = ordered(want).reshape(-1, want.shape[-1]), ordered(got)
    buffer = np.zeros((rows.shape[0], stride), np.int64)
    used = np.zeros(buffer.shape, bool)
    buffer[:, : rows.shape[1]], used[:, : rows.shape[1]] = rows, True
    size = min(held.size, buffer.size)
    flat, mask = buffer.reshape(-1)[:size], used.reshape(-1)[:size]
    seen = int(np.count_nonzero(mask))
    return seen >= LEAST_SEEN and bool(np.array_equal(flat[mask], held[:size][mask]))


def misfit(found: Misfit, want: Array) -> Finding | None:
    """What explains an entry of the wrong size; want: the tensor as it should be. Bytes are read in its dtype."""
    raw = found.entry.array
    got = raw
    if found.entry.raw:
        got = raw[: raw.size - raw.size % want.itemsize].view(want.dtype)
    if got.dtype.kind == "f" or want.dtype.kind == "f":
        return None
    flat, whole = got.reshape(-1).astype(np.int64), want.reshape(-1).astype(np.int64)
    if 0 < flat.size < whole.size and np.array_equal(flat, whole[: flat.size]):
        return Finding(TRUNCATED, f"{flat.size} of {whole.size} elements")
    if flat.size > whole.size:
        for stride in (*_strides(want, want.itemsize), flat.size * want.shape[-1] // whole.size):
            rows = whole.size // want.shape[-1]
            if flat.size in (rows * stride, (rows - 1) * stride + want.shape[-1]) and _padded(want, flat, stride):
                return Finding(PADDED, f"{stride} elements for {want.shape[-1]}")
    return None
