"""MatMul with the Transposes and scalar factors around it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Graph, Node, Value
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.ort.passes.cse import visiting_order
from qdqnp.lowering.qdq import is_op

OP = "FusedMatMul"
F = np.float32
DOUBT = "ONNX Runtime multiplies stacks of matrices with their Transposes and factors by FusedMatMul, in its own order"


@dataclass(frozen=True)
class Scale:
    """A Mul or Div by a constant scalar.

    factor: what it multiplies by. scaled: the name of what it multiplies.
    """

    node: Node
    factor: np.float32
    scaled: str


# -- FusedMatMul is made --------------------------------------------------------------------------------------------
def matmul_transpose(graph: Graph, log: Log) -> Graph:
    """A Transpose before a float MatMul, of its last two axes or of a first axis that goes behind the others, becomes
    an attribute of FusedMatMul.

    ONNX Runtime 1.32, core/optimizer/matmul_transpose_fusion.cc (MatmulTransposeFusion).
    """
    if not graph.ops & {"MatMul", OP}:
        return graph
    edit = Edit(graph)
    for node in visiting_order(graph):
        matmul = edit.now(node)
        if matmul is not None and _is_matmul(edit, matmul) and matmul.inputs[0] != matmul.inputs[1]:
            _take_transposes(edit, matmul)
    return edit.done()


def _is_matmul(edit: Edit, node: Node) -> bool:
    if not is_op(node, "MatMul") and node.op != OP:
        return False
    return all(edit.dtype(name) == F for name in node.inputs)


def _take_transposes(edit: Edit, matmul: Node) -> None:
    attributes: dict[str, Any] = dict(matmul.attributes)
    kinds = {}
    for index, side in ((0, "A"), (1, "B")):
        if not attributes.get(f"transBatch{side}", 0):
            kinds[index] = _transposed(edit, matmul.inputs[index])
    ranks = {len(edit.values[name].shape) for name in matmul.inputs}
    inputs, origin = list(matmul.inputs), list(matmul.origins)
    for (index, kind), side in zip(kinds.items(), "AB"[-len(kinds) :] if kinds else "", strict=True):
        if kind is None or (kind[1] and len(ranks) > 1):
            continue
        for key, flag in zip((f"trans{side}", f"transBatch{side}"), kind, strict=True):
            attributes[key] = int(attributes.get(key, 0)) ^ int(flag)
        transpose = edit.producer(inputs[index])
        assert transpose is not None
        inputs[index] = transpose.input(0)
        origin.extend(transpose.origins)
    if inputs != list(matmul.inputs):
        _fuse(edit, matmul, (matmul,), inputs, matmul.outputs, attributes, origin)


def _transposed(edit: Edit, name: str) -> tuple[bool, bool] | None:
    """Whether the matrices, and whether the axes in front of them, are transposed; None where FusedMatMul cannot."""
    maker = edit.producer(name)
    if maker is None or not is_op(maker, "Transpose") or edit.makes_output(maker):
        return None
    rank = len(edit.values[name].shape)
    given: Any = maker.attributes.get("perm")
    order = given or tuple(reversed(range(rank)))
    if rank < 2 or rank - 1 not in order[-2:]:
        return None
    if rank >= 3 and (order[0] > 1 or any(order[at] + 1 != order[at + 1] for at in range(rank - 3))):
        return None
    return order[-2] == rank - 1, rank >= 3 and order[0] == 1


def matmul_scale(graph: Graph, log: Log) -> Graph:
    """Products and quotients by constant scalars before a float MatMul and after it become its alpha.

    ONNX Runtime 1.32, core/optimizer/matmul_scale_fusion.cc (MatMulScaleFusion).
    """
    if not graph.ops & {"MatMul", OP}:
        return graph
    edit = Edit(graph)
    for node in visiting_order(graph):
        matmul = edit.now(node)
        if matmul is not None and _is_matmul(edit, matmul):
            _take_scales(edit, matmul)
    return edit.done()


def _take_scales(edit: Edit, matmul: Node) -> None:
    before = {index: _scale(edit, edit.producer(name)) for index, name in enumerate(matmul.inputs)}
    after = _scale(edit, edit.only_user(matmul))
    alpha = F(matmul.attributes.get("alpha", 1.0))  # type: ignore[arg-type]
    inputs, origin, gone = list(matmul.inputs), list(matmul.origins), [matmul]
    for index, scale in before.items():
        if scale is not None and edit.values[scale.scaled].shape != ():
            alpha = F(alpha * scale.factor)
            inputs[index] = scale.scaled
            origin.extend(scale.node.origins)
    outputs = matmul.outputs
    if after is not None:
        alpha = F(alpha * after.factor)
        outputs = after.node.outputs
        origin.extend(after.node.origins)
        gone.append(after.node)
    if len(gone) > 1 or inputs != list(matmul.inputs):
        _fuse(edit, matmul, gone, inputs, outputs, {**matmul.attributes, "alpha": float(alpha)}, origin)


def _scale(edit: Edit, node: Node | None) -> Scale | None:
    if node is None or not is_op(node, "Mul", "Div"):
        return None
    for index in (1,) if node.op == "Div" else (0, 1):
        const, other = edit.constant(node.input(index)), node.input(1 - index)
        if const is None or const.size != 1 or const.ndim > len(edit.values[other].shape):
            continue
        number = F(const.reshape(-1)[0])
        return Scale(node, F(1) / number if node.op == "Div" else number, other)
    return None


def _fuse(
    edit: Edit,
    matmul: Node,
    gone: Any,
    inputs: list[str],
    outputs: tuple[str, ...],
    attributes: dict[str, Any],
    origin: list[str],
) -> None:
    """Put a FusedMatMul in, and take out what only it has read."""
    makers = [edit.producer(name) for name in matmul.inputs]
    edit.replace(gone, Node(OP, MICROSOFT, tuple(inputs), outputs, attributes, matmul.name, tuple(origin)))
    for old, new, maker in zip(matmul.inputs, inputs, makers, strict=True):
        unused = maker is not None and not edit.users(maker) and not edit.makes_output(maker)
        if old != new and maker is not None and unused and edit.producer(old) is maker:
            edit.replace(maker)


# -- and expressed in operators of ours ------------------------------------------------------------------------------
def expand_fused_matmul(graph: Graph, log: Log) -> Graph:
    """FusedMatMul of two matrices is Gemm without C, the same sums; of stacks of matrices it becomes Transposes,
    MatMul and a product again, which carry no promise."""
    edit = Edit(graph)
    for node in edit.nodes():
        if node.op == OP and node.domain == MICROSOFT:
            if all(len(edit.values[name].shape) == 2 for name in node.inputs):
                kept = {key: value for key, value in node.attributes.items() if key in ("alpha", "transA", "transB")}
                edit.change(node, op="Gemm", domain="", attributes=kept)
            else:
                _expand(edit, node)
    return edit.done()


def _expand(edit: Edit, node: Node) -> None:
    get = node.attributes.get
    made: list[Node] = []
    inputs = []
    for name, side in zip(node.inputs, "AB", strict=True):
        value = edit.values[name]
        order = _order(len(value.shape), bool(get(f"trans{side}", 0)), bool(get(f"transBatch{side}", 0)))
        if order != tuple(range(len(order))):
            shape = tuple(value.shape[axis] for axis in order)
            moved = edit.fresh(f"{name}_transposed", Value("", value.dtype, shape))
            made.append(Node("Transpose", "", (name,), (moved,), {"perm": order}, origin=node.origins))
            name = moved
        inputs.append(name)
    result, alpha = node.outputs[0], get("alpha", 1.0)
    product = Node("MatMul", "", tuple(inputs), (result,), {}, node.name, node.origins, DOUBT)
    if alpha == 1.0:
        edit.replace(node, (*made, product))
        return
    plain = edit.fresh(f"{result}_unscaled", edit.values[result])
    factor = edit.add_constant(f"{result}_alpha", np.asarray(alpha, F))
    scaled = Node("Mul", "", (plain, factor), (result,), {}, "", node.origins)
    edit.replace(node, (*made, replace(product, outputs=(plain,)), scaled))


def _order(rank: int, matrix: bool, batch: bool) -> tuple[int, ...]:
    """The permutation that FusedMatMul's two flags of one operand stand for."""
    order = list(range(rank))
    if rank < 2:
        return tuple(order)
    if batch:  # (M, batch..., K), or (K, batch..., M) with `matrix` too
        order = [*range(1, rank - 1), 0, rank - 1]
    if matrix:
        order[-2:] = reversed(order[-2:])
    return tuple(order)
