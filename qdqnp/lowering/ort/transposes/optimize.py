"""Transposes moved along until they meet and cancel, with the Q-DQ pairs around them kept."""

from __future__ import annotations

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log, PassFunction
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.ort.passes.cse import visiting_order
from qdqnp.lowering.ort.transposes.cost import Leading, is_worth
from qdqnp.lowering.ort.transposes.handlers import Push, handler_of, is_transpose
from qdqnp.lowering.ort.transposes.moves import Moves
from qdqnp.lowering.ort.transposes.perms import Perm
from qdqnp.lowering.qdq import DEQUANTIZE, QUANTIZE
from qdqnp.quant import Array

OPSETS = range(7, 27)  # what ONNX Runtime 1.32's optimizer knows; it leaves other graphs alone


def transposes(extended: bool) -> PassFunction:
    """The pass for one level. extended: level EXTENDED, where a Resize lets Transposes pass too.

    Changes no number by itself, but Q-DQ pairs that meet merge, and codes that were read several times are read once.
    A MaxPool and the average pools keep their Transposes here, where ONNX Runtime has channels-last kernels for codes.
    ONNX Runtime 1.32, core/optimizer/transpose_optimization (TransposeOptimizer).
    """

    def optimize(graph: Graph, log: Log) -> Graph:
        if graph.opset not in OPSETS:
            return graph
        if "Transpose" in graph.ops:
            moves = Moves(Edit(graph))
            order = visiting_order(graph)
            _push_all(moves, order, _leading(moves, order), extended)
            graph = moves.edit.done()
        return _fixed(graph) if DEQUANTIZE in graph.ops else graph

    return optimize


def _leading(moves: Moves, order: list[Node]) -> Leading:
    found: dict[str, set[Perm]] = {}
    for node in reversed(order):
        if is_transpose(node):
            perm = moves.perm(node)
            found.setdefault(node.inputs[0], set()).update(() if perm is None else (perm,))
            continue
        handler = handler_of(node)
        if handler is None or not handler.transposes_outputs or not any(name in found for name in node.outputs):
            continue
        ahead = [found[name] for name in node.outputs if name in found and not moves.edit.is_output(name)]
        for index in handler.inputs(moves, node):
            found.setdefault(node.inputs[index], set()).update(*ahead)
    return found


def _push_all(moves: Moves, order: list[Node], leading: Leading, extended: bool) -> None:
    for original in order:
        node = moves.edit.now(original)
        if node is None:
            continue
        for index, name in enumerate(node.inputs):
            transpose = moves.edit.producer(name)
            perm = moves.perm(transpose)
            if transpose is None or perm is None:
                continue
            moves.origin = transpose.origins
            if _push(moves, transpose, node, index, leading, extended):
                break


def _push(moves: Moves, transpose: Node, node: Node, index: int, leading: Leading, extended: bool) -> bool:
    handler, perm = handler_of(node), moves.perm(transpose)
    if handler is None or perm is None:
        return False
    inputs = handler.inputs(moves, node)
    if index not in inputs or not is_worth(moves, node, handler, perm, inputs, leading):
        return False
    return handler.handle(Push(moves, transpose, node, perm, inputs, extended))


def _fixed(graph: Graph) -> Graph:
    moves = Moves(Edit(graph))
    _fold_constants(moves)
    _fix_pairs(moves, visiting_order(graph))
    return moves.edit.done()


def _fold_constants(moves: Moves) -> None:
    """Transposes of constants."""
    for node in moves.edit.nodes():
        perm = moves.perm(node)
        const: Array | None = moves.edit.constant(node.inputs[0]) if perm is not None else None
        if const is not None and not moves.edit.makes_output(node):
            moves.edit.replace(node)
            moves.edit.set_constant(node.outputs[0], const.transpose(perm))


def _fix_pairs(moves: Moves, order: list[Node]) -> None:
    """A DQ straight into a Q of the same parameters goes; a Transpose between a DQ and no Q, or no DQ and a Q, gets
    the pair that it lacks."""
    for original in order:
        node = moves.edit.now(original)
        if node is None:
            continue
        if node.op == QUANTIZE:
            _remove_empty(moves.edit, node)
        elif is_transpose(node) and not _add_q(moves, node):
            _add_dq(moves, node)


def _remove_empty(edit: Edit, q: Node) -> None:
    dq = edit.producer(q.input(0))
    if dq is None or dq.op != DEQUANTIZE or edit.only_user(dq) is not q or not _same(edit, dq, q):
        return
    codes, output = dq.input(0), q.outputs[0]
    if edit.only_user(q) is not None:
        edit.replace((dq, q))
        edit.redirect(output, codes)
    elif edit.is_output(output) and not edit.users(q):
        maker = edit.producer(codes)
        if maker is not None and edit.only_user(maker) is dq:
            edit.replace((dq, q))
            edit.rename_output(maker, codes, output)


def _same(edit: Edit, dq: Node, q: Node) -> bool:
    """Whether both convert by the same parameters; no zero point is zero."""
    if dq.domain != q.domain or edit.dtype(dq.input(0)) != edit.dtype(q.outputs[0]):
        return False
    for index in (1, 2):
        one, other = dq.input(index), q.input(index)
        if one == other:
            continue
        found = [edit.constant(name) for name in (one, other) if name]
        if any(const is None for const in found):
            return False
        data = [const.tobytes() for const in found if const is not None]
        if len(data) == 2 and data[0] != data[1]:
            return False
        if len(data) == 1 and any(data[0]):
            return False
    return True


def _add_q(moves: Moves, transpose: Node) -> bool:
    dq = moves.edit.producer(transpose.input(0))
    users = moves.edit.users(transpose)
    if dq is None or dq.op != DEQUANTIZE or len(users) > 1 or (users and users[0][0].op == QUANTIZE):
        return False
    return moves.enclose(dq)


def _add_dq(moves: Moves, transpose: Node) -> None:
    edit, source = moves.edit, transpose.input(0)
    q, maker = edit.only_user(transpose), edit.producer(source)
    if q is None or q.op != QUANTIZE or maker is None or maker.op == DEQUANTIZE:
        return
    if len(edit.uses(source)) != 1:  # a graph output too then gets the values behind Q and DQ
        return
    axis = moves.quantized_axis(q)
    perm = moves.perm(transpose)
    if axis is None or perm is None:
        return
    moves.pair(maker, q, perm[axis] if axis >= 0 else axis, source)
