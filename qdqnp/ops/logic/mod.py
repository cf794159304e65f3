"""Mod is the remainder: with the divisor's sign, or with fmod = 1, and for floats, with the dividend's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.ops.float.elementwise import NUMBERS, Broadcast
from qdqnp.ops.geometry.integer_division import check_divisor
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred
from qdqnp.quant import Array


@dataclass(frozen=True)
class ModAttributes:
    fmod: int = 0


class Mod(Broadcast):
    """The remainder of a float division is exact: C's fmod rounds nothing."""

    op = "Mod"
    Attributes = ModAttributes
    dtypes = NUMBERS

    def infer(self, check: NodeCheck, attributes: ModAttributes) -> Inferred:
        if attributes.fmod not in (0, 1):
            check.refuse("attribute 'fmod'", "0 or 1", attributes.fmod)
        if check.value(0).dtype.kind == "f" and not attributes.fmod:
            check.refuse("attribute 'fmod'", "1, as the inputs are floats", 0)
        return super().infer(check, attributes)

    def apply(self, a: Array, b: Array) -> Array:
        raise NotImplementedError  # it depends on fmod

    def compute(self, binding: Binding, a: Array, b: Array) -> tuple[Array, ...]:
        remainder: Any = np.fmod if binding.step.attributes.fmod else np.remainder
        if a.dtype.kind != "f":
            check_divisor(a, b)
        return (np.asarray(remainder(a, b)),)
