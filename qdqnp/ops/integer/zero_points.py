"""Zero points that are inputs of their own: of MatMulInteger, ConvInteger and what ONNX Runtime makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.ops.node_check import NodeCheck
from qdqnp.quant import Array


def check_zero_point(check: NodeCheck, index: int, of: int) -> Shape | None:
    """Return the shape of a zero point that must have the type of input `of`; None where it is absent."""
    if not check.given(index):
        return None
    check.dtype_in(index, (check.value(of).dtype,), "zero point")
    return check.value(index).shape


def check_one(check: NodeCheck, index: int, what: str) -> None:
    """Refuse an input, if it is given, that is not one value, of shape () or (1,)."""
    if check.given(index) and check.value(index).shape not in ((), (1,)):
        check.refuse(f"input {index} ({what})", "one value", f"shape {list(check.value(index).shape)}")


def as_zero(zero: Array | None) -> Array:
    """Return a zero point as int64; 0 where it is absent."""
    return np.zeros((), np.int64) if zero is None else zero.astype(np.int64)


def numbers_of(*inputs: Any) -> list[int]:
    """Return the numbers that the arrays hold, in one list; an absent one holds none."""
    return [int(number) for array in inputs if array is not None for number in np.asarray(array).reshape(-1)]
