"""How ONNX Runtime packs the weights of a product of which only they are quantized, for MatMulNBits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from qdqnp.element_types import PACKED
from qdqnp.graph import AttributeValue, Node
from qdqnp.lowering.edit import Edit
from qdqnp.quant import Array, code_range

#: The length of blocks and the accuracy level of a session without options.
BLOCK, LEVEL = 32, 4


def packed(edit: Edit, node: Node, dq: Node) -> tuple[str, ...]:
    """Return the inputs of the MatMulNBits that a MatMul or Gemm becomes whose right side a DequantizeLinear makes.

    Columns become rows of blocks; signed codes become unsigned, so much higher; one scale and zero point are repeated
    for each block.
    ONNX Runtime 1.32, core/optimizer/qdq_transformer/selectors_actions/qdq_actions.cc (DQMatMulToMatMulNBitsAction).
    """
    weight, scale = _constant(edit, dq.input(0)), _constant(edit, dq.input(1))
    (terms, columns), length, bits = weight.shape, block_length(dq), weight_bits(weight.dtype)
    blocks = -(-terms // length)
    low = code_range(weight.dtype)[0]
    zero: Array | None = _constant(edit, dq.input(2)) if dq.input(2) else None
    if zero is None and low == 0:
        zero = np.zeros((), weight.dtype)
    rows = np.full((columns, blocks * length), -low, np.uint8)
    rows[:, :terms] = weight.T.astype(np.int16) - low
    names = [
        node.input(0),
        edit.add_constant(f"{dq.input(0)}_T", _in_bytes(rows, bits).reshape(columns, blocks, -1)),
        edit.add_constant(f"{dq.input(1)}_T", _each(scale, columns, blocks).reshape(-1)),
        "",
    ]
    if zero is not None:
        codes = _each((zero.astype(np.int16) - low).astype(np.uint8), columns, blocks)
        names[3] = edit.add_constant(f"{dq.input(2) or dq.input(0)}_zero_T", _in_bytes(codes, bits).reshape(-1))
    return (*names, "", node.input(2)) if node.input(2) else tuple(names)


def weight_bits(dtype: np.dtype[Any]) -> int:
    """Return how many bits a weight of that type has."""
    return 8 // PACKED.get(dtype, 1)


def block_length(dq: Node) -> int:
    """Return the length of the blocks of MatMulNBits: those of the file, or the session's."""
    given = dq.attributes.get("block_size", 0)
    return given if isinstance(given, int) and given else BLOCK


def _in_bytes(rows: Array, bits: int) -> Array:
    """Pack codes (uint8) along the last axis, the first in the low bits of a byte."""
    each = 8 // bits
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % each))).reshape(len(rows), -1, each)
    shifts = np.arange(each, dtype=np.uint8) * np.uint8(bits)
    return np.asarray(np.bitwise_or.reduce(padded << shifts, axis=-1), np.uint8)


def attributes(edit: Edit, dq: Node) -> Mapping[str, AttributeValue]:
    """Return the attributes of that MatMulNBits."""
    weight = _constant(edit, dq.input(0))
    terms, columns = weight.shape
    return {
        "K": terms,
        "N": columns,
        "bits": weight_bits(weight.dtype),
        "block_size": block_length(dq),
        "accuracy_level": LEVEL,
    }


def _each(values: Array, columns: int, blocks: int) -> Array:
    """Return a value for each block of each column, (columns, blocks): one, one for each column, or one for each."""
    if values.ndim == 2:
        return np.ascontiguousarray(values.T)
    return np.repeat(np.broadcast_to(values.reshape(-1, 1), (columns, 1)), blocks, axis=1)


def _constant(edit: Edit, name: str) -> Array:
    found = edit.constant(name)
    assert found is not None  # a guard of the fusion has seen to it
    return found
