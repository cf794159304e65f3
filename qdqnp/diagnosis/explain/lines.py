"""One output element step by step: every value of its rule, before and after each rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from qdqnp.numerics.values import Index, StageValue

# An exact number, or one that only a float32 expression has.
Number = int | float | Fraction


@dataclass(frozen=True)
class Line:
    """One value."""

    name: str
    value: Number
    #: the exact value that was rounded to it; None where nothing was rounded to an integer
    before: Fraction | None = None

    @property
    def tie_distance(self) -> Fraction | None:
        """How far the value before rounding is from the nearest exact half, in units of what it was rounded to."""
        if self.before is None:
            return None
        return abs(self.before - math.floor(self.before) - Fraction(1, 2))


def lines_at(values: Sequence[StageValue], index: Index) -> list[Line]:
    """The stages of a bound rule at one index of its codes."""
    shape = values[-1].array.shape
    return [
        Line(
            value.name,
            _number(np.broadcast_to(value.array, shape)[index]),
            None if value.exact is None else value.exact(index),
        )
        for value in values
    ]


def _number(value: Any) -> Number:
    return int(value) if value.dtype.kind in "iu" else float(value)
