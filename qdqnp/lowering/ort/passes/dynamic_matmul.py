"""The chain of a dynamically quantized MatMul: DynamicQuantizeLinear, MatMulInteger, Cast, Mul, Add."""

from __future__ import annotations

from qdqnp.graph import MICROSOFT, Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op

TO_FLOAT, DYNAMIC = "MatMulIntegerToFloat", "DynamicQuantizeMatMul"


def integer_to_float(graph: Graph, log: Log) -> Graph:
    """Cast(MatMulInteger) * (scale * scale), and an added constant vector, become MatMulIntegerToFloat.

    ONNX Runtime 1.32, core/optimizer/matmul_integer_to_float.cc (MatMulIntegerToFloatFusion).
    """
    edit = Edit(graph)
    for mul in edit.nodes():
        if is_op(mul, "Mul"):
            _to_float(edit, mul)
    return edit.done()


def _to_float(edit: Edit, mul: Node) -> None:
    cast = _first_parent(edit, mul, "Cast")
    matmul = _first_parent(edit, cast, "MatMulInteger") if cast is not None else None
    scales = _first_parent(edit, mul, "Mul")
    if cast is None or matmul is None or scales is None:
        return
    if any(edit.only_user(node) is None for node in (cast, matmul, scales)):
        return
    chain = [matmul, cast, scales, mul]
    inputs = [*matmul.inputs[:2], *scales.inputs, matmul.input(2), matmul.input(3)]
    add = edit.only_user(mul)
    if add is not None and is_op(add, "Add"):
        bias = add.input(1) if add.input(0) == mul.outputs[0] else add.input(0)
        if _is_vector(edit, bias):
            chain.append(add)
            inputs.append(bias)
    origin = tuple(label for node in chain for label in node.origins)
    outputs = chain[-1].outputs
    edit.replace(chain, Node(TO_FLOAT, MICROSOFT, tuple(inputs), outputs, {}, matmul.name, origin))


def _is_vector(edit: Edit, name: str) -> bool:
    """Whether a tensor is a constant of more than one element, all along the last axis."""
    const = edit.constant(name)
    return const is not None and const.ndim > 0 and const.shape[-1] == const.size > 1


def _first_parent(edit: Edit, node: Node, op: str) -> Node | None:
    makers = (edit.producer(name) for name in node.inputs)
    return next((maker for maker in makers if is_op(maker, op)), None)


def dynamic_matmul(graph: Graph, log: Log) -> Graph:
    """MatMulIntegerToFloat by constants, of what a DynamicQuantizeLinear makes for it alone, takes that in.

    ONNX Runtime 1.32, core/optimizer/dynamic_quantize_matmul_fusion.cc (DynamicQuantizeMatMulFusion).
    """
    edit = Edit(graph)
    for node in edit.nodes():
        if node.op == TO_FLOAT and node.domain == MICROSOFT:
            _take_quantizer(edit, node)
    return edit.done()


def _take_quantizer(edit: Edit, node: Node) -> None:
    quantizer = _first_parent(edit, node, "DynamicQuantizeLinear")
    if quantizer is None or edit.makes_output(quantizer) or len(edit.users(quantizer)) != 3:
        return
    rest = (node.input(1), node.input(3), node.input(5), node.input(6))
    if any(name and edit.constant(name) is None for name in rest):
        return
    inputs = (quantizer.input(0), *rest)
    origin = (*node.origins, *quantizer.origins)
    edit.replace((quantizer, node), Node(DYNAMIC, MICROSOFT, inputs, node.outputs, {}, node.name, origin))
