"""Turns a TensorProto into a read-only array. Nothing is allocated from dims before the data is known to exist."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx

from qdqnp.element_types import BFLOAT16, DTYPES, FLOAT8, PACKED, bytes_in_file, unpacked
from qdqnp.errors import Problems
from qdqnp.graph import frozen
from qdqnp.limits import MAX_RANK, MAX_TENSOR_BYTES, bytes_needed, readable_bytes
from qdqnp.quant import Array, code_range
from qdqnp.reader.external import ExternalData

Kind = onnx.TensorProto
SUPPORTED = ", ".join(str(dtype) for dtype in DTYPES.values())
# The typed fields that may hold elements; all types not named here use int32_data.
WIDE_FIELDS: dict[int, str] = {
    Kind.FLOAT: "float_data",
    Kind.DOUBLE: "double_data",
    Kind.INT64: "int64_data",
    Kind.UINT32: "uint64_data",
    Kind.UINT64: "uint64_data",
}
# Types of which int32_data holds the bits, not the value.
BITS: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.float16): np.dtype(np.uint16),
    BFLOAT16: np.dtype(np.uint16),
    **dict.fromkeys(FLOAT8, np.dtype(np.uint8)),
}
TYPED_FIELDS = ("float_data", "double_data", "int64_data", "int32_data", "uint64_data", "string_data")


def type_name(kind: int) -> str:
    """Return ONNX's name of an element type."""
    try:
        return str(Kind.DataType.Name(kind))
    except ValueError:
        return f"element type number {kind}"


def read_tensor(proto: onnx.TensorProto, where: str, external: ExternalData, problems: Problems) -> Array | None:
    """Return the tensor's array, or None when the tensor has problems (which are noted)."""
    shape = _shape(proto, where, problems)
    if shape is None:
        return None
    if proto.HasField("segment"):
        problems.add(where, "a whole tensor", "a segment of one")
        return None
    if proto.data_location == Kind.EXTERNAL:
        return _from_external(proto, shape, where, external, problems)
    filled = [name for name in TYPED_FIELDS if len(getattr(proto, name))]
    if len(filled) + proto.HasField("raw_data") > 1:
        fields = [*filled, "raw_data"] if proto.HasField("raw_data") else filled
        problems.add(where, "elements in one field", f"elements in {' and '.join(fields)}")
        return None
    if proto.HasField("raw_data"):
        return _from_bytes(proto, shape, proto.raw_data, where, problems)
    return _from_fields(proto, shape, where, problems)


def _shape(proto: onnx.TensorProto, where: str, problems: Problems) -> tuple[int, ...] | None:
    dtype = DTYPES.get(proto.data_type)
    if dtype is None:
        problems.add(where, f"one of the element types {SUPPORTED}", type_name(proto.data_type))
        return None
    if len(proto.dims) > MAX_RANK:
        problems.add(where, f"at most {MAX_RANK} axes", f"{len(proto.dims)} axes")
        return None
    shape = tuple(proto.dims)
    if any(dim < 0 for dim in shape):
        problems.add(where, "sizes of at least 0", f"dims {list(shape)}")
        return None
    needed = bytes_needed(dtype, shape)
    if needed > MAX_TENSOR_BYTES:
        problems.add(
            where,
            f"at most {readable_bytes(MAX_TENSOR_BYTES)}",
            f"dims {list(shape)}, which need {readable_bytes(needed)}",
        )
        return None
    return shape


def _from_external(
    proto: onnx.TensorProto, shape: tuple[int, ...], where: str, external: ExternalData, problems: Problems
) -> Array | None:
    if proto.HasField("raw_data") or any(len(getattr(proto, name)) for name in TYPED_FIELDS):
        problems.add(where, "elements in the file or outside", "both")
        return None
    data = external.read(proto, bytes_in_file(DTYPES[proto.data_type], math.prod(shape)), where)
    return None if data is None else _from_bytes(proto, shape, data, where, problems)


def _from_bytes(
    proto: onnx.TensorProto, shape: tuple[int, ...], data: bytes, where: str, problems: Problems
) -> Array | None:
    dtype = DTYPES[proto.data_type]
    needed = bytes_in_file(dtype, math.prod(shape))
    if len(data) != needed:
        problems.add(
            where,
            f"{needed} bytes for {dtype} {list(shape)}",
            f"{len(data)} bytes",
            "The file is damaged, or dims and data do not belong together.",
        )
        return None
    if dtype == np.bool_:
        return _booleans(np.frombuffer(data, np.uint8).reshape(shape), where, problems)
    if dtype in PACKED:
        return _unpacked(np.frombuffer(data, np.uint8), dtype, shape)
    return frozen(np.frombuffer(data, dtype.newbyteorder("<")).reshape(shape))


def _from_fields(proto: onnx.TensorProto, shape: tuple[int, ...], where: str, problems: Problems) -> Array | None:
    kind = proto.data_type
    dtype = DTYPES[kind]
    field = WIDE_FIELDS.get(kind, "int32_data")
    elements = getattr(proto, field)
    needed = bytes_in_file(dtype, math.prod(shape)) if dtype in PACKED else math.prod(shape)
    if len(elements) != needed:
        problems.add(
            where,
            f"{needed} elements in {field} for {dtype} {list(shape)}",
            f"{len(elements)} elements",
            "The file is damaged, or dims and data do not belong together.",
        )
        return None
    if kind == Kind.UINT32 and len(elements) and max(elements) >= 2**32:
        problems.add(where, "uint32 values in uint64_data", max(elements), "The values do not fit the declared type.")
        return None
    if field != "int32_data":
        return frozen(np.array(elements, dtype).reshape(shape))
    if dtype in PACKED:  # each element of the field is one byte of packed ones
        held = _narrowed(np.array(elements, np.int32), np.dtype(np.uint8), where, problems)
        return None if held is None else _unpacked(held, dtype, shape)
    return _narrowed(np.array(elements, np.int32).reshape(shape), dtype, where, problems)


def _unpacked(data: Array, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    return frozen(unpacked(data, dtype, math.prod(shape)).reshape(shape))


def _narrowed(values: Array, dtype: np.dtype[Any], where: str, problems: Problems) -> Array | None:
    """Check the range before the cast, which would wrap: int32_data holds every small type."""
    if dtype == np.bool_:
        return _booleans(values, where, problems)
    stored = BITS.get(dtype, dtype)
    low, high = code_range(stored)
    wrong = (values < low) | (values > high)
    if wrong.any():
        at = int(np.argmax(wrong.reshape(-1)))
        problems.add(
            f"{where}, element {at}",
            f"{dtype} values from {low} to {high} in int32_data",
            values.reshape(-1)[at],
            "The values do not fit the declared element type.",
        )
        return None
    narrow = values.astype(stored)
    return frozen(narrow.view(dtype))


def _booleans(values: Array, where: str, problems: Problems) -> Array | None:
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        at = int(np.argmax(wrong.reshape(-1)))
        problems.add(f"{where}, element {at}", "bool values 0 or 1", values.reshape(-1)[at])
        return None
    return frozen(values.view(np.bool_) if values.dtype.itemsize == 1 else values.astype(np.bool_))
