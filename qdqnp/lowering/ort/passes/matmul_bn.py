"""BatchNormalization after MatMul."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op

F = np.float32


def matmul_bn(graph: Graph, log: Log) -> Graph:
    """A matrix times a constant matrix, then BatchNormalization, with Reshapes and Transposes between them that alone
    read each other: Gemm with the normalization in its constants, one float32 rounding per operation.

    This changes results. ONNX Runtime 1.32, core/optimizer/matmul_bn_fusion.cc (MatmulBNFusion).
    """
    edit = Edit(graph)
    for matmul in edit.nodes():
        if is_op(matmul, "MatMul") and len(edit.values[matmul.input(0)].shape) == 2:
            last = matmul
            while is_op(after := edit.only_user(last), "Reshape", "Transpose"):
                assert after is not None
                last = after
            if after is not None and is_op(after, "BatchNormalization"):
                _fuse(edit, matmul, last, after)
    return edit.done()


def _fuse(edit: Edit, matmul: Node, last: Node, after: Node) -> None:
    weight = edit.constant(matmul.input(1))
    given = [edit.constant(name) for name in after.inputs[1:5]]
    found = [const for const in given if const is not None and const.dtype == F and const.ndim == 1]
    if weight is None or weight.ndim != 2 or len(found) != 4 or any(c.size != weight.shape[1] for c in found):
        return
    scale, shift, mean, variance = found
    epsilon: Any = after.attributes.get("epsilon", 1e-5)
    factor = scale / np.sqrt(variance + F(epsilon))
    constants = (
        edit.add_constant(f"MatMulBnFusion_GemmB_{matmul.input(1)}", weight * factor),
        edit.add_constant("MatMulBnFusion_GemmBias", shift - mean * factor),
    )
    name = f"{matmul.name}/MatMulBnFusion_Gemm"
    origin = (*matmul.origins, *after.origins)
    gemm = Node("Gemm", "", (matmul.input(0), *constants), matmul.outputs, {}, name, origin)
    made = after.outputs[0]
    if last is matmul:
        edit.replace((matmul, after), gemm.with_(outputs=(made,)))
    else:
        edit.replace(matmul, gemm)
        edit.replace(after)
        edit.rename_output(last, last.outputs[0], made)
