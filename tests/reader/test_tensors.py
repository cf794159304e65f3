"""Initializers: dtypes, sizes and ranges."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdqnp.reader import read
from tests.reader.builders import model, node, refused_once, relu, tensor, with_weight


def raw(kind: int, dims: list[int], data: bytes) -> onnx.TensorProto:
    return TensorProto(name="w", data_type=kind, dims=dims, raw_data=data)


def typed(kind: int, dims: list[int], **fields: Any) -> onnx.TensorProto:
    return TensorProto(name="w", data_type=kind, dims=dims, **fields)


def read_alone(weight: onnx.TensorProto) -> np.ndarray[Any, Any]:
    """The array of an initializer that nothing reads."""
    made = relu()
    made.graph.initializer.append(weight)
    const = read(made).values["w"].const
    assert const is not None
    return const


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "float16", "int8", "uint8", "int16", "uint16", "int32", "int64", "bool"]
)
def test_raw_and_typed_fields_agree(dtype: str) -> None:
    value = np.array([[0, 1, 1], [1, 0, 1]], dtype)
    packed = tensor("w", value, dtype)
    values = value.view({"float16": np.uint16, "bool": np.uint8}.get(dtype, dtype))
    field = {"float32": "float_data", "float64": "double_data", "int64": "int64_data"}.get(dtype, "int32_data")
    loose = typed(packed.data_type, [2, 3], **{field: values.reshape(-1).tolist()})
    for proto in (packed, loose):
        array = read_alone(proto)
        assert array.dtype == value.dtype and np.array_equal(array, value)
        assert not array.flags.writeable


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "float16"])
def test_int32_data_holds_what_the_type_holds_and_nothing_beside(dtype: str) -> None:
    """A cast would wrap: 128 would be read as the int8 -128. A float16 is stored as its 16 bits."""
    stored = np.iinfo("uint16" if dtype == "float16" else dtype)
    kind = tensor("w", 0, dtype).data_type
    ends = read_alone(typed(kind, [2], int32_data=[stored.min, stored.max]))
    assert ends.view(stored.dtype).tolist() == [stored.min, stored.max]
    for value in (stored.min - 1, stored.max + 1):
        weight = typed(kind, [3], int32_data=[0, value, 0])
        expected = f"{dtype} values from {stored.min} to {stored.max} in int32_data"
        refused_once(with_weight(weight), "initializer 'w', element 1", expected, f"got {value}")


SMALL = ["INT4", "UINT4", "INT2", "UINT2", "FLOAT4E2M1", *(f"FLOAT8{kind}" for kind in ("E4M3FN", "E5M2", "E5M2FNUZ"))]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("name", [*SMALL, "FLOAT8E4M3FNUZ", "BFLOAT16"])
def test_small_elements_are_those_that_onnx_packed(name: str, count: int) -> None:
    """Every bit pattern, in raw_data and in int32_data, where an element of the field is a byte of packed ones."""
    kind = TensorProto.DataType.Value(name)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    value = (np.arange(count) * 7 % 15 - 4 * (name[0] != "U")).astype(np.float32).astype(dtype)
    packed = numpy_helper.from_array(value, "w")
    width = 2 if name == "BFLOAT16" else 1
    bits = np.frombuffer(packed.raw_data, f"<u{width}")
    for proto in (packed, typed(kind, [count], int32_data=bits.tolist())):
        array = read_alone(proto)
        assert array.dtype == dtype and array.shape == (count,)
        assert array.tobytes() == numpy_helper.to_array(proto).tobytes()
        assert not array.flags.writeable


def test_packed_data_of_wrong_size() -> None:
    refused_once(with_weight(raw(TensorProto.INT4, [3], bytes(3))), "2 bytes for int4 [3]", "got 3 bytes")
    short = typed(TensorProto.UINT2, [5], int32_data=[1])
    refused_once(with_weight(short), "2 elements in int32_data for uint2 [5]", "got 1 elements")
    large = typed(TensorProto.INT4, [2], int32_data=[256])
    refused_once(with_weight(large), "uint8 values from 0 to 255 in int32_data", "got 256")


@pytest.mark.parametrize("size", [0, 11, 13, 24])
def test_raw_data_of_wrong_size(size: int) -> None:
    weight = raw(TensorProto.FLOAT, [3], bytes(size))
    refused_once(with_weight(weight), "initializer 'w'", "12 bytes for float32 [3]", f"got {size} bytes")


def test_typed_data_of_wrong_size() -> None:
    weight = typed(TensorProto.FLOAT, [3], float_data=[1.0])
    refused_once(with_weight(weight), "3 elements in float_data", "got 1 elements")


def test_no_data_at_all() -> None:
    refused_once(with_weight(typed(TensorProto.FLOAT, [3])), "3 elements in float_data", "got 0 elements")


@pytest.mark.parametrize(
    ("kind", "values", "limits"),
    [
        (TensorProto.INT8, [1, 300, 0], "from -128 to 127"),
        (TensorProto.UINT8, [1, -1, 0], "from 0 to 255"),
        (TensorProto.INT16, [0, 40000, 0], "from -32768 to 32767"),
        (TensorProto.UINT16, [0, -2, 0], "0 to 65535"),
    ],
)
def test_typed_data_outside_its_dtype(kind: int, values: list[int], limits: str) -> None:
    refused_once(with_weight(typed(kind, [3], int32_data=values)), "element 1", limits, f"got {values[1]}")


def test_bool_that_is_neither() -> None:
    refused_once(with_weight(raw(TensorProto.BOOL, [3], b"\0\2\1")), "element 1", "0 or 1", "got 2")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (TensorProto.FLOAT8E8M0, "FLOAT8E8M0"),
        (TensorProto.STRING, "STRING"),
        (TensorProto.COMPLEX64, "COMPLEX64"),
        (TensorProto.UNDEFINED, "UNDEFINED"),
        (999, "number 999"),
    ],
)
def test_unsupported_element_types(kind: int, name: str) -> None:
    refused_once(with_weight(raw(kind, [1], b"0")), "one of the element types float32", name)


def test_negative_dims() -> None:
    refused_once(with_weight(raw(TensorProto.FLOAT, [-1, -3], bytes(12))), "sizes of at least 0", "[-1, -3]")


@pytest.mark.parametrize("dims", [[1 << 40, 3], [1 << 62, 1 << 62], [0, 1 << 62]])
def test_dims_that_need_terabytes(dims: list[int]) -> None:
    refused_once(with_weight(raw(TensorProto.FLOAT, dims, b"")), "at most 4.0 GiB", "which need")


def test_too_many_axes() -> None:
    refused_once(with_weight(raw(TensorProto.FLOAT, [1] * 33, bytes(4))), "at most 32 axes", "33 axes")


def test_two_data_fields() -> None:
    weight = raw(TensorProto.FLOAT, [1], bytes(4))
    weight.float_data.append(1.0)
    refused_once(with_weight(weight), "elements in one field", "float_data and raw_data")


def test_segment() -> None:
    weight = raw(TensorProto.FLOAT, [1], bytes(4))
    weight.segment.begin = 0
    refused_once(with_weight(weight), "a segment")


def test_sparse_initializer() -> None:
    made = model([node("Add", ["x", "w"], ["y"])])
    made.graph.sparse_initializer.add().values.name = "w"
    refused_once(made, "sparse initializer 'w'", "a dense initializer")
