"""ElementTypes: the dtypes are those that onnx gives the numbers, and small elements keep their values."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from qdqnp.element_types import DTYPES, NUMBERS, PACKED, Dtype, is_float, is_integer, plain, plain_dtype, unpacked


def test_types_have_onnx_s_numbers() -> None:
    assert all(helper.tensor_dtype_to_np_dtype(number) == dtype for number, dtype in DTYPES.items())
    assert {NUMBERS[dtype]: dtype for dtype in DTYPES.values()} == DTYPES


def test_every_type_is_of_integers_or_of_floats_or_bool() -> None:
    for number, dtype in DTYPES.items():
        name = TensorProto.DataType.Name(number)
        assert is_float(dtype) == (name == "DOUBLE" or "FLOAT" in name)
        assert is_integer(dtype) == ("INT" in name)


@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES.values() if plain_dtype(dtype) != dtype], ids=str)
def test_plain_values_are_the_same(dtype: Dtype) -> None:
    """Of every bit pattern."""
    bits = np.arange(2 ** (8 // PACKED.get(dtype, 1)), dtype=np.uint8)
    if dtype.itemsize == 2:
        bits = np.arange(65536, dtype=np.uint16)
    codes = unpacked(bits, dtype, 1) if dtype in PACKED else bits.view(dtype)
    if dtype in PACKED:
        codes = np.concatenate([unpacked(bits[i : i + 1], dtype, 1) for i in range(bits.size)])
        assert len(np.unique(codes.astype(np.float32))) == bits.size - (
            dtype.kind == "V" and is_float(dtype)
        )  # -0 is 0
    values = plain(codes)
    assert values.dtype == plain_dtype(dtype)
    with np.errstate(invalid="ignore"):
        back = values.astype(dtype)
    nan = values != values
    assert np.array_equal(back[~nan].view(np.uint8), codes[~nan].view(np.uint8))
    assert (plain(back[nan]) != plain(back[nan])).all()
