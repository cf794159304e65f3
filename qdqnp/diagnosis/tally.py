"""How far two arrays are apart, bit for bit and in LSB."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.quant import Array, Int64


@dataclass(frozen=True)
class Difference:
    """elements: compared; differing: whose bits differ; largest: in LSB for integers, absolute for floats;
    first: index of the first differing element, None if there is none; note: why nothing could be compared."""

    elements: int
    differing: int
    largest: float
    first: tuple[int, ...] | None = None
    note: str = ""

    @property
    def equal(self) -> bool:
        return self.differing == 0 and not self.note


def unequal(ours: Array, theirs: Array) -> Array:
    """Which elements of two arrays of one dtype and shape differ in their bits."""
    bits = np.dtype(f"u{ours.dtype.itemsize}")
    found: Array = np.ascontiguousarray(ours).view(bits) != np.ascontiguousarray(theirs).view(bits)
    return found.reshape(ours.shape)


def difference(ours: Array, theirs: Array) -> Difference:
    """Bitwise comparison of two arrays; a NaN equals a NaN of the same bits only."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        note = f"{ours.dtype}{list(ours.shape)} against {theirs.dtype}{list(theirs.shape)}"
        return Difference(0, 0, 0.0, None, note)
    apart = unequal(ours, theirs)
    count = int(np.count_nonzero(apart))
    if count == 0:
        return Difference(ours.size, 0, 0.0)
    wide = np.float64 if ours.dtype.kind == "f" else np.int64
    with np.errstate(invalid="ignore"):
        distance = np.abs(ours.astype(wide) - theirs.astype(wide))
    at = np.unravel_index(int(np.argmax(apart)), ours.shape)
    return Difference(ours.size, count, float(np.nanmax(distance)), tuple(int(i) for i in at))


# 16-bit codes and real values would otherwise have as many bins as elements.
EXACT_BINS = 1024


@dataclass
class Lsb:
    """Differences of codes, got - want, in LSB, over any number of arrays.

    total: sum of the absolute differences. beyond: elements more than `tolerance` apart. histogram: elements by
    difference, all of them (0 too); beyond EXACT_BINS they are counted at the power of two below. saturated:
    elements of `got` at the lowest or highest code of the dtype.
    """

    tolerance: int = 0
    elements: int = 0
    mismatches: int = 0
    largest: int = 0
    total: int = 0
    beyond: int = 0
    saturated: int = 0
    histogram: dict[int, int] = field(default_factory=dict)
    first: tuple[int, ...] | None = None

    @property
    def mean(self) -> float:
        """Mean absolute difference."""
        return self.total / self.elements if self.elements else 0.0

    @property
    def saturation(self) -> float:
        return self.saturated / self.elements if self.elements else 0.0

    def add(self, got: Array, want: Array, limits: tuple[int, int]) -> None:
        """got, want: integers of the same shape; limits: lowest and highest code."""
        apart = got.astype(np.int64) - want.astype(np.int64)
        values, counts = np.unique(_binned(apart), return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            self.histogram[value] = self.histogram.get(value, 0) + count
        unequal = apart != 0
        self.elements += apart.size
        self.mismatches += int(np.count_nonzero(unequal))
        self.beyond += int(np.count_nonzero(np.abs(apart) > self.tolerance))
        self.total += int(np.abs(apart).sum())
        self.largest = max(self.largest, int(np.abs(apart).max(initial=0)))
        self.saturated += int(np.count_nonzero((got <= limits[0]) | (got >= limits[1])))
        if self.first is None and unequal.any():
            self.first = tuple(int(i) for i in np.unravel_index(int(np.argmax(unequal)), apart.shape))

    def as_json(self) -> dict[str, Any]:
        histogram = {str(key): self.histogram[key] for key in sorted(self.histogram)}
        return {
            "elements": self.elements,
            "mismatches": self.mismatches,
            "largest_lsb": self.largest,
            "mean_lsb": self.mean,
            "saturation": self.saturation,
            "first": self.first,
            "histogram_lsb": histogram,
        }


def _binned(apart: Int64) -> Int64:
    size = np.abs(apart)
    powers = np.int64(1) << np.log2(np.maximum(size, 1)).astype(np.int64)
    return np.where(size <= EXACT_BINS, apart, np.sign(apart) * powers)


EPS = float(np.finfo(np.float32).eps)


def validate_metrics(reference: Array, prediction: Array) -> dict[str, float]:
    """The metrics that `stedgeai validate` prints, of real values of equal shape; the first axis counts samples.

    l2r divides by the norm of the prediction. Raises nothing; a metric of a constant reference may be meaningless.
    """
    if np.array_equal(reference, prediction):
        return {"acc": 1.0, "rmse": 0.0, "mae": 0.0, "l2r": 0.0, "mean": 0.0, "std": 0.0, "nse": 1.0, "cos": 1.0}
    r, p = reference.astype(np.float64), prediction.astype(np.float64)
    e = r - p
    samples = (r.shape[0] if r.ndim > 1 else 1, -1)
    best = np.argmax(r.reshape(samples), axis=1) == np.argmax(p.reshape(samples), axis=1)
    norms = _norm(r) * _norm(p)
    return {
        "acc": float(np.mean(best)),
        "rmse": float(np.sqrt(np.mean(e**2))),
        "mae": float(np.mean(np.abs(e))),
        "l2r": _norm(e) / (_norm(p) + EPS),
        "mean": float(np.mean(e)),
        "std": float(np.std(e)),
        "nse": float(1 - np.mean(e**2) / (np.std(r) ** 2 + EPS)),
        "cos": float(np.sum(r * p) / norms) if norms else 0.0,
    }


def _norm(values: Array) -> float:
    return float(np.sqrt(np.sum(values**2)))
