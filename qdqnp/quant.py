"""Quant says how integer codes stand for real numbers. Only this module knows the range of a code type.

real = (code - zero_point) * scale, per tensor, per slice of one axis, or per block along one axis (the ONNX
DequantizeLinear convention).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdqnp.element_types import INT2, INT4, PACKED, UINT2, UINT4, plain_dtype

Array = NDArray[Any]
Codes = NDArray[Any]  # integer codes of one of CODE_DTYPES
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Signs = NDArray[np.int8]  # -1, 0 or 1

#: Types that QuantizeLinear makes codes of, and those that DequantizeLinear reads. 4- and 2-bit codes have a type of
#: their own, so that nothing takes them for 8-bit ones; in memory each takes a byte.
QUANTIZED = (*(np.dtype(t) for t in (np.int8, np.uint8, np.int16, np.uint16)), INT4, UINT4, INT2, UINT2)
CODE_DTYPES = (*QUANTIZED, np.dtype(np.int32))
EIGHT_BIT: tuple[np.dtype[Any], ...] = tuple(np.dtype(t) for t in (np.int8, np.uint8))
SIXTEEN_BIT: tuple[np.dtype[Any], ...] = tuple(np.dtype(t) for t in (np.int16, np.uint16))
#: Types of codes that integer operators take; of 16 bits only where a profile's lowering makes such operators.
ACTIVATIONS = (*EIGHT_BIT, *SIXTEEN_BIT)


@cache
def code_range(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the smallest and the largest code of an integer dtype.

    >>> code_range(np.dtype(np.int8)), code_range(INT4)
    ((-128, 127), (-8, 7))
    """
    bits = 8 * dtype.itemsize // PACKED.get(dtype, 1)
    if plain_dtype(dtype).kind == "u":
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def all_codes(dtype: np.dtype[Any]) -> Codes:
    """Return the 256 codes of an 8-bit dtype in the order of their bytes 0..255."""
    return np.arange(256, dtype=np.uint8).view(dtype)


def shifted(codes: Codes, dtype: np.dtype[Any]) -> Codes:
    """Return int8 codes as uint8 or back, 128 higher or lower.

    They stand for the same real values under a zero point shifted likewise. Codes that have the dtype already are
    returned
    as they are.
    """
    if codes.dtype == dtype:
        return codes
    assert {codes.dtype, dtype} == set(EIGHT_BIT)
    return (codes.view(np.uint8) ^ np.uint8(128)).view(dtype)


@dataclass(frozen=True, eq=False)
class Quant:
    """Scale and zero point of a quantized tensor."""

    #: The integer dtype of the codes.
    dtype: np.dtype[Any]
    #: float32, shape () per tensor or (n,) per slice of `axis`; per block, as many axes as the tensor has.
    scale: Float32
    #: In the dtype of the codes, with the shape of the scale or ().
    zero_point: Codes
    #: The axis of the slices or blocks; None per tensor.
    axis: int | None = None
    #: The least and the largest code that a layer makes, where an activation (Relu, Clip) keeps it inside the dtype's
    #: range; None where the dtype alone does.
    limits: tuple[int, int] | None = None
    #: How many codes along `axis` share a scale, where that is not the whole slice; else 0.
    block_size: int = 0

    @property
    def per_tensor(self) -> bool:
        return self.scale.ndim == 0

    @property
    def range(self) -> tuple[int, int]:
        """The least and the largest code: the limits of the activation, else those of the dtype."""
        return code_range(self.dtype) if self.limits is None else self.limits

    def centered(self, codes: Codes) -> Int64:
        """Return codes less their zero points, which lie along `axis`, as int64."""
        return codes.astype(np.int64) - self.aligned(codes.shape).zero_point.astype(np.int64)

    def aligned(self, shape: tuple[int, ...]) -> Quant:
        """Return the same parameters, shaped to broadcast over codes of that shape.

        >>> blocks = Quant(INT4, np.array([[1, 2]], np.float32), np.zeros((1, 2), INT4), axis=1, block_size=2)
        >>> blocks.aligned((4, 3)).scale
        array([[1., 1., 2.]], dtype=float32)
        """
        if self.per_tensor or self.axis is None:
            return self
        scale, zero = (self._along(array, shape) for array in (self.scale, self.zero_point))
        return replace(self, scale=scale, zero_point=zero)

    def _along(self, parameters: Array, shape: tuple[int, ...]) -> Array:
        """Return scales or zero points, shaped to broadcast over codes of that shape."""
        if parameters.ndim == 0:
            return parameters
        if self.block_size:
            assert self.axis is not None
            return parameters.take(np.arange(shape[self.axis]) // self.block_size, self.axis)
        return parameters.reshape([-1 if axis == self.axis else 1 for axis in range(len(shape))])

    def fits(self, shape: tuple[object, ...]) -> bool:
        """Tell whether there are as many scales as slices or blocks of a tensor; unknown sizes fit.

        >>> Quant(INT4, np.ones((2, 2), np.float32), np.zeros((), INT4), axis=1, block_size=2).fits((2, 5))
        False
        """
        if self.per_tensor or self.axis is None:
            return True
        wanted: list[object] = [shape[self.axis]]
        if self.block_size:
            wanted = list(shape)
            along = shape[self.axis]
            wanted[self.axis] = -(-along // self.block_size) if isinstance(along, int) else along
        pairs = zip(wanted, self.scale.shape, strict=True)
        return all(size == scales for size, scales in pairs if isinstance(size, int))

    def at(self, index: tuple[int, ...]) -> Quant:
        """Return the parameters of the code at an index, per tensor.

        >>> slices = Quant(np.dtype(np.int8), np.array([1, 2], np.float32), np.zeros(2, np.int8), axis=0)
        >>> print(slices.at((1, 5)))
        int8 scale 2.0 zero point 0
        """
        if self.per_tensor or self.axis is None:
            return self
        slice_ = index[self.axis]
        place = (*index[: self.axis], slice_ // self.block_size, *index[self.axis + 1 :]) if self.block_size else slice_
        zero = self.zero_point[place] if self.zero_point.ndim else self.zero_point
        return Quant(self.dtype, np.asarray(self.scale[place]), np.asarray(zero))

    def same_as(self, other: Quant) -> bool:
        """Tell whether the parameters are bitwise equal: the same code then stands for the same real number in both.

        Limits do not matter: they say which codes there are, not what they mean.
        """
        return (
            self.dtype == other.dtype
            and (self.axis, self.block_size) == (other.axis, other.block_size)
            and self.scale.shape == other.scale.shape
            and self.scale.tobytes() == other.scale.tobytes()
            and bool(np.array_equal(self.zero_point, other.zero_point))
        )

    def __str__(self) -> str:
        if self.per_tensor:
            limited = "" if self.limits is None else f", codes {self.limits[0]} to {self.limits[1]}"
            return f"{self.dtype} scale {self.scale!s} zero point {self.zero_point!s}{limited}"
        if self.block_size:
            return f"{self.dtype} in blocks of {self.block_size} along axis {self.axis} ({self.scale.size} scales)"
        return f"{self.dtype} per axis {self.axis} ({self.scale.size} scales)"
