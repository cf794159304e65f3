"""Values are what a bound rule computes on the way from its question to the codes, each by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from qdqnp.numerics.width import saturate_to
from qdqnp.quant import Array, Codes, Int64, Quant, Signs

Index = tuple[int, ...]
# The exact value that was rounded at an index; None where that value is infinite or NaN.
Exact = Callable[[Index], Fraction | None]


@dataclass(frozen=True, eq=False)
class StageValue:
    """One value on the way from a question to its codes."""

    #: For example 'acc', 'MultiplyHigh', 'x16', 'unclipped', 'y'.
    name: str
    #: One entry for each element asked about, or broadcastable to that.
    array: Array
    #: Maps an index to the exact value that was rounded to array[index]; None where nothing was rounded to an integer.
    exact: Exact | None = None
    #: Whether the value is the saturated form of the one before it, inside the rule; the final clip to 'y' is not
    #: marked.
    saturated: bool = False


class BoundRule:
    """A rule with its scales and zero points. `stages` defines the arithmetic, which is written only once."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The numbers that the rule uses, by name."""
        return {}

    def stages(self, *args: Any, **kwargs: Any) -> list[StageValue]:
        """Return every value from the question to the codes, in order.

        'y' is last, and before it 'unclipped' where the last step is a clip to the codes.
        """
        raise NotImplementedError

    def ties(self, *args: Any, **kwargs: Any) -> Signs:
        """Return the sign of each value that met an exact half at a rounding (at the last such rounding), else 0.

        The result is int8, in the shape of the codes.
        """
        raise NotImplementedError

    def __call__(self, *args: Any, **kwargs: Any) -> Codes:
        """Return the codes: the last of the stages."""
        return self.stages(*args, **kwargs)[-1].array


def named(values: Iterable[StageValue], name: str) -> Array:
    """Return the array of the value of that name. Raises KeyError where no value has it."""
    return {value.name: value.array for value in values}[name]


def clipped(unclipped: Int64, y: Quant, exact: Exact | None = None) -> list[StageValue]:
    """Return 'unclipped' (zero point included) and 'y', its codes.

    exact: the exact value that was rounded to `unclipped`, if anything was.
    """
    return [StageValue("unclipped", unclipped, exact), StageValue("y", saturate_to(unclipped, y))]


def shifted(rounded: Int64, y: Quant) -> list[StageValue]:
    """Return 'unclipped' and 'y' of an integer to which the zero point is yet to be added."""
    return clipped(rounded + int(y.zero_point), y)


def exact_float(real: Array) -> Exact:
    """Return the exact values of floating-point numbers that are rounded as they are."""

    def at(index: Index) -> Fraction | None:
        value = float(real[index])
        return Fraction(value) if np.isfinite(value) else None

    return at


def signs(value: Array, tie: Array, others: Signs | None = None) -> Signs:
    """Return the sign of each value that is a tie; for the other values `others`, 0 by default."""
    return np.where(tie, np.sign(value), 0 if others is None else others).astype(np.int8)


def real_ties(real: Array) -> Signs:
    """Return the sign of each floating-point value that is an exact half, 0 for the others."""
    with np.errstate(all="ignore"):
        return signs(real, np.abs(real - np.trunc(real)) == 0.5)
