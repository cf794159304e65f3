"""What computes Gelu by parts becomes Gelu or FastGelu."""

from __future__ import annotations

import math

from qdqnp.graph import MICROSOFT, ONNX, Graph, Node
from qdqnp.lowering.base import Log, PassFunction
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.ort.passes.scalars import is_scalar, partner, times
from qdqnp.lowering.qdq import is_op

#: The opset from which on Gelu is ONNX's own, and ONNX Runtime fuses it at level BASIC.
GELU_SINCE = 20


def gelu(basic: bool) -> PassFunction:
    """Fuse 0.5 x (erf(x / sqrt(2)) + 1), with 0.5 before or after. basic: whether this is level BASIC.

    ONNX Runtime 1.32, core/optimizer/gelu_fusion.cc (GeluFusion).
    """

    def fuse(graph: Graph, log: Log) -> Graph:
        edit = Edit(graph)
        if basic != (edit.opset >= GELU_SINCE):
            return graph
        for div in edit.nodes():
            found = _by_erf(edit, div, basic) if is_op(div, "Div") else None
            if found is not None:
                origins = tuple(label for node in found for label in node.origins)
                domain = ONNX if basic else MICROSOFT
                edit.replace(found, Node("Gelu", domain, (div.inputs[0],), found[-1].outputs, {}, "", origins))
        return edit.done()

    return fuse


def _next(edit: Edit, node: Node | None, op: str) -> Node | None:
    """The node that alone reads a node's output, if it is of that operator."""
    user = None if node is None else edit.only_user(node)
    return user if user is not None and is_op(user, op) else None


def _by_erf(edit: Edit, div: Node, basic: bool) -> tuple[Node, ...] | None:
    """The nodes from a Div on, the last one last.

    A Mul that makes x counts as the one by 0.5, and nothing fuses; at level EXTENDED not if it has become QuickGelu.
    """
    root = div.inputs[0]
    erf = _next(edit, div, "Erf") if is_scalar(edit, div.inputs[1], math.sqrt(2)) else None
    add = _next(edit, erf, "Add")
    mul = _next(edit, add, "Mul")
    if erf is None or add is None or mul is None or times(edit, add, 1.0) is None:
        return None
    other = partner(mul, add.outputs[0])
    half = edit.producer(other)
    if half is not None and is_op(half, "Mul") and (basic or not _is_quick_gelu(edit, half)):
        taken = edit.only_user(half) is mul and times(edit, half, 0.5) == root
        return (div, erf, add, half, mul) if taken else None
    last = _next(edit, mul, "Mul") if other == root else None
    return (div, erf, add, mul, last) if last is not None and times(edit, last, 0.5) is not None else None


def _is_quick_gelu(edit: Edit, product: Node) -> bool:
    """Whether a Mul is x * Sigmoid(x), or x * Sigmoid(c x) with a constant scalar c."""
    for gate, x in (product.inputs, product.inputs[::-1]):
        sigmoid = edit.producer(gate)
        if sigmoid is None or not is_op(sigmoid, "Sigmoid") or edit.only_user(sigmoid) is not product:
            continue
        scaled = edit.producer(sigmoid.inputs[0])
        const = edit.constant(partner(scaled, x)) if scaled is not None and x in scaled.inputs[:2] else None
        if sigmoid.inputs[0] == x or (is_op(scaled, "Mul") and const is not None and const.size == 1):
            return True
    return False


def silu(graph: Graph, log: Log) -> Graph:
    """Make x * Sigmoid(x) one QuickGelu, whose kernel lets no Sigmoid be more than 1.

    x * Sigmoid(c x) gives the same bits as QuickGelu, and stays. ONNX Runtime 1.32, core/optimizer/quick_gelu_fusion.cc
    (QuickGeluFusion).
    """
    edit = Edit(graph)
    for sigmoid in edit.nodes():
        mul = _next(edit, sigmoid, "Mul") if is_op(sigmoid, "Sigmoid") else None
        if mul is not None and partner(mul, sigmoid.outputs[0]) == sigmoid.inputs[0]:
            origins = (*sigmoid.origins, *mul.origins)
            whole = Node("QuickGelu", MICROSOFT, sigmoid.inputs, mul.outputs, {"alpha": 1.0}, "", origins)
            edit.replace((sigmoid, mul), whole)
    return edit.done()


def fast_gelu(graph: Graph, log: Log) -> Graph:
    """Fuse 0.5 x (tanh(B (x + C x^3)) + 1), the cube by Pow or by factors. B = sqrt(2 / pi), C = 0.044715.

    ONNX Runtime 1.32, core/optimizer/fast_gelu_fusion.cc (FastGeluFusion).
    """
    edit = Edit(graph)
    for node in edit.nodes():
        found = _by_factors(edit, node) or _by_pow(edit, node)
        if found is None:
            continue
        root, nodes = found
        whole = _from_tanh(edit, root, nodes)
        if whole is not None:
            origins = tuple(label for part in whole for label in part.origins)
            edit.replace(whole, Node("FastGelu", MICROSOFT, (root,), whole[-1].outputs, {}, "", origins))
    return edit.done()


B, C = 0.7978845834732056, 0.044715
Found = tuple[str, tuple[Node, ...]]


def _by_factors(edit: Edit, scaled: Node) -> Found | None:
    """(C x * x + 1) * (B x): x, and the nodes."""
    root = times(edit, scaled, C) if is_op(scaled, "Mul") else None
    square = _next(edit, scaled, "Mul")
    if root is None or square is None or partner(square, scaled.outputs[0]) != root:
        return None
    add = _next(edit, square, "Add")
    product = _next(edit, add, "Mul")
    if add is None or product is None or times(edit, add, 1.0) is None:
        return None
    line = edit.producer(partner(product, add.outputs[0]))
    if line is None or not is_op(line, "Mul") or edit.only_user(line) is not product or times(edit, line, B) != root:
        return None
    return root, (scaled, square, add, line, product)


def _by_pow(edit: Edit, cube: Node) -> Found | None:
    """(C x^3 + x) * B: x, and the nodes."""
    if not is_op(cube, "Pow") or not is_scalar(edit, cube.inputs[1], 3.0):
        return None
    root = cube.inputs[0]
    scaled = _next(edit, cube, "Mul")
    add = _next(edit, scaled, "Add")
    product = _next(edit, add, "Mul")
    if scaled is None or add is None or product is None or times(edit, scaled, C) is None:
        return None
    if partner(add, scaled.outputs[0]) != root or times(edit, product, B) is None:
        return None
    return root, (cube, scaled, add, product)


def _from_tanh(edit: Edit, root: str, nodes: tuple[Node, ...]) -> tuple[Node, ...] | None:
    """The nodes with those that make Gelu of the argument of the hyperbolic tangent, the last one last."""
    tanh = _next(edit, nodes[-1], "Tanh")
    add = _next(edit, tanh, "Add")
    last = _next(edit, add, "Mul")
    if tanh is None or add is None or last is None or times(edit, add, 1.0) is None or edit.makes_output(last):
        return None
    half = edit.producer(partner(last, add.outputs[0]))
    if half is None or not is_op(half, "Mul") or edit.only_user(half) is not last or times(edit, half, 0.5) != root:
        return None
    return (*nodes, tanh, add, half, last)
