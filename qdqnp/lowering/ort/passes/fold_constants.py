"""Nodes that compute a constant."""

from __future__ import annotations

import numpy as np

from qdqnp.errors import Problems, QdqnpError
from qdqnp.graph import Graph, Node, concrete
from qdqnp.limits import bytes_needed
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_dq, is_op, is_q
from qdqnp.numerics.profiles.ort import ORT
from qdqnp.ops.examine import examine_as_it_is
from qdqnp.ops.node_check import NodeCheck, Refused
from qdqnp.ops.operator import Binding, ShapeError
from qdqnp.ops.registry import operator_for
from qdqnp.quant import Array

# Products of one node: a second of work. ONNX Runtime's own bound is 1 GiB of output, whatever the work.
MAX_PRODUCTS = 2**28
#: Bytes that constants may have that are made of smaller ones, and how often larger those made of larger ones may be.
MAX_GROWTH_BYTES, MAX_GROWTH = 2**26, 16
TOO_LARGE = "ONNX Runtime computes it before it quantizes weights; here that would be too much work"
INTEGER = "ONNX Runtime computes it before it quantizes weights; here it stays, as each profile has its own arithmetic"


def fold_constants(graph: Graph, log: Log) -> Graph:
    """Every node that reads only constants becomes the constant that its own operator makes of them. A
    DequantizeLinear stays, except of a whole DQ -> operator -> Q.

    Matters because what is a constant may be quantized afterwards (`weight_bias`, `conv_constants`). A node that
    carries a doubt of its own is left to run, so that what reads it inherits the doubt. ONNX Runtime 1.32,
    core/optimizer/constant_folding.cc (ConstantFolding).
    """
    edit = Edit(graph)
    for node in edit.nodes():
        if is_op(node, "Shape"):
            _fold_shape(edit, node)
            continue
        read = [name for name in node.inputs if name]
        if not read or any(edit.constant(name) is None for name in read):
            continue
        if not is_dq(node) or _is_of_a_whole_unit(edit, node):
            _fold(edit, node)
    return edit.done()


def _fold_shape(edit: Edit, node: Node) -> None:
    """Make a constant of the shape of a tensor all of whose sizes are declared, or follow from what is."""
    value = edit.values.get(node.input(0))
    if value is None or not all(isinstance(size, int) for size in value.shape):
        return
    end = node.attributes.get("end")
    start = node.attributes.get("start", 0)
    shape = np.array(value.shape, np.int64)[slice(start, end)]
    edit.replace(node)
    edit.set_constant(node.outputs[0], shape)
    _drop_unread(edit, node.inputs[0])


def _drop_unread(edit: Edit, name: str) -> None:
    """Take out what only the shape of a tensor was read of, as a DQ of its own, which would count as a use of its Q."""
    waiting = [name]
    while waiting:
        maker = edit.producer(waiting.pop())
        if maker is not None and len(maker.outputs) == 1 and not edit.is_read(maker.outputs[0]):
            edit.replace(maker)
            waiting.extend(maker.inputs)


def _is_of_a_whole_unit(edit: Edit, dq: Node) -> bool:
    """Whether a DQ is read only by an operator of one input, which only a Q reads."""
    middle = edit.only_user(dq)
    if middle is None or len(middle.inputs) != 1 or len(middle.outputs) != 1:
        return False
    return is_q(edit.only_user(middle))


def _fold(edit: Edit, node: Node) -> None:
    results, doubt = evaluate(edit, node)
    if results is not None:
        names = [name for name in node.outputs if name]
        edit.replace(node)
        for name, array in zip(names, results, strict=True):
            edit.set_constant(name, array)
    elif doubt and not node.doubt:
        edit.change(node, doubt=doubt)


def evaluate(edit: Edit, node: Node) -> tuple[tuple[Array, ...] | None, str]:
    """The outputs of a node that reads only constants; or None, and the doubt that keeps them from being promised.

    None without a doubt where its operator refuses it, which the check of the whole program will say, or has a doubt
    of its own.
    """
    operator = operator_for(node)
    if operator is None:
        return None, ""
    values = tuple(edit.values[name] if name else None for name in node.inputs)
    check = NodeCheck(node, edit.opset, values, Problems())
    try:
        attributes, inferred = examine_as_it_is(operator, check)
        shapes = [shape for _, shape in inferred]
        step = operator.step(check, attributes)
    except (Refused, ShapeError):
        return None, ""
    arrays = [edit.constant(operand.name) if operand is not None else None for operand in step.inputs]
    if operator.rule:
        return None, INTEGER
    read = [None if array is None else array.shape for array in arrays]
    made_bytes = sum(bytes_needed(dtype, shape) for dtype, shape in inferred)
    read_bytes = sum(array.nbytes for array in arrays if array is not None)
    if made_bytes > max(MAX_GROWTH_BYTES, MAX_GROWTH * read_bytes):
        return None, TOO_LARGE
    if operator.macs(step.attributes, read, concrete(shapes[0])) > MAX_PRODUCTS:
        return None, TOO_LARGE
    consts = {name: const for name in step.input_names if (const := edit.constant(name)) is not None}
    binding = Binding(step, ORT, consts)
    if operator.doubt(binding):
        return None, ""
    try:
        with np.errstate(all="ignore"):  # infinities and NaN are values here
            made = operator.compute(binding, *arrays)
    except QdqnpError:
        return None, ""
    return tuple(np.array(array) for array in made), ""
