"""How ONNX Runtime packs the weights of a product of which only they are quantized, for MatMulNBits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from qdqnp.graph import AttributeValue, Node
from qdqnp.lowering.edit import Edit
from qdqnp.quant import Array, shifted

#: The length of blocks and the accuracy level of a session without options.
BLOCK, LEVEL = 32, 4


def packed(edit: Edit, node: Node, dq: Node) -> tuple[str, ...]:
    """Return the inputs of the MatMulNBits that a MatMul or Gemm becomes whose right side a DequantizeLinear makes.

    Columns become rows of blocks; int8 codes become uint8, 128 higher; scale and zero point are repeated for each
    block.
    ONNX Runtime 1.32, core/optimizer/qdq_transformer/selectors_actions/qdq_actions.cc (DQMatMulToMatMulNBitsAction).
    """
    weight, scale = _constant(edit, dq.input(0)), _constant(edit, dq.input(1))
    terms, columns = weight.shape
    blocks = -(-terms // BLOCK)
    zero: Array | None = _constant(edit, dq.input(2)) if dq.input(2) else None
    if zero is None and weight.dtype == np.uint8:
        zero = np.zeros((), np.uint8)
    middle = 128 if weight.dtype == np.int8 else 0
    rows = np.full((columns, blocks * BLOCK), middle, np.uint8)
    rows[:, :terms] = shifted(np.ascontiguousarray(weight.T), np.dtype(np.uint8))
    names = [
        node.input(0),
        edit.add_constant(f"{dq.input(0)}_T", rows.reshape(columns, blocks, BLOCK)),
        edit.add_constant(f"{dq.input(1)}_T", _each(scale, columns, blocks)),
        "",
    ]
    if zero is not None:
        codes = shifted(np.atleast_1d(zero), np.dtype(np.uint8))
        names[3] = edit.add_constant(f"{dq.input(2) or dq.input(0)}_zero_T", _each(codes, columns, blocks))
    return (*names, "", node.input(2)) if node.input(2) else tuple(names)


def attributes(edit: Edit, dq: Node) -> Mapping[str, AttributeValue]:
    """Return the attributes of that MatMulNBits."""
    terms, columns = _constant(edit, dq.input(0)).shape
    return {"K": terms, "N": columns, "bits": 8, "block_size": BLOCK, "accuracy_level": LEVEL}


def _each(values: Array, columns: int, blocks: int) -> Array:
    """Repeat one value, or one for each column, for every block."""
    return np.repeat(np.broadcast_to(values.reshape(-1), (columns,)), blocks)


def _constant(edit: Edit, name: str) -> Array:
    found = edit.constant(name)
    assert found is not None  # a guard of the fusion has seen to it
    return found
