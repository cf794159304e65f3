"""How each operator lets a Transpose before it pass to behind it.

A handler changes the node so that it reads what the Transpose reads, and puts Transposes on its other inputs and on its
outputs. ONNX Runtime 1.32, core/optimizer/transpose_optimization/{onnx,ort}_transpose_optimization.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qdqnp.graph import MICROSOFT, Node
from qdqnp.lowering.ort.transposes.moves import Moves
from qdqnp.lowering.ort.transposes.perms import (
    Perm,
    channels_first,
    composed,
    inverted,
    normalized,
    squeezed,
    unsqueezed,
)
from qdqnp.lowering.qdq import is_op


@dataclass(frozen=True)
class Push:
    """A Transpose about to pass a node.

    moves: the graph.
    transpose: the Transpose.
    node: the node that reads it.
    perm: the permutation of the Transpose.
    inputs: the node's inputs that are transposed with it.
    extended: whether this is level EXTENDED, where nodes have their execution provider.
    """

    moves: Moves
    transpose: Node
    node: Node
    perm: Perm
    inputs: tuple[int, ...]
    extended: bool

    def change(self, **attributes: Any) -> None:
        """Set attributes of the node."""
        node = self.now
        self.moves.edit.change(node, attributes={**node.attributes, **attributes})

    @property
    def now(self) -> Node:
        node = self.moves.edit.now(self.node)
        assert node is not None
        return node

    def pass_on(self, perm: Perm | None = None) -> bool:
        """Transpose the inputs back, and the outputs by `perm`, or as the Transpose did."""
        for index in self.inputs:
            self.moves.transpose_input(self.now, index, inverted(self.perm))
        self.moves.transpose_outputs(self.node, self.perm if perm is None else perm)
        return True


Inputs = Callable[[Moves, Node], tuple[int, ...]]
Handle = Callable[[Push], bool]


@dataclass(frozen=True)
class Handler:
    """handle: passes the Transpose on; False where it cannot.
    inputs: which inputs are transposed.
    transposes_outputs: whether Transposes come out behind the node.
    """

    handle: Handle
    inputs: Inputs
    transposes_outputs: bool = True


# -- which inputs ------------------------------------------------------------------------------------------------
def first(moves: Moves, node: Node) -> tuple[int, ...]:
    return (0,)


def every(moves: Moves, node: Node) -> tuple[int, ...]:
    return tuple(range(len(node.inputs)))


def no_scalars(moves: Moves, node: Node) -> tuple[int, ...]:
    return tuple(at for at, name in enumerate(node.inputs) if name and moves.shape(name) != ())


def both_codes(moves: Moves, node: Node) -> tuple[int, ...]:
    """The two operands of QLinearAdd and QLinearMul."""
    return (0, 3)


def all_codes(moves: Moves, node: Node) -> tuple[int, ...]:
    """The operands of QLinearConcat."""
    return tuple(range(2, len(node.inputs), 3))


# -- how -----------------------------------------------------------------------------------------------------------
def simple(push: Push) -> bool:
    return push.pass_on()


def broadcasting(push: Push) -> bool:
    """Inputs of a lower rank get leading axes first."""
    rank = len(push.perm)
    if any(len(push.moves.shape(push.node.inputs[index])) > rank for index in push.inputs):
        return False
    for index in push.inputs:
        missing = rank - len(push.moves.shape(push.now.inputs[index]))
        if missing:
            push.moves.unsqueeze_input(push.now, index, tuple(range(missing)))
    return push.pass_on()


def _along_axis(push: Push, default: int | None) -> bool:
    given: Any = push.node.attributes.get("axis", default)
    axes = None if given is None else normalized((given,), len(push.perm))
    if axes is None:
        return False
    push.pass_on()
    push.change(axis=push.perm[axes[0]])
    return True


def concat(push: Push) -> bool:
    return _along_axis(push, None)


def split(push: Push) -> bool:
    return _along_axis(push, 0)


def softmax(push: Push) -> bool:
    """Before opset 13 all axes from `axis` on are one, so the permutation must not mix both sides."""
    if push.moves.edit.opset >= 13 and push.node.attributes.get("opset", 13) == 13:
        return _along_axis(push, -1)
    given: Any = push.node.attributes.get("axis", 1)
    axes = normalized((given,), len(push.perm))
    if axes is None or any((at < axes[0]) != (axis < axes[0]) for at, axis in enumerate(push.perm)):
        return False
    return push.pass_on()


def quantize(push: Push) -> bool:
    """QuantizeLinear and DequantizeLinear: the axis of the scales moves along."""
    if push.moves.edit.opset < 13 or push.moves.shape(push.node.inputs[1]) == ():
        return push.pass_on()
    return _along_axis(push, 1)


def never(push: Push) -> bool:
    """ONNX Runtime has channels-last kernels of these for codes, which this lowering does without; they count as
    operators that let Transposes pass."""
    return False


def _permuted_numbers(push: Push, index: int, perm: Perm) -> None:
    """Reorder a constant input that has a number for each axis (or two)."""
    numbers = push.moves.edit.constant(push.now.input(index)) if push.now.input(index) else None
    if numbers is not None and numbers.shape == (len(perm),):
        name = push.moves.edit.add_constant(push.now.inputs[index], numbers[list(perm)])
        push.moves.set_input(push.now, index, name)


def _twice(perm: Perm) -> Perm:
    return (*perm, *(axis + len(perm) for axis in perm))


def pad(push: Push) -> bool:
    order = _twice(inverted(push.perm))
    if push.moves.edit.opset < 11:
        given: Any = push.node.attributes.get("pads")
        if given is None or len(given) != len(order):
            return False
        push.change(pads=tuple(given[at] for at in order))
    else:
        numbers = push.moves.ints(push.node, 1)
        if numbers is None or len(numbers) != len(order) or push.node.input(3):
            return False
        _permuted_numbers(push, 1, order)
    return push.pass_on()


def resize(push: Push) -> bool:
    """Only at level EXTENDED, and only between NCHW and NHWC."""
    back = inverted(push.perm)
    if not push.extended or len(back) != 4 or channels_first(4) not in (push.perm, back):
        return False
    if push.moves.edit.opset < 11:
        _permuted_numbers(push, 1, back)
    else:
        _permuted_numbers(push, 1, _twice(back))
        for index in range(2, len(push.node.inputs)):
            _permuted_numbers(push, index, back)
    return push.pass_on()


def reduce(push: Push) -> bool:
    """The axes move along; of those that are kept, the order remains."""
    moves, node, rank = push.moves, push.node, len(push.perm)
    keep = bool(node.attributes.get("keepdims", 1))
    by_input = moves.edit.opset >= (13 if node.op == "ReduceSum" else 18)
    given: Any = (moves.ints(node, 1) or None) if by_input else node.attributes.get("axes")
    if given is None:
        kept = keep or (by_input and bool(node.attributes.get("noop_with_empty_axes", 0)))
        return push.pass_on(None if kept else ())
    axes = normalized(given, rank)
    if axes is None:
        return False
    moved = tuple(sorted(push.perm[axis] for axis in axes))
    if by_input:
        moves.set_constant_input(node, 1, moved)
    else:
        push.change(axes=moved)
    return push.pass_on(None if keep else squeezed(push.perm, moved))


def arg_max(push: Push) -> bool:
    given: Any = push.node.attributes.get("axis", 0)
    axes = normalized((given,), len(push.perm))
    if axes is None:
        return False
    axis = push.perm[axes[0]]
    push.change(axis=axis)
    return push.pass_on(None if push.node.attributes.get("keepdims", 1) else squeezed(push.perm, (axis,)))


def squeeze(push: Push) -> bool:
    axes = push.moves.axes(push.node, len(push.perm))
    if axes is None:
        return False
    moved = tuple(sorted(push.perm[axis] for axis in axes))
    if push.moves.edit.opset < 13:
        push.change(axes=moved)
    else:
        push.moves.set_constant_input(push.node, 1, moved)
    return push.pass_on(squeezed(push.perm, moved))


def unsqueeze(push: Push) -> bool:
    given: Any = push.node.attributes.get("axes") if push.moves.edit.opset < 13 else push.moves.ints(push.node, 1)
    axes = None if given is None else normalized(given, len(push.perm) + len(given))
    if axes is None:
        return False
    return push.pass_on(unsqueezed(push.perm, axes))


def slice_(push: Push) -> bool:
    moves, node = push.moves, push.node
    if moves.edit.opset < 10:
        return _slice_by_attributes(push)
    starts = moves.ints(node, 1) or ()
    given = moves.ints(node, 3) if node.input(3) else tuple(range(len(starts)))
    axes = None if given is None else normalized(given, len(push.perm))
    if axes is None:
        return False
    moves.set_constant_input(node, 3, [push.perm[axis] for axis in axes], node.input(3) or node.input(1))
    return push.pass_on()


def _slice_by_attributes(push: Push) -> bool:
    """Before opset 10 the axes are an attribute."""
    starts: Any = push.node.attributes.get("starts", ())
    given: Any = push.node.attributes.get("axes") or tuple(range(len(starts)))
    axes = normalized(given, len(push.perm))
    if axes is None:
        return False
    moved = {**push.node.attributes, "axes": tuple(push.perm[axis] for axis in axes)}
    push.moves.edit.change(push.node, attributes=moved)
    return push.pass_on()


def tile(push: Push) -> bool:
    if push.moves.ints(push.node, 1) is None:
        return False
    _permuted_numbers(push, 1, inverted(push.perm))
    return push.pass_on()


def transpose(push: Push) -> bool:
    perm = push.moves.perm(push.node)
    if perm is None or len(perm) != len(push.perm):
        return False
    return _merge(push, perm)


def reshape(push: Push) -> bool:
    """A Reshape that only moves axes of size 1 is a Transpose."""
    moves, node = push.moves, push.node
    before, requested = moves.shape(push.transpose.outputs[0]), moves.edit.constant(node.input(1))
    if requested is None or requested.size != len(before):
        return False
    after = moves.shape(node.outputs[0])
    if not all(isinstance(size, int) for size in (*before, *after)) or len(after) != len(before):
        return False
    perm = _as_transpose([int(size) for size in before if isinstance(size, int)], [*after])
    return perm is not None and _merge(push, perm)


def _as_transpose(before: list[int], after: list[Any]) -> Perm | None:
    """The permutation that a Reshape is, axis by axis from the front; taken axes become -1."""
    left, perm = list(before), []
    for wanted in after:
        at = 0
        while left[at] != wanted:
            if left[at] not in (-1, 1) and wanted != 1:
                return None
            at += 1
            if at == len(left):
                return None
        perm.append(at)
        left[at] = -1
    return tuple(perm)


def _merge(push: Push, perm: Perm) -> bool:
    """Two Transposes in a row become one, or none."""
    edit, node, transpose = push.moves.edit, push.node, push.transpose
    source = transpose.inputs[0]
    origin = (*node.origins, *transpose.origins)
    push.moves.found.clear()  # tensors change their readers
    if inverted(push.perm) == perm:
        _cancel(push)
    else:
        merged = Node("Transpose", "", (source,), node.outputs, {"perm": composed(push.perm, perm)}, node.name, origin)
        edit.change(node, op=merged.op, inputs=merged.inputs, attributes=merged.attributes, origin=origin)
    current = edit.now(transpose)
    if current is not None and not edit.is_read(current.outputs[0]):
        edit.replace(current)
    return True


def _cancel(push: Push) -> None:
    """The node goes; whoever reads it reads what the Transpose reads. A graph output is made by whatever makes that,
    or by an Identity."""
    edit, node, source = push.moves.edit, push.node, push.transpose.inputs[0]
    output = node.outputs[0]
    if not edit.is_output(output):
        edit.replace(node)
        edit.redirect(output, source)
        return
    maker = edit.producer(source)
    if maker is None or edit.is_output(source):
        edit.change(node, op="Identity", inputs=(source,), attributes={})
        return
    edit.replace(node)
    edit.redirect(source, output)
    edit.rename_output(maker, source, output)


ONE, ALL = Handler(simple, first), Handler(simple, every)
BROADCAST = Handler(broadcasting, no_scalars)
REDUCE = Handler(reduce, first)
QUANTIZE = Handler(quantize, first)
SOFTMAX = Handler(softmax, first)
POOL = Handler(never, first)
TWO_CODES = Handler(broadcasting, both_codes)

#: Operators that compute element by element, of one operand and of several; and reductions.
UNARY = (
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cast", "Ceil", "Celu", "Cos", "Cosh", "Erf", "Exp"),
    *("Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Log", "Neg", "Not"),
    *("Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign"),
    *("Sqrt", "Tan", "Tanh", "ThresholdedRelu"),
)
SEVERAL = (
    *(
        "Add",
        "And",
        "BitShift",
        "Div",
        "Equal",
        "Greater",
        "GreaterOrEqual",
        "Less",
        "LessOrEqual",
        "Max",
        "Mean",
        "Min",
    ),
    *("Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Xor"),
)
REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")

HANDLERS: Mapping[tuple[str, str], Handler] = {
    **{("", op): ALL for op in UNARY},
    **{("", op): BROADCAST for op in SEVERAL},
    **{("", f"Reduce{op}"): REDUCE for op in REDUCTIONS},
    **{("", op): QUANTIZE for op in ("QuantizeLinear", "DequantizeLinear")},
    **{(MICROSOFT, op): QUANTIZE for op in ("QuantizeLinear", "DequantizeLinear")},
    ("", "Clip"): ONE,
    ("", "Transpose"): Handler(transpose, first, transposes_outputs=False),
    ("", "Reshape"): Handler(reshape, first, transposes_outputs=False),
    ("", "Concat"): Handler(concat, every),
    ("", "Split"): Handler(split, first),
    ("", "Pad"): Handler(pad, first),
    **{("", op): Handler(arg_max, first) for op in ("ArgMax", "ArgMin")},
    ("", "Squeeze"): Handler(squeeze, first),
    ("", "Unsqueeze"): Handler(unsqueeze, first),
    ("", "Slice"): Handler(slice_, first),
    ("", "Tile"): Handler(tile, first),
    **{("", op): SOFTMAX for op in ("Softmax", "Hardmax", "LogSoftmax")},
    ("", "Resize"): Handler(resize, first),
    ("", "MaxPool"): POOL,
    (MICROSOFT, "QLinearAveragePool"): POOL,
    (MICROSOFT, "QLinearGlobalAveragePool"): POOL,
    (MICROSOFT, "QLinearAdd"): TWO_CODES,
    (MICROSOFT, "QLinearMul"): TWO_CODES,
    (MICROSOFT, "QLinearConcat"): Handler(concat, all_codes),
    (MICROSOFT, "QLinearLeakyRelu"): ONE,
    (MICROSOFT, "QLinearSigmoid"): ONE,
    (MICROSOFT, "QLinearSoftmax"): SOFTMAX,
}


def handler_of(node: Node) -> Handler | None:
    return HANDLERS.get((node.domain, node.op))


def is_transpose(node: Node | None) -> bool:
    return is_op(node, "Transpose")
