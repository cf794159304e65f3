"""ElementTypes are ONNX's types of tensor elements; here are the NumPy dtypes that stand for them.

The types that NumPy does not have are those that onnx gives it (onnx has them from the package ml_dtypes). Their
elements take a byte or two each in memory; files pack two 4-bit elements, or four 2-bit ones, into a byte, the first in
its low bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx import TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

Dtype = np.dtype[Any]

INT4, UINT4, INT2, UINT2, BFLOAT16, FLOAT4 = (
    tensor_dtype_to_np_dtype(kind)
    for kind in (
        *(TensorProto.INT4, TensorProto.UINT4, TensorProto.INT2, TensorProto.UINT2),
        *(TensorProto.BFLOAT16, TensorProto.FLOAT4E2M1),
    )
)
FLOAT8 = tuple(
    tensor_dtype_to_np_dtype(kind)
    for kind in (
        *(TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FNUZ),
        *(TensorProto.FLOAT8E5M2, TensorProto.FLOAT8E5M2FNUZ),
    )
)

#: The dtype of each number that TensorProto, and attributes such as `to` and `output_dtype`, give an element type.
DTYPES: Mapping[int, Dtype] = {
    1: np.dtype(np.float32),
    11: np.dtype(np.float64),
    10: np.dtype(np.float16),
    3: np.dtype(np.int8),
    2: np.dtype(np.uint8),
    5: np.dtype(np.int16),
    4: np.dtype(np.uint16),
    6: np.dtype(np.int32),
    12: np.dtype(np.uint32),
    7: np.dtype(np.int64),
    13: np.dtype(np.uint64),
    9: np.dtype(np.bool_),
    16: BFLOAT16,
    17: FLOAT8[0],
    18: FLOAT8[1],
    19: FLOAT8[2],
    20: FLOAT8[3],
    21: UINT4,
    22: INT4,
    23: FLOAT4,
    25: UINT2,
    26: INT2,
}
NUMBERS: Mapping[Dtype, int] = {dtype: number for number, dtype in DTYPES.items()}

#: How many elements of a type a file packs into one byte; 1 for types that are not named.
PACKED: Mapping[Dtype, int] = {INT4: 2, UINT4: 2, FLOAT4: 2, INT2: 4, UINT2: 4}

# The dtype of NumPy's own that holds all values of each type of ml_dtypes.
_WIDER: Mapping[Dtype, Dtype] = {
    **dict.fromkeys((INT4, INT2), np.dtype(np.int8)),
    **dict.fromkeys((UINT4, UINT2), np.dtype(np.uint8)),
    **dict.fromkeys((BFLOAT16, *FLOAT8, FLOAT4), np.dtype(np.float32)),
}


def is_integer(dtype: Dtype) -> bool:
    """Tell whether a dtype is of integers, bool not among them.

    >>> [is_integer(dtype) for dtype in (np.dtype(np.int8), INT4, BFLOAT16, np.dtype(np.bool_))]
    [True, True, False, False]
    """
    return plain_dtype(dtype).kind in "iu"


def is_float(dtype: Dtype) -> bool:
    """Tell whether a dtype is of floating-point numbers.

    >>> [is_float(dtype) for dtype in (np.dtype(np.float16), FLOAT4, INT4)]
    [True, True, False]
    """
    return plain_dtype(dtype).kind == "f"


def plain_dtype(dtype: Dtype) -> Dtype:
    """Return the dtype of NumPy's own that holds all values of a dtype: the same one, or a wider one.

    >>> plain_dtype(INT4), plain_dtype(BFLOAT16)
    (dtype('int8'), dtype('float32'))
    """
    return _WIDER.get(dtype, dtype)


def plain(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the same values in a dtype of NumPy's own, which any program reads: codes of 4 bits as int8 or uint8.

        array: any shape and dtype; returned as it is where its dtype is NumPy's.

    >>> plain(np.array([-8, 7], INT4))
    array([-8,  7], dtype=int8)
    """
    return array.astype(plain_dtype(array.dtype), copy=False)


def from_plain(array: np.ndarray[Any, Any], dtype: Dtype) -> np.ndarray[Any, Any]:
    """Return the values of an array file in a dtype that such files cannot name; as they are where they are others.

        array: values in the dtype that `plain` gives; or the bytes of the dtype, which np.save calls void.
        dtype: the element type that a model asks for.

    >>> from_plain(np.array([-8, 7], np.int8), INT4)
    array([-8, 7], dtype=int4)
    >>> from_plain(np.array([-8, 8], np.int8), INT4)
    array([-8,  8], dtype=int8)
    """
    if dtype not in _WIDER:
        return array
    if array.dtype == np.dtype((np.void, dtype.itemsize)):
        return array.view(dtype)
    if array.dtype != _WIDER[dtype]:
        return array
    with np.errstate(all="ignore"):
        made = array.astype(dtype)
    return made if np.array_equal(plain(made), array, equal_nan=is_float(dtype)) else array


def bytes_in_file(dtype: Dtype, count: int) -> int:
    """Return the bytes that so many elements take in a model file.

    >>> bytes_in_file(INT4, 3), bytes_in_file(np.dtype(np.int16), 3)
    (2, 6)
    """
    return -(-count // PACKED.get(dtype, 1)) * dtype.itemsize


def unpacked(data: np.ndarray[Any, Any], dtype: Dtype, count: int) -> np.ndarray[Any, Any]:
    """Return the elements that bytes of a model file hold.

        data: uint8, one axis, `bytes_in_file(dtype, count)` bytes; what is left of the last one is not looked at.
        dtype: one of PACKED.

    >>> unpacked(np.array([0x8F, 0x07], np.uint8), INT4, 3)
    array([-1, -8, 7], dtype=int4)
    """
    width = 8 // PACKED[dtype]
    parts = (data[:, None] >> np.arange(0, 8, width, dtype=np.uint8)).reshape(-1)[:count]
    if dtype == FLOAT4:
        return (parts & np.uint8(15)).view(dtype)
    return low_bits(parts, dtype)


def low_bits(values: np.ndarray[Any, Any], dtype: Dtype) -> np.ndarray[Any, Any]:
    """Return the integers of 4 or 2 bits that are the low bits of others; the highest is the sign of int4 and int2.

    >>> low_bits(np.array([8, 300, -1]), INT4)
    array([-8, -4, -1], dtype=int4)
    """
    width = 8 // PACKED[dtype]
    bits = (values & ((1 << width) - 1)).astype(np.int8)
    if dtype in (INT4, INT2):
        bits = np.where(bits >> (width - 1), bits - np.int8(1 << width), bits)
    return bits.astype(dtype)
