"""Quant says how integer codes stand for real numbers. Only this module knows the range of a code type.

real = (code - zero_point) * scale, per tensor or per slice of one axis (the ONNX DequantizeLinear convention).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Codes = NDArray[Any]  # integer codes of one of CODE_DTYPES
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]
Signs = NDArray[np.int8]  # -1, 0 or 1

CODE_DTYPES = tuple(np.dtype(t) for t in (np.int8, np.uint8, np.int16, np.uint16, np.int32))
EIGHT_BIT = tuple(np.dtype(t) for t in (np.int8, np.uint8))


def code_range(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the smallest and the largest code of an integer dtype, for example (-128, 127) for int8."""
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


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
    #: float32, shape () per tensor or (n,) per slice of `axis`.
    scale: Float32
    #: In the dtype of the codes, with the shape of the scale or ().
    zero_point: Codes
    #: The axis of the slices; None per tensor.
    axis: int | None = None
    #: The least and the largest code that a layer makes, where an activation (Relu, Clip) keeps it inside the dtype's
    #: range; None where the dtype alone does.
    limits: tuple[int, int] | None = None

    @property
    def per_tensor(self) -> bool:
        return self.scale.ndim == 0

    @property
    def range(self) -> tuple[int, int]:
        """The least and the largest code: the limits of the activation, else those of the dtype."""
        return code_range(self.dtype) if self.limits is None else self.limits

    def centered(self, codes: Codes) -> Int64:
        """Return codes less their zero points, which lie along `axis`, as int64."""
        zero = self.zero_point.astype(np.int64)
        if zero.ndim:
            zero = zero.reshape([-1 if axis == self.axis else 1 for axis in range(codes.ndim)])
        return codes.astype(np.int64) - zero

    def same_as(self, other: Quant) -> bool:
        """Tell whether the parameters are bitwise equal: the same code then stands for the same real number in both.

        Limits do not matter: they say which codes there are, not what they mean.
        """
        return (
            self.dtype == other.dtype
            and self.axis == other.axis
            and self.scale.shape == other.scale.shape
            and self.scale.tobytes() == other.scale.tobytes()
            and bool(np.array_equal(self.zero_point, other.zero_point))
        )

    def __str__(self) -> str:
        if self.per_tensor:
            limited = "" if self.limits is None else f", codes {self.limits[0]} to {self.limits[1]}"
            return f"{self.dtype} scale {self.scale!s} zero point {self.zero_point!s}{limited}"
        return f"{self.dtype} per axis {self.axis} ({self.scale.size} scales)"
