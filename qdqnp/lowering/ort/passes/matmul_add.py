"""Turns MatMul and Add into Gemm."""

from __future__ import annotations

import math

import numpy as np

from qdqnp.graph import Dim, Graph, Node, Shape, Value
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op

NAME = "matmul-add"


def matmul_add(graph: Graph, log: Log) -> Graph:
    """Turn MatMul by a matrix, then Add of something that Gemm can broadcast, into one Gemm.

    The Gemm stands between two Reshapes if the left side is not a matrix. ONNX Runtime 1.32,
    core/optimizer/matmul_add_fusion.cc (MatMulAddFusion).
    """
    edit = Edit(graph)
    for matmul in edit.nodes():
        add = edit.only_user(matmul) if is_op(matmul, "MatMul") else None
        if add is None or not is_op(add, "Add"):
            continue
        bias = add.inputs[1] if add.inputs[0] == matmul.outputs[0] else add.inputs[0]
        reason = _why_not(edit, matmul, bias)
        if reason:
            log.refuse(matmul, NAME, reason)
        else:
            _fuse(edit, matmul, add, bias)
    return edit.done()


def _why_not(edit: Edit, matmul: Node, bias: str) -> str | None:
    left, right, added = (edit.values[name] for name in (*matmul.inputs, bias))
    if left.dtype not in (np.dtype(np.float32), np.dtype(np.float16)):
        return "it is not float32 or float16"
    if len(right.shape) != 2 or not left.shape:
        return "the right side is no matrix"
    n = right.shape[1]
    if len(left.shape) != 2:
        if not all(isinstance(dim, int) for dim in (*left.shape, *right.shape)):
            return "the shape of the left side is not fixed"
        return None if added.shape == (n,) else "Gemm cannot broadcast the added tensor"
    return None if _broadcasts(added.shape, left.shape[0], n) else "Gemm cannot broadcast the added tensor"


def _broadcasts(shape: Shape, m: Dim, n: Dim) -> bool:
    if len(shape) == 1:
        return shape[0] == n is not None
    if len(shape) != 2:
        return False
    return (shape[0] == 1 and shape[1] == n) or (shape[0] == m is not None and shape[1] in (1, n))


def _fuse(edit: Edit, matmul: Node, add: Node, bias: str) -> None:
    left, right = matmul.inputs
    shape, n = edit.values[left].shape, edit.values[right].shape[1]
    origin = (*matmul.origins, *add.origins)
    if len(shape) == 2:
        name = f"{matmul.name}/MatMulAddFusion"
        edit.replace((matmul, add), Node("Gemm", "", (left, right, bias), add.outputs, {}, name, origin))
        return
    rows = math.prod(dim for dim in shape[:-1] if isinstance(dim, int))
    dtype = edit.values[left].dtype
    flat = edit.fresh("gemm_input_reshape_arg", Value("", dtype, (rows, shape[-1])))
    made = edit.fresh("gemm_output_reshape_arg", Value("", dtype, (rows, n)))
    before = edit.add_constant("gemm_input_shape", np.array([rows, shape[-1]], np.int64))
    after = edit.add_constant("gemm_output_shape", np.array([*shape[:-1], n], np.int64))
    edit.replace(
        (matmul, add),
        (
            Node("Reshape", "", (left, before), (flat,), origin=origin),
            Node("Gemm", "", (flat, right, bias), (made,), {}, f"{matmul.name}/MatMulAddFusion", origin),
            Node("Reshape", "", (made, after), add.outputs, origin=origin),
        ),
    )
