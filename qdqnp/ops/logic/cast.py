"""Cast and CastLike convert elements to another type."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.element_types import BFLOAT16, DTYPES, FLOAT4, FLOAT8, NUMBERS, PACKED, is_float, low_bits, plain
from qdqnp.errors import Problem, ProfileError
from qdqnp.graph import Shape
from qdqnp.numerics.float8 import to_small_float
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.ops.standard import standard_doubt
from qdqnp.program import Operand, Step
from qdqnp.quant import Array

#: What ONNX Runtime 1.32 has no kernel for.
STANDARD_ONLY = (FLOAT4,)


@dataclass(frozen=True)
class CastAttributes:
    to: int = 0
    #: Whether numbers too large for float8 become the largest one.
    saturate: int = 1
    round_mode: str = "up"


@dataclass(frozen=True)
class CastLikeAttributes:
    saturate: int = 1
    round_mode: str = "up"
    #: The type of the second input, by its number in ONNX.
    _to: int = 0


class Conversion(Operator):
    """Converts the first input to a type that the attributes say."""

    elementwise = True

    @abstractmethod
    def target(self, attributes: Any) -> np.dtype[Any]:
        """Return the dtype of the output."""

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        check.dtype_in(0, tuple(DTYPES.values()), "x")
        return ((self.target(attributes), check.value(0).shape),)

    def step(self, check: NodeCheck, attributes: Any) -> Step:
        return self.make_step(check, attributes, (Operand(check.node.inputs[0]),), (Operand(check.node.outputs[0]),))

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        return (converted(x, self.target(binding.step.attributes), bool(binding.step.attributes.saturate)),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return x[index]

    def doubt(self, binding: Binding) -> str:
        return standard_doubt((self.target(binding.step.attributes),), STANDARD_ONLY)


class Cast(Conversion):
    op = "Cast"
    Attributes = CastAttributes

    def attributes(self, check: NodeCheck) -> Any:
        given: CastAttributes = super().attributes(check)
        if given.to not in DTYPES:
            check.refuse("attribute 'to'", f"the number of one of {', '.join(map(str, DTYPES.values()))}", given.to)
        return given

    def target(self, attributes: CastAttributes) -> np.dtype[Any]:
        return DTYPES[attributes.to]


class CastLike(Conversion):
    op = "CastLike"
    arity = (2, 2)
    Attributes = CastLikeAttributes

    def attributes(self, check: NodeCheck) -> Any:
        dtype = check.dtype_in(1, tuple(DTYPES.values()), "target type")
        return replace(super().attributes(check), _to=NUMBERS[dtype])

    def target(self, attributes: CastLikeAttributes) -> np.dtype[Any]:
        return DTYPES[attributes._to]


def converted(x: Array, dtype: np.dtype[Any], saturate: bool = True) -> Array:
    """Return x in another type, as ONNX Runtime on x86-64 converts.

    Integers wrap, numbers to floats are rounded to nearest-even, by way of float32 to float16 and smaller ones, and
    whatever is not 0 is true. Floats to integers are cut off; what is beyond int32, or for int64 beyond that, and NaN,
    becomes the smallest number (CVTTSS2SI), of which narrower types take the low bits. Floats to integers of 4 and 2
    bits are rounded, halves away from zero, before their low bits are taken.

    Raises ProfileError for floats that uint32 or uint64 cannot hold: what C makes of them depends on its compiler.

    >>> converted(np.array([300.7, -1.5, np.nan], np.float32), np.dtype(np.int8))
    array([44, -1,  0], dtype=int8)
    """
    if x.dtype == dtype:
        return x.copy()
    if dtype in PACKED and dtype != FLOAT4:
        return low_bits(_rounded(plain(x)), dtype)
    if x.dtype in FLOAT8 and dtype == np.bool_:  # by its bits: -0 is true
        return np.asarray(x.view(np.uint8) != 0)
    x = plain(x)
    if dtype in FLOAT8 or dtype == FLOAT4:
        return to_small_float(x.astype(np.float32), dtype, saturate)
    if dtype == BFLOAT16:
        return x.astype(np.float32).astype(dtype)
    if dtype == np.bool_:
        return x.astype(dtype)
    if dtype == np.float16 or x.dtype == np.float16:
        x = x.astype(np.float32)
    if x.dtype.kind != "f" or dtype.kind == "f":
        return x.astype(dtype)
    if dtype.kind == "u" and dtype.itemsize >= 4:
        return _unsigned(x, dtype)
    bits = 64 if dtype.itemsize == 8 else 32
    wide = np.dtype(f"int{bits}")
    whole = np.trunc(x)
    fits = (whole >= -(2.0 ** (bits - 1))) & (whole < 2.0 ** (bits - 1))
    return np.where(fits, np.where(fits, whole, 0).astype(wide), wide.type(-(2 ** (bits - 1)))).astype(dtype)


def _rounded(x: Array) -> Array:
    """Return integers: floats rounded, halves away from zero; 0 for what is beyond int32 and for NaN."""
    if not is_float(x.dtype):
        return x
    wide = x.astype(np.float64)
    whole = np.trunc(wide + np.copysign(0.5, wide))
    return np.where(np.abs(whole) < 2.0**31, whole, 0).astype(np.int64)


def _unsigned(x: Array, dtype: np.dtype[Any]) -> Array:
    fits = (x > -1) & (x < 2.0 ** (8 * dtype.itemsize))
    if not fits.all():
        at = int(np.argmin(fits.reshape(-1)))
        problem = Problem(f"element {at}", f"a number that {dtype} can hold", x.reshape(-1)[at])
        raise ProfileError(f"what a float beyond {dtype} becomes is not defined", [problem])
    return np.trunc(x).astype(dtype)
