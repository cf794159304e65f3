"""Moves Q back and DQ forward through operators that only move codes."""

from __future__ import annotations

from qdqnp.element_types import FLOAT8, NUMBERS
from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit, Use
from qdqnp.lowering.qdq import DEQUANTIZE, QUANTIZE, is_dq, is_op, is_q, per_tensor
from qdqnp.quant import QUANTIZED

# The numbers of code types by name: from opset 21 on ONNX Runtime writes the number into a Q that it puts behind a DQ,
# which has a consequence in s8_to_u8.
OUTPUT_DTYPES = {str(dtype): NUMBERS[dtype] for dtype in (*QUANTIZED, *FLOAT8)}
MOVES = ("MaxPool", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice")


def propagate(graph: Graph, log: Log) -> Graph:
    """Put Q-DQ pairs with the same parameters into chains of operators, so that each link can run on codes.

    They go before a chain of MaxPool, Reshape, Transpose, Squeeze, Unsqueeze or Slice that ends in Q, and after one
    that starts with DQ (of something computed). ONNX Runtime 1.32, core/optimizer/qdq_transformer/qdq_propagation.cc
    (QDQPropagationTransformer).
    """
    edit = Edit(graph)
    for node in edit.nodes():
        if is_q(node) and per_tensor(edit, node):
            _back(edit, node)
    for node in edit.nodes():
        if is_dq(node) and per_tensor(edit, node) and edit.constant(node.input(0)) is None:
            _forward(edit, node, log)
    return edit.done()


def _moves(edit: Edit, node: Node | None) -> bool:
    return is_op(node, *MOVES) and not (is_op(node, "MaxPool") and edit.opset < 12)


def _back(edit: Edit, q: Node) -> None:
    name = q.input(0)
    while True:
        mover = edit.producer(name)
        if mover is None or name != mover.outputs[0] or not _moves(edit, mover):
            return
        if edit.is_output(name) or len(edit.uses(name)) != 1:
            return
        name = mover.input(0)
        maker = edit.producer(name)
        if maker is not None and (edit.is_output(name) or len(edit.uses(name)) != 1 or is_dq(maker)):
            return
        name = _insert(edit, name, ((mover, 0),), q)


def _forward(edit: Edit, dq: Node, log: Log) -> None:
    mover = edit.only_user(dq)
    pending = [mover] if mover is not None else []
    while pending:
        mover = edit.now(pending.pop())
        if mover is None or not _moves(edit, mover):
            continue
        name = mover.outputs[0]
        uses = edit.uses(name)
        if any(is_q(user) for user, _ in uses):
            continue
        codes = str(edit.dtype(dq.input(0)))
        if codes not in OUTPUT_DTYPES:
            hint = f"ONNX Runtime moves it behind {mover.label}, and then refuses its own graph."
            log.problems.add(f"node {dq.label}, input 0", f"one of {', '.join(OUTPUT_DTYPES)}", codes, hint)
            return
        if uses or edit.is_output(name):
            _insert(edit, name, uses, dq)
            pending.extend(user for user, _ in uses)


def _insert(edit: Edit, name: str, uses: tuple[Use, ...], like: Node) -> str:
    """Put Q, and a DQ per use and graph output, onto a tensor. Return Q's input.

    A graph input that is an output as well stays the output.
    """
    value = edit.values[name]
    maker = edit.producer(name)
    before = name
    if maker is not None:
        before = edit.fresh(f"{name}_pre_q", value)
        maker = edit.rename_output(maker, name, before)
    near = maker if maker is not None else uses[0][0]
    codes = edit.code_tensor(f"{name}_q_to_dq", like, value.shape)
    named = {key: value for key, value in like.attributes.items() if key == "output_dtype"}
    if is_dq(like) and not like.domain and edit.opset >= 21:
        named = {"output_dtype": OUTPUT_DTYPES[str(edit.dtype(codes))]}
    edit.insert(Node(QUANTIZE, like.domain, (before, *like.inputs[1:]), (codes,), named, origin=like.origins), near)
    outputs = [edit.fresh(f"{name}_post_dq", value) for _ in uses] + [name] * (
        maker is not None and edit.is_output(name)
    )
    for output in outputs:
        dq = Node(DEQUANTIZE, like.domain, (codes, *like.inputs[1:]), (output,), {}, origin=like.origins)
        edit.insert(dq, near)
    for (user, index), output in zip(uses, outputs, strict=False):
        edit.rewire(edit.now(user) or user, index, output)
    return before
