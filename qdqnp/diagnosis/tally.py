"""Tally: count how far arrays differ, bit for bit and in LSB, over any number of arrays."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.quant import Array, Int64

# 16-bit codes and real values would otherwise have as many bins as elements.
EXACT_BINS = 1024
# Of greater distances a sum may leave 64 bits.
FAR = 2**32


@dataclass
class Tally:
    """Differences between pairs of arrays. Two elements differ if their bits differ: -0.0 differs from 0.0, and a NaN
    equals only a NaN of the same bits."""

    #: Elements compared.
    elements: int = 0
    #: Elements that differ.
    differing: int = 0
    #: The largest difference: in LSB for integers, absolute for floats. A difference to NaN is left out.
    largest: int | float = 0
    #: The sum of the absolute differences.
    total: int | float = 0
    #: Integers only: number of elements by difference (got - want), zero included. Differences beyond EXACT_BINS are
    #: counted at the power of two below them.
    histogram: Counter[int] = field(default_factory=Counter)
    #: The index of the first element that differs, in the first array with a difference.
    first: tuple[int, ...] | None = None
    #: Why some arrays could not be compared; '' if all could. Such arrays do not count anywhere else.
    note: str = ""

    @property
    def equal(self) -> bool:
        """Return whether every pair could be compared and no element differs."""
        return self.differing == 0 and not self.note

    @property
    def share(self) -> float:
        """Return the share of the elements that differ."""
        return self.differing / self.elements if self.elements else 0.0

    @property
    def mean(self) -> float:
        """Return the mean absolute difference."""
        return self.total / self.elements if self.elements else 0.0

    def add(self, got: Array, want: Array) -> None:
        """Compare two arrays of any shape. Arrays whose dtypes or shapes differ are noted and not compared."""
        if got.dtype != want.dtype or got.shape != want.shape:
            self.note = self.note or f"{got.dtype}{list(got.shape)} against {want.dtype}{list(want.shape)}"
            return
        apart = unequal(got, want)
        count = int(np.count_nonzero(apart))
        self.elements += got.size
        self.differing += count
        integers = got.dtype.kind != "f"
        if integers and count < got.size:
            self.histogram[0] += got.size - count
        if not count:
            return
        if self.first is None:
            self.first = tuple(int(i) for i in np.unravel_index(int(np.argmax(apart)), got.shape))
        if integers:
            self._add_distances(_distances(got[apart], want[apart]))
        else:
            with np.errstate(invalid="ignore"):
                distances = np.abs(got[apart].astype(np.float64) - want[apart].astype(np.float64))
            distances = distances[~np.isnan(distances)]
            self.largest = max(self.largest, float(distances.max(initial=0)))
            self.total += float(distances.sum())

    def _add_distances(self, distances: Int64) -> None:
        """Count got - want of the integers that differ, shape (N,)."""
        sizes = np.abs(distances)
        self.largest = max(self.largest, int(sizes.max()))
        self.total += int(sizes.sum()) if self.largest < FAR else sum(sizes.tolist())
        near = sizes <= EXACT_BINS
        counts = np.bincount(distances[near] + EXACT_BINS)
        self.histogram.update({int(at) - EXACT_BINS: int(counts[at]) for at in np.flatnonzero(counts)})
        far = distances[~near]
        powers = np.sign(far) * (np.int64(1) << np.log2(np.abs(far)).astype(np.int64))
        self.histogram.update(powers.tolist())

    def include(self, other: Tally) -> None:
        """Add what another tally counted."""
        self.elements += other.elements
        self.differing += other.differing
        self.largest = max(self.largest, other.largest)
        self.total += other.total
        self.histogram.update(other.histogram)
        self.first = self.first if self.first is not None else other.first
        self.note = self.note or other.note

    def as_json(self, *keys: str) -> dict[str, Any]:
        """Return these fields and properties by name; the histogram's keys become text, in order."""
        found = {key: getattr(self, key) for key in keys}
        if "histogram" in found:
            found["histogram"] = {str(key): self.histogram[key] for key in sorted(self.histogram)}
        return found

    def as_partial(self) -> list[Any]:
        """Return all fields as JSON has them, for another process; `from_partial` makes the tally again.

        Numbers of any size, and those that JSON does not have, are texts there.
        """
        bins = [number for pair in self.histogram.items() for number in pair]
        first = None if self.first is None else list(self.first)
        return [self.elements, self.differing, _text(self.largest), _text(self.total), bins, first, self.note]

    @classmethod
    def from_partial(cls, partial: list[Any]) -> Tally:
        """Return the tally that `as_partial` described.

        >>> one = compared(np.float32([1, np.inf]), np.float32([1, 0]))
        >>> Tally.from_partial(one.as_partial()) == one
        True
        """
        elements, differing, largest, total, bins, first, note = partial
        histogram = Counter(dict(zip(bins[::2], bins[1::2], strict=True)))
        at = None if first is None else tuple(first)
        return cls(elements, differing, _number(largest), _number(total), histogram, at, note)


def _text(number: int | float) -> str:
    return str(number) if isinstance(number, int) else float(number).hex()


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdecimal() else float.fromhex(text)


def _distances(got: Array, want: Array) -> Int64:
    """Return got - want of integers; of 64 bits at most 2^62 either way, which no sum of two of them leaves."""
    found: Int64 = got.astype(np.int64) - want.astype(np.int64)
    if got.dtype.itemsize < 8:
        return found
    about = got.astype(np.float64) - want.astype(np.float64)
    return np.where(np.abs(about) < 2.0**62, found, (np.sign(about) * 2.0**62).astype(np.int64))


def compared(got: Array, want: Array) -> Tally:
    """Return the tally of one pair of arrays."""
    found = Tally()
    found.add(got, want)
    return found


def unequal(ours: Array, theirs: Array) -> Array:
    """Return which elements of two arrays of one dtype and shape differ in their bits."""
    bits = np.dtype(f"u{ours.dtype.itemsize}")
    found: Array = np.ascontiguousarray(ours).view(bits) != np.ascontiguousarray(theirs).view(bits)
    return found.reshape(ours.shape)


def ordered(array: Array) -> Int64:
    """Return integers whose differences are LSB, or units in the last place for float32; -0 equals 0.

    array: of any shape; wider floats are rounded to float32.
    """
    if array.dtype.kind != "f":
        return array.astype(np.int64)
    with np.errstate(over="ignore"):
        bits = np.ascontiguousarray(array, np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def same(ours: Array, theirs: Array) -> bool:
    """Return whether two arrays have one shape and the same values, as `ordered` counts them: a NaN equals a NaN of the
    same bits.

    >>> same(np.float32([np.nan, 0.0]), np.float32([np.nan, -0.0]))
    True
    """
    return np.array_equal(ordered(ours), ordered(theirs))


EPS = float(np.finfo(np.float32).eps)


#: The names of the metrics that `stedgeai validate` prints.
METRICS = ("acc", "rmse", "mae", "l2r", "mean", "std", "nse", "cos")


class Metrics:
    """The metrics that `stedgeai validate` prints, of any number of arrays of real values."""

    def __init__(self) -> None:
        self._count = self._samples = 0
        self._equal = True
        self._hits = 0
        #: Sums of |e|, e^2, r^2, p^2 and r * p.
        self._sums = np.zeros(5)
        self._errors, self._right = _Moments(), _Moments()

    def add(self, reference: Array, prediction: Array) -> None:
        """Count arrays of one shape; the first axis counts samples."""
        self._equal = self._equal and np.array_equal(reference, prediction)
        with np.errstate(all="ignore"):
            r, p = reference.astype(np.float64), prediction.astype(np.float64)  # signaling NaN warn when converted
            e = r - p
            samples = r.shape[0] if r.ndim > 1 else 1
            best = np.argmax(r.reshape(samples, -1), axis=1) == np.argmax(p.reshape(samples, -1), axis=1)
            self._count, self._samples = self._count + r.size, self._samples + samples
            self._hits += int(np.count_nonzero(best))
            self._sums += [np.sum(np.abs(e)), np.sum(e**2), np.sum(r**2), np.sum(p**2), np.sum(r * p)]
            self._errors.add(e)
            self._right.add(r)

    def found(self) -> dict[str, float]:
        """Return the metrics. l2r is divided by the norm of the prediction. Never raises; a metric of a constant
        reference may be meaningless."""
        if self._equal:
            return dict.fromkeys(METRICS, 0.0) | dict.fromkeys(("acc", "nse", "cos"), 1.0)
        with np.errstate(all="ignore"):
            absolute, squared, right, predicted, product = self._sums
            norms = float(np.sqrt(right) * np.sqrt(predicted))
            return {
                "acc": self._hits / self._samples,
                "rmse": float(np.sqrt(squared / self._count)),
                "mae": float(absolute / self._count),
                "l2r": float(np.sqrt(squared) / (np.sqrt(predicted) + EPS)),
                "mean": float(self._errors.mean),
                "std": float(np.sqrt(self._errors.variance)),
                "nse": float(1 - squared / self._count / (self._right.variance + EPS)),
                "cos": float(product / norms) if norms else 0.0,
            }


class _Moments:
    """The mean and the variance of numbers that come in pieces (Chan, Golub, LeVeque 1983)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = self._squares = 0.0

    def add(self, values: Array) -> None:
        mean, count = float(np.mean(values)), values.size
        apart, whole = mean - self.mean, self.count + count
        self._squares += float(np.sum((values - mean) ** 2)) + apart * apart * self.count * count / whole
        self.mean += apart * count / whole
        self.count = whole

    @property
    def variance(self) -> float:
        return self._squares / self.count


def validate_metrics(reference: Array, prediction: Array) -> dict[str, float]:
    """Return the metrics that `stedgeai validate` prints, from real values of equal shape; the first axis counts
    samples."""
    found = Metrics()
    found.add(reference, prediction)
    return found.found()
