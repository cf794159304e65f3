"""Division as C has it: quotients of integers are cut off towards zero, and there are none by zero."""

from __future__ import annotations

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.quant import Array


def divided(a: Array, b: Array) -> Array:
    """Return a / b; of integers the quotient, cut off towards zero.

    Raises ProfileError where an integer is divided by zero, or the smallest one by -1: C leaves that undefined, and
    ONNX Runtime ends there.
    """
    if a.dtype.kind == "f":
        return np.asarray(np.divide(a, b))
    check_divisor(a, b)
    floor = np.floor_divide(a, b)
    inexact = (floor * b != a) & ((a < 0) != (b < 0))
    return np.asarray(floor + inexact.astype(a.dtype))


def check_divisor(a: Array, b: Array) -> None:
    """Check that integers can be divided. Raises ProfileError as `divided` does."""
    found = "a division by zero" if np.any(b == 0) else ""
    if a.dtype.kind == "i" and a.dtype.itemsize >= 4:  # narrower ones are divided as int32, and wrap
        least = np.iinfo(a.dtype).min
        found = found or ("the smallest number, divided by -1" if np.any((a == least) & (b == -1)) else "")
    if found:
        problem = Problem("the divisor", "a quotient that C defines", found, "ONNX Runtime's process ends there.")
        raise ProfileError(f"{a.dtype} numbers cannot be divided", [problem])
