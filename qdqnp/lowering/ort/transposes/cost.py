"""Whether a Transpose before a node is worth passing to behind it: what the Transposes then cost, by rank.

ONNX Runtime 1.32, core/optimizer/transpose_optimization/onnx_transpose_optimization.cc (CalculateCost).
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from qdqnp.graph import Node
from qdqnp.lowering.ort.transposes.handlers import Handler, handler_of, is_transpose
from qdqnp.lowering.ort.transposes.moves import Moves
from qdqnp.lowering.ort.transposes.perms import Perm, inverted
from qdqnp.lowering.qdq import DEQUANTIZE, is_op

# Of each tensor from which a Transpose can be reached through operators that let Transposes pass: the permutations of
# those that can be reached without passing a graph output. What the operators make of a permutation is not looked at.
Leading = Mapping[str, Set[Perm]]


def is_worth(moves: Moves, node: Node, handler: Handler, perm: Perm, inputs: tuple[int, ...], leading: Leading) -> bool:
    """Whether fewer Transposes remain. A Transpose behind the node costs nothing if it will meet another one."""
    if is_transpose(node):
        return True
    cost = sum(_input_cost(moves, node.inputs[index], perm) for index in inputs)
    if cost < 0 and handler.transposes_outputs and not any(_meets(moves, n, perm, leading) for n in node.outputs):
        cost += max(_rank(moves, name) for name in node.outputs if name)
    return cost < 0


def _meets(moves: Moves, name: str, perm: Perm, leading: Leading) -> bool:
    """Whether a Transpose of this tensor meets another one ahead: any, if one node alone reads the tensor; one that
    cancels it, if several do. Found by experiment: onnxruntime 1.32 asks for more than the sources before it."""
    if name not in leading or moves.edit.is_output(name):
        return False
    readers = {user for user, _ in moves.edit.uses(name)}
    return len(readers) == 1 or inverted(perm) in leading[name]


def _rank(moves: Moves, name: str) -> int:
    """Axes that are not known to be 1."""
    return sum(size != 1 for size in moves.shape(name))


def _input_cost(moves: Moves, name: str, perm: Perm) -> int:
    """What transposing an input costs; less than 0 where it takes away a Transpose with this permutation."""
    edit = moves.edit
    if edit.constant(name) is not None or moves.constant_dq(name) is not None:
        return 0
    maker = edit.producer(name)
    if maker is not None and maker.op == DEQUANTIZE:
        codes = edit.producer(maker.input(0))
        if is_op(codes, "Squeeze") and codes is not None:
            before = edit.producer(codes.inputs[0])
            maker = before if is_transpose(before) else maker
        elif codes is not None:
            maker = codes
    found = moves.perm(maker)
    if found is None or maker is None:
        return _rank(moves, name)
    return -_rank(moves, name) if found == perm and _can_go(moves, maker) else 0


def _can_go(moves: Moves, transpose: Node) -> bool:
    """Whether every reader of a Transpose lets it pass, so that it may go away."""
    output = transpose.outputs[0]
    if moves.edit.is_output(output):
        return False
    if output not in moves.found:
        moves.found[output] = all(handler_of(user) is not None for user, _ in moves.edit.uses(output))
    return bool(moves.found[output])
