"""Pair entries with tensors by their values: equal ones first, then nearly equal ones."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from qdqnp.diagnosis.dump import DumpEntry
from qdqnp.diagnosis.dumps.readings import read_case, readings
from qdqnp.diagnosis.targets import DumpTarget
from qdqnp.quant import Array

#: By case, the golden values of every tensor by name.
Values = Sequence[Mapping[str, Array]]
#: How closely the values of an entry must follow a tensor's, and how much more closely than every other one's.
LEAST, MARGIN = 0.9, 0.02
#: Elements that are looked at to tell nearly equal values.
SAMPLE = 4096
#: Pairs of an entry and a tensor whose values are compared.
MOST_PAIRS = 250_000


def by_content(
    entries: Sequence[DumpEntry], targets: Sequence[DumpTarget], cases: int, values: Values, channel_last: bool
) -> dict[str, tuple[DumpEntry, bool]]:
    """Return the entries whose first case has the values of a tensor, by the tensor's name, and whether all of the
    values are equal. Of tensors with the same values, the earlier goes to the earlier entry.

    entries: in their order.
    targets: in the order of the network.
    cases: how many cases an entry may hold.
    values: what the tensors should be.
    channel_last: whether the format of the dump has the channels last.
    """
    if len(entries) * len(targets) > MOST_PAIRS:
        return {}
    reader = _FirstCases(cases, channel_last)
    wanted = {target.name: np.asarray(values[0][target.codes]) for target in targets}
    sums = {name: zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data) for name, array in wanted.items()}
    found: dict[str, tuple[DumpEntry, bool]] = {}
    left = []
    for entry in entries:
        equal = next((t for t in targets if t.name not in found and reader.equals(entry, t, wanted, sums)), None)
        if equal is None:
            left.append(entry)
        else:
            found[equal.name] = entry, True
    free = [target for target in targets if target.name not in found]
    near = sorted(_nearly(left, free, wanted, reader), key=lambda item: -item[0])
    used: set[int] = set()
    for _, number, name in near:
        if number not in used and name not in found:
            found[name] = left[number], False
            used.add(number)
    return found


class _FirstCases:
    """Reads the first case of entries as if they were tensors; tensors of one kind are read once."""

    def __init__(self, cases: int, channel_last: bool) -> None:
        self._cases, self._channel_last = cases, channel_last
        self._read: dict[tuple[object, ...], list[Array]] = {}

    def arrays(self, entry: DumpEntry, target: DumpTarget) -> list[Array]:
        """Return what the entry's first case is in every reading as this tensor."""
        quant = None if target.quant is None else (target.quant.scale.tobytes(), target.quant.zero_point.tobytes())
        kind = quant if entry.raw or entry.stored.dtype.kind == "f" else quant is None
        key = (id(entry), target.shape, target.dtype, target.stored, kind)
        if key not in self._read:
            self._read[key] = list(self._readings(entry, target))
        return self._read[key]

    def _readings(self, entry: DumpEntry, target: DumpTarget) -> Iterator[Array]:
        for reading in readings(target, entry, entry.form, self._cases, self._channel_last):
            try:
                yield read_case(target, entry, reading, 0).codes
            except (OSError, ValueError):
                continue

    def equals(
        self, entry: DumpEntry, target: DumpTarget, wanted: Mapping[str, Array], sums: Mapping[str, int]
    ) -> bool:
        """Tell whether one of the readings has the tensor's values."""
        want = wanted[target.name]
        return any(
            array.dtype == want.dtype
            and zlib.crc32(np.ascontiguousarray(array).view(np.uint8).data) == sums[target.name]
            and np.array_equal(array, want)
            for array in self.arrays(entry, target)
        )


def _nearly(
    entries: Sequence[DumpEntry], targets: Sequence[DumpTarget], wanted: Mapping[str, Array], reader: _FirstCases
) -> Iterator[tuple[float, int, str]]:
    """Yield how closely each entry follows the tensor that it follows most closely, its number, and the tensor's name,
    where no other tensor comes near."""
    for number, entry in enumerate(entries):
        scores = []
        for target in targets:
            likeness = [_likeness(array, wanted[target.name]) for array in reader.arrays(entry, target)]
            if likeness:
                scores.append((max(likeness), target.name))
        scores.sort(reverse=True)
        if scores and scores[0][0] >= LEAST and (len(scores) < 2 or scores[0][0] - scores[1][0] > MARGIN):
            yield scores[0][0], number, scores[0][1]


def _likeness(got: Array, want: Array) -> float:
    """Return how closely values follow others: 1 for the same ones, 0 for others; of a sample of the elements."""
    step = max(1, got.size // SAMPLE)
    a, b = (np.asarray(side.reshape(-1)[::step], np.float64) for side in (got, want))
    with np.errstate(all="ignore"):
        a, b = a - a.mean(), b - b.mean()
        scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
        return float((a * b).sum()) / scale if scale > 0 and np.isfinite(scale) else 0.0
