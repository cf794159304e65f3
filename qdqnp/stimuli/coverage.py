"""Coverage: measure what a stimulus meets, by running it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from qdqnp.quant import Array, Int64, Signs


@dataclass(frozen=True, eq=False)
class Met:
    """What the outputs of one run meet, element by element, channels last. A field is None where it is not defined for
    the layer."""

    #: The sign of a value that is an exact half, else 0.
    ties: Signs | None = None
    #: Whether the value lies below the lowest code.
    low: Array | None = None
    #: Whether the value lies above the highest code.
    high: Array | None = None
    #: The sum plus bias.
    accumulator: Int64 | None = None
    #: How many inner stages saturated the value.
    inner: Int64 | None = None


@dataclass(frozen=True, eq=False)
class Coverage:
    """What one or more runs of one layer met. A field is None where it is not defined for the layer."""

    #: Number of output elements.
    outputs: int
    #: Outputs that met an exact half below zero.
    ties_negative: int | None
    #: Outputs that met an exact half above zero.
    ties_positive: int | None
    #: Outputs that the final clip raised to the lowest code.
    saturated_low: int | None
    #: Outputs that the final clip lowered to the highest code.
    saturated_high: int | None
    #: Values that an inner stage saturated.
    inner_saturated: int | None
    #: Which output codes occurred, from the lowest on; bool (256,).
    seen: Array
    #: In which channels a tie or a saturation occurred; bool (channels,).
    reached: Array
    #: The smallest sum plus bias.
    accumulator_min: int | None
    #: The largest sum plus bias.
    accumulator_max: int | None

    def plus(self, other: Coverage) -> Coverage:
        """Return the combined coverage of two runs."""
        return Coverage(
            self.outputs + other.outputs,
            _both(sum, self.ties_negative, other.ties_negative),
            _both(sum, self.ties_positive, other.ties_positive),
            _both(sum, self.saturated_low, other.saturated_low),
            _both(sum, self.saturated_high, other.saturated_high),
            _both(sum, self.inner_saturated, other.inner_saturated),
            self.seen | other.seen,
            self.reached | other.reached,
            _both(min, self.accumulator_min, other.accumulator_min),
            _both(max, self.accumulator_max, other.accumulator_max),
        )

    def as_partial(self) -> list[Any]:
        """Return all fields as JSON has them, for another process; `from_partial` makes the coverage again."""
        values = [getattr(self, field.name) for field in fields(self)]
        return [
            [*np.flatnonzero(value).tolist(), value.size] if isinstance(value, np.ndarray) else value
            for value in values
        ]

    @classmethod
    def from_partial(cls, partial: list[Any]) -> Coverage:
        """Return the coverage that `as_partial` described."""
        return cls(*(_mask(*value) if isinstance(value, list) else value for value in partial))  # type: ignore[arg-type]

    def as_json(self) -> dict[str, Any]:
        """Return the fields, with counts in place of the masks."""
        return {
            "outputs": self.outputs,
            "ties_negative": self.ties_negative,
            "ties_positive": self.ties_positive,
            "saturated_low": self.saturated_low,
            "saturated_high": self.saturated_high,
            "inner_saturated": self.inner_saturated,
            "codes_seen": int(self.seen.sum()),
            "codes": self.seen.size,
            "channels_reached": int(self.reached.sum()),
            "channels": self.reached.size,
            "accumulator_min": self.accumulator_min,
            "accumulator_max": self.accumulator_max,
        }


def _mask(*places: int) -> Array:
    """Return a mask of some places; the last number is its size."""
    made = np.zeros(places[-1], bool)
    made[list(places[:-1])] = True
    return made


def _both(combine: Callable[[list[int]], int], first: int | None, second: int | None) -> int | None:
    known = [value for value in (first, second) if value is not None]
    return combine(known) if known else None


def measured(met: Met, codes: Array) -> Coverage:
    """Count what a run met.

    met: the marks of each output element.
    codes: the layer's output in its own shape (channels second).
    """
    acc = met.accumulator if met.accumulator is not None and met.accumulator.size else None
    return Coverage(
        outputs=codes.size,
        ties_negative=_count(None if met.ties is None else met.ties < 0),
        ties_positive=_count(None if met.ties is None else met.ties > 0),
        saturated_low=_count(met.low),
        saturated_high=_count(met.high),
        inner_saturated=None if met.inner is None else int(met.inner.sum()),
        seen=_seen(codes),
        reached=_reached(met),
        accumulator_min=None if acc is None else int(acc.min()),
        accumulator_max=None if acc is None else int(acc.max()),
    )


def _count(mask: Array | None) -> int | None:
    return None if mask is None else int(np.count_nonzero(mask))


def _reached(met: Met) -> Array:
    """Return in which channels any of the marks occurred, (channels,)."""
    masks = [np.asarray(mask, bool) for mask in (met.ties, met.low, met.high) if mask is not None]
    if not masks or not masks[0].ndim:
        return np.zeros(0, bool)
    return np.asarray(np.any(np.logical_or.reduce(masks), axis=tuple(range(masks[0].ndim - 1))))


def _seen(codes: Array) -> Array:
    """Return which 8-bit codes occurred, (256,); none where the output is real."""
    if codes.dtype.kind not in "iu":
        return np.zeros(0, bool)
    shifted = codes.reshape(-1).astype(np.int64) - np.iinfo(codes.dtype).min
    return np.bincount(shifted, minlength=256) > 0
