"""ErrorSums: how far one array is from another, as sums that are merged without rounding.

Within one pair of arrays sums are float64. Between pairs they are fractions, which add up exactly: the result does not
depend on the order of the inputs, nor on how they are shared out.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from qdqnp.quant import Array

#: What a norm is at least, as in onnxruntime.quantization.qdq_loss_debug.
EPSILON = sys.float_info.epsilon
#: The fields that are fractions.
EXACT = ("signal", "made", "product", "noise")


@dataclass
class ErrorSums:
    """The sums of pairs of real arrays: what was wanted, and what was made in its place."""

    #: Pairs of elements counted.
    elements: int = 0
    #: Pairs left out because one of the two is infinite or NaN.
    left_out: int = 0
    #: The sum of the squares of what was wanted.
    signal: Fraction = Fraction()
    #: The sum of the squares of what was made.
    made: Fraction = Fraction()
    #: The sum of their products.
    product: Fraction = Fraction()
    #: The sum of the squares of their differences.
    noise: Fraction = Fraction()
    #: The largest absolute difference.
    largest: float = 0.0

    def add(self, wanted: Array, made: Array) -> None:
        """Add a pair of arrays of real numbers, of the same shape."""
        left, right = wanted.astype(np.float64).reshape(-1), made.astype(np.float64).reshape(-1)
        finite = np.isfinite(left) & np.isfinite(right)
        if not finite.all():
            self.left_out += int(finite.size - np.count_nonzero(finite))
            left, right = left[finite], right[finite]
        apart = left - right
        self.elements += left.size
        self.signal += Fraction(float(np.square(left).sum()))
        self.made += Fraction(float(np.square(right).sum()))
        self.product += Fraction(float((left * right).sum()))
        self.noise += Fraction(float(np.square(apart).sum()))
        self.largest = max(self.largest, float(np.abs(apart).max(initial=0.0)))

    def include(self, other: ErrorSums) -> None:
        """Add what others counted."""
        self.elements += other.elements
        self.left_out += other.left_out
        self.signal += other.signal
        self.made += other.made
        self.product += other.product
        self.noise += other.noise
        self.largest = max(self.largest, other.largest)

    @property
    def sqnr(self) -> float:
        """The signal-to-quantization-noise ratio in dB: 20 log10(|wanted| / |wanted - made|), norms at least EPSILON.

        It is the formula of compute_signal_to_quantization_noice_ratio in onnxruntime.quantization.qdq_loss_debug.
        """
        return 20 * math.log10(max(_root(self.signal), EPSILON) / max(_root(self.noise), EPSILON))

    @property
    def share(self) -> float:
        """The noise as a share of the signal, which is what SQNR is the logarithm of; infinite where no signal is."""
        if not self.noise:
            return 0.0
        return float(self.noise / self.signal) if self.signal else math.inf

    @property
    def cosine(self) -> float:
        """The cosine of the angle between the two; 1 where both are zero, 0 where one is."""
        if not self.signal or not self.made:
            return 1.0 if self.signal == self.made else 0.0
        return float(self.product) / (_root(self.signal) * _root(self.made))

    def as_partial(self) -> list[Any]:
        """Return the sums in lists and texts that JSON has, without rounding."""
        exact = [str(getattr(self, name)) for name in EXACT]
        return [self.elements, self.left_out, exact, self.largest.hex()]

    @classmethod
    def from_partial(cls, partial: Sequence[Any]) -> ErrorSums:
        """Return what `as_partial` returned."""
        elements, left_out, exact, largest = partial
        sums = dict(zip(EXACT, map(Fraction, exact), strict=True))
        return cls(elements, left_out, **sums, largest=float.fromhex(largest))

    def as_json(self) -> dict[str, float | int]:
        return {
            "sqnr": self.sqnr,
            "cosine": self.cosine,
            "largest": self.largest,
            "noise": float(self.noise),
            "signal": float(self.signal),
            "elements": self.elements,
            "left_out": self.left_out,
        }


def _root(square: Fraction) -> float:
    return math.sqrt(float(square))
