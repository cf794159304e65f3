"""Clip computes min(max(x, min), max). The limits are attributes before opset 11 and optional constant inputs since."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.ops.float.elementwise import NUMBERS, Elementwise
from qdqnp.ops.node_check import NodeCheck
from qdqnp.quant import Array


@dataclass(frozen=True)
class ClipAttributes:
    #: Of an integer tensor an integer, so that int64 has room.
    min: float | None = None
    max: float | None = None


class Clip(Elementwise):
    op = "Clip"
    arity = (1, 3)
    Attributes = ClipAttributes
    dtypes = (*NUMBERS, np.float16)

    def attributes(self, check: NodeCheck) -> Any:
        given = super().attributes(check)
        if check.opset < 11:
            return given
        if given != ClipAttributes():
            check.refuse("attributes 'min' and 'max'", "inputs since opset 11", given)
        return replace(given, min=self._limit(check, 1, "min"), max=self._limit(check, 2, "max"))

    def _limit(self, check: NodeCheck, index: int, what: str) -> float | int | None:
        if not check.given(index):
            return None
        value = check.whole(index)
        if value is None:  # computed, and read when the step runs
            shape = check.value(index).shape
            if any(size != 1 for size in shape):
                check.refuse(f"input {index} ({what})", f"one {check.value(0).dtype}", f"shape {list(shape)}")
            value = np.zeros((1,) * len(shape), check.value(index).dtype)
            check.runtime_scales.add(index)
        if value.size != 1 or value.dtype != check.value(0).dtype:
            check.refuse(f"input {index} ({what})", f"one {check.value(0).dtype}", f"{value.size} of {value.dtype}")
        limit: float | int = value.reshape(()).item()
        return limit

    def apply(self, x: Array, attributes: ClipAttributes) -> Array:
        # an absent limit is the largest finite number, so that infinities are clipped; -0.0 and NaN stay what they are
        info = np.finfo(x.dtype) if x.dtype.kind == "f" else np.iinfo(x.dtype)
        low = x.dtype.type(info.min if attributes.min is None else attributes.min)
        high = x.dtype.type(info.max if attributes.max is None else attributes.max)
        raised = np.where(x < low, low, x)
        return np.where(raised > high, high, raised)
