"""Shrink moves what is far from zero towards it, and makes the rest zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qdqnp.quant import Array


@dataclass(frozen=True)
class ShrinkAttributes:
    bias: float = 0.0
    lambd: float = 0.5


def shrink(x: Array, attributes: ShrinkAttributes) -> Array:
    """Compute x + bias below -lambd, x - bias above lambd, else 0."""
    bias, limit = np.float32(attributes.bias), np.float32(attributes.lambd)
    return np.where(x < -limit, x + bias, np.where(x > limit, x - bias, np.float32(0)))
