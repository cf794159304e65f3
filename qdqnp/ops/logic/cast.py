"""Cast and CastLike convert elements to another type."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Operand, Step
from qdqnp.quant import Array

#: The types by their numbers in ONNX (TensorProto.DataType).
TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    4: np.dtype(np.uint16),
    5: np.dtype(np.int16),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float16),
    11: np.dtype(np.float64),
    12: np.dtype(np.uint32),
    13: np.dtype(np.uint64),
}


@dataclass(frozen=True)
class CastAttributes:
    to: int = 0
    #: What the file says of conversions to float8, which change nothing here.
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

    @abstractmethod
    def target(self, attributes: Any) -> np.dtype[Any]:
        """Return the dtype of the output."""

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        check.dtype_in(0, tuple(TYPES.values()), "x")
        return ((self.target(attributes), check.value(0).shape),)

    def step(self, check: NodeCheck, attributes: Any) -> Step:
        return self.make_step(check, attributes, (Operand(check.node.inputs[0]),), (Operand(check.node.outputs[0]),))

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        return (converted(x, self.target(binding.step.attributes)),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return x[index]


class Cast(Conversion):
    op = "Cast"
    Attributes = CastAttributes

    def attributes(self, check: NodeCheck) -> Any:
        given: CastAttributes = super().attributes(check)
        if given.to not in TYPES:
            check.refuse("attribute 'to'", f"the number of one of {', '.join(map(str, TYPES.values()))}", given.to)
        return given

    def target(self, attributes: CastAttributes) -> np.dtype[Any]:
        return TYPES[attributes.to]


class CastLike(Conversion):
    op = "CastLike"
    arity = (2, 2)
    Attributes = CastLikeAttributes

    def attributes(self, check: NodeCheck) -> Any:
        dtype = check.dtype_in(1, tuple(TYPES.values()), "target type")
        number = next(number for number, kind in TYPES.items() if kind == dtype)
        return replace(super().attributes(check), _to=number)

    def target(self, attributes: CastLikeAttributes) -> np.dtype[Any]:
        return TYPES[attributes._to]


def converted(x: Array, dtype: np.dtype[Any]) -> Array:
    """Return x in another type, as ONNX Runtime on x86-64 converts.

    Integers wrap, numbers to floats are rounded to nearest-even, by way of float32 to float16, and whatever is not 0
    is true. Floats to integers are cut off; what is beyond int32, or for int64 beyond that, and NaN, becomes the
    smallest number (CVTTSS2SI), of which narrower types take the low bits.

    Raises ProfileError for floats that uint32 or uint64 cannot hold: what C makes of them depends on its compiler.

    >>> converted(np.array([300.7, -1.5, np.nan], np.float32), np.dtype(np.int8))
    array([44, -1,  0], dtype=int8)
    """
    if x.dtype == dtype or dtype == np.bool_:
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


def _unsigned(x: Array, dtype: np.dtype[Any]) -> Array:
    fits = (x > -1) & (x < 2.0 ** (8 * dtype.itemsize))
    if not fits.all():
        at = int(np.argmin(fits.reshape(-1)))
        problem = Problem(f"element {at}", f"a number that {dtype} can hold", x.reshape(-1)[at])
        raise ProfileError(f"what a float beyond {dtype} becomes is not defined", [problem])
    return np.trunc(x).astype(dtype)
