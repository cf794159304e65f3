"""A model with other constants: what a layer would do with another weight, bias, scale or zero point.

A constant is replaced where a layer uses it, and not in the file's list of constants: others may share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import onnx
from onnx import numpy_helper

from qdqnp.element_types import plain_dtype
from qdqnp.errors import InputError, ModelError, Problem, Problems
from qdqnp.graph import Graph, Node
from qdqnp.ops.integer.asking import IntegerOperator
from qdqnp.ops.registry import operator_of
from qdqnp.program import Operand, Program, Step
from qdqnp.quant import Array, Float32, code_range

Q, DQ = "QuantizeLinear", "DequantizeLinear"
SCALE, ZERO_POINT = "scale", "zero_point"


@dataclass(frozen=True, eq=False)
class OtherConstant:
    """An input of a node is another constant."""

    #: The first output of the node.
    node: str
    #: Which of its inputs.
    index: int
    array: Array


def edit_model(model: onnx.ModelProto, edits: Sequence[OtherConstant], source: str) -> onnx.ModelProto:
    """Return a model with the constants of the edits in their places.

    Raises ModelError for a node that is not one of the file's graph.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    nodes = {name: node for node in made.graph.node for name in node.output if name}
    taken = {name for node in made.graph.node for name in (*node.input, *node.output)}
    taken |= {tensor.name for tensor in made.graph.initializer}
    for number, edit in enumerate(edits):
        node = nodes.get(edit.node)
        if node is None:
            problem = Problem(f"tensor '{edit.node}'", "made by a node of the file's graph", "by a function of it")
            raise ModelError(f"cannot replace constants of {source}", [problem])
        name = f"replaced_{number}"
        while name in taken:
            name += "_"
        taken.add(name)
        node.input.extend([""] * (edit.index + 1 - len(node.input)))
        node.input[edit.index] = name
        made.graph.initializer.append(numpy_helper.from_array(np.asarray(edit.array, order="C"), name))
    return made


def edits_of(
    graph: Graph,
    program: Program,
    index: int,
    *,
    weight: Any = None,
    bias: Any = None,
    scale: Any = None,
    zero_point: Any = None,
) -> list[OtherConstant]:
    """Return the edits that give a layer other constants.

        graph: what the file says.
        program: the steps that run.
        index: which of them.
        weight: codes, or real values, which are quantized as the layer's are.
        bias: likewise.
        scale: of the codes that the layer makes; the biases of the layers that read these keep their real values.
        zero_point: likewise.

    Raises InputError where the layer has no such constant in the file, others share it, or the values do not fit.
    """
    step = program.steps[index]
    found: list[OtherConstant] = []
    if weight is not None:
        found += _constant(graph, step, 1, "weight", np.asarray(weight))
    if bias is not None:
        found += _constant(graph, step, 2, "bias", np.asarray(bias))
    if scale is not None or zero_point is not None:
        found += _output(graph, program, step, scale, zero_point)
    if not found:
        _refuse(step, "replace", "a weight, bias, scale or zero_point", "nothing")
    return found


def _refuse(step: Step, what: str, expected: str, got: object, hint: str = "") -> NoReturn:
    problems = Problems()
    problems.add(f"layer '{step.label}', {what}", expected, got, hint)
    problems.raise_if_any("a constant cannot be replaced", InputError)
    raise AssertionError


# -- weights and biases ------------------------------------------------------------------------------------------------
def _constant(graph: Graph, step: Step, at: int, what: str, array: Array) -> list[OtherConstant]:
    operand = step.inputs[at] if at < len(step.inputs) else None
    if operand is None:
        _refuse(step, what, "a layer that has one", step.op)
    maker = graph.producer(operand.name)
    if maker is not None and maker.op == Q and graph.constant(maker.input(0)) is not None:  # the file has real values
        return [OtherConstant(maker.outputs[0], 0, _real(graph, step, maker, what, array))]
    const = graph.constant(operand.name)
    if const is None:
        _refuse(step, what, "a constant of the file", f"'{operand.name}', which is computed")
    if array.dtype.kind == "f" and const.dtype.kind != "f" and array.shape == const.shape:
        array = _codes(step, at, what, array, const.dtype)
    _check(step, what, array, const)
    return [OtherConstant(node.outputs[0], place, array) for node, place in _uses(graph, step, operand, what)]


def _uses(graph: Graph, step: Step, operand: Operand, what: str) -> Iterator[tuple[Node, int]]:
    """Yield where the layer, and no other, uses a constant. Raises InputError where another shares it."""
    own = set(step.origin)
    uses = [(node, place) for node, place in graph.uses(operand.name) if own & set(node.origins)]
    if not uses:
        _refuse(step, what, "a constant that one of its own nodes reads", f"'{operand.name}'")
    for node, place in uses:
        others = [other.label for other, _ in graph.uses(node.outputs[0]) if not own & set(other.origins)]
        if node.op == DQ and others:
            _refuse(step, what, "its own", f"one that '{others[0]}' shares")
        yield node, place


def _real(graph: Graph, step: Step, maker: Node, what: str, array: Array) -> Array:
    const = graph.constant(maker.input(0))
    assert const is not None
    if array.dtype.kind != "f":
        _refuse(step, what, "real values, which the file quantizes", array.dtype)
    real = array.astype(const.dtype)
    _check(step, what, real, const)
    return real


def _codes(step: Step, at: int, what: str, real: Array, dtype: np.dtype[Any]) -> Array:
    """Return the codes of real values in the layer's own scale: round half to even of the exact quotient."""
    operand = step.inputs[at]
    if operand is not None and operand.quant is not None:
        quant = operand.quant.aligned(real.shape)
        scale, zero = quant.scale.astype(np.float64), quant.zero_point.astype(np.float64)
    else:  # a bias: its scale is that of the products
        x, w = step.inputs[0], step.inputs[1]
        if x is None or w is None or x.quant is None or w.quant is None:
            _refuse(step, what, f"codes, {dtype}", f"real values, {real.dtype}")
        scale, zero = x.quant.scale.astype(np.float64) * w.quant.scale.astype(np.float64), np.zeros(())
    with np.errstate(all="ignore"):
        codes = np.rint(real.astype(np.float64) / scale) + zero
    low, high = code_range(dtype)
    outside = ~((codes >= low) & (codes <= high))
    if outside.any():
        worst = real[tuple(int(i) for i in np.argwhere(outside)[0])] if real.ndim else real
        _refuse(
            step, what, f"real values that its scale holds in {dtype}", f"{worst}", "Give codes, or smaller values."
        )
    found: Array = codes.astype(plain_dtype(dtype)).astype(dtype)
    return found


def _check(step: Step, what: str, array: Array, const: Array) -> None:
    if array.dtype != const.dtype or array.shape != const.shape:
        _refuse(step, what, f"{const.dtype}{list(const.shape)}, or real values", f"{array.dtype}{list(array.shape)}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        _refuse(step, what, "finite values", "NaN or an infinity")


# -- the scale and zero point of what a layer makes --------------------------------------------------------------------
def _output(graph: Graph, program: Program, step: Step, scale: Any, zero_point: Any) -> list[OtherConstant]:
    made = step.outputs[0]
    if made.quant is None:
        _refuse(step, SCALE, "a layer that makes codes", f"'{made.name}' of real values")
    new: dict[int, Array] = {}
    if scale is not None:
        new[1] = np.asarray(scale, np.float32)
        if new[1].shape != made.quant.scale.shape or not (np.isfinite(new[1]).all() and (new[1] > 0).all()):
            expected = f"finite numbers above 0 of shape {list(made.quant.scale.shape)}"
            _refuse(step, SCALE, expected, np.asarray(scale).tolist())
    if zero_point is not None:
        codes, (low, high) = np.asarray(zero_point), code_range(made.quant.dtype)
        whole = codes.dtype.kind in "iu" and ((codes >= low) & (codes <= high)).all()
        if not whole or codes.shape != made.quant.zero_point.shape:
            _refuse(step, ZERO_POINT, f"whole numbers from {low} to {high}, of the same shape", codes.tolist())
        new[2] = codes.astype(plain_dtype(made.quant.dtype)).astype(made.quant.dtype)
    tensor = program.tensors[made.name]
    if tensor.file_dtype is not None and tensor.file_dtype != tensor.dtype and zero_point is not None:
        _refuse(step, ZERO_POINT, "codes that run as the file has them", f"{tensor.dtype} for {tensor.file_dtype}")
    found = [
        OtherConstant(node.outputs[0], base + at, array)
        for node, base in _places(graph, program, step)
        for at, array in new.items()
    ]
    return found + (_biases(graph, program, step, new[1]) if 1 in new else [])


def _places(graph: Graph, program: Program, step: Step) -> Iterator[tuple[Node, int]]:
    """Yield the nodes that state the scale of what a layer makes, and the place before the scale among their inputs."""
    name = step.outputs[0].name
    maker = graph.producer(name)
    if maker is None:
        _refuse(step, SCALE, "a tensor of the file", f"'{name}', which the lowering made")
    if maker.op == Q:
        yield maker, 0
    else:
        operator = operator_of(step)
        if maker.op != step.op or not isinstance(operator, IntegerOperator):
            _refuse(step, SCALE, "a scale in the file", f"'{name}' of {maker.op}, which keeps that of its input")
        own = operator.arguments(step, lambda operand: ("out", "") if operand is step.outputs[0] else ("", ""))
        yield maker, own.index("out") - 1
    steps = {one.label: one for one in program.steps}
    for node, place in graph.uses(name):
        reader = steps.get(node.label)
        scaled = (
            reader is not None
            and reader.op == node.op
            and any(one is not None and one.name == name and one.quant is not None for one in reader.inputs)
        )
        if not scaled and node.op != DQ:
            _refuse(step, SCALE, "readers that state its scale", f"{node.op} '{node.label}', which reads codes alone")
        yield node, place


def _biases(graph: Graph, program: Program, step: Step, scale: Float32) -> list[OtherConstant]:
    """Return the biases of the layers that read the codes: the same real values in the new scale of their products."""
    name, found = step.outputs[0].name, []
    for reader in program.steps:
        x, w, b = (*reader.inputs[:3], None, None, None)[:3]
        if x is None or w is None or b is None or x.name != name or x.quant is None or w.quant is None:
            continue
        codes = graph.constant(b.name)
        if codes is None or codes.dtype != np.int32:
            continue
        moved = np.rint(codes.astype(np.float64) * (x.quant.scale.astype(np.float64) / scale.astype(np.float64)))
        if np.abs(moved).max(initial=0) >= 2**31:
            _refuse(reader, "bias", "int32 in the new scale", "values beyond it", "Take a larger scale.")
        products = np.broadcast_to(scale * w.quant.scale, codes.shape if w.quant.scale.ndim else ())
        for node, place in _uses(graph, reader, b, "bias"):
            found.append(OtherConstant(node.outputs[0], place, moved.astype(np.int32)))
            if node.op == DQ:
                found.append(OtherConstant(node.outputs[0], 1, products.astype(np.float32)))
    return found
