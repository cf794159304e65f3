"""The edits that moving a Transpose is made of: transpose an input, transpose an output, keep Q and DQ around.

ONNX Runtime 1.32, core/optimizer/transpose_optimization/onnx_transpose_optimization.cc (TransposeInputImpl,
UnsqueezeInput, TransposeOutput, MakeQDQNodeUnit).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.graph import Node, Shape, Value
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.ort.transposes.perms import (
    Perm,
    composed,
    inverted,
    is_identity,
    normalized,
    permuted,
    unsqueezed,
    unsqueezed_axis,
    unsqueezed_shape,
)
from qdqnp.lowering.qdq import DEQUANTIZE, QUANTIZE, is_op
from qdqnp.quant import Array


@dataclass
class Moves:
    """A graph in which Transposes move.

    edit: the graph.
    origin: the labels of the Transpose that is being pushed; nodes made on the way stand for it.
    found: of what was asked of a tensor and depends on all its readers, the answers; many readers ask it.
    """

    edit: Edit
    origin: tuple[str, ...] = ()
    found: dict[Any, Any] = field(default_factory=dict)

    # -- asking --------------------------------------------------------------------------------------------------
    def perm(self, node: Node | None) -> Perm | None:
        """The permutation of a Transpose that says one and where it is valid; None for any other node."""
        given: Any = node.attributes.get("perm") if node is not None and is_op(node, "Transpose") else None
        return tuple(given) if given is not None and sorted(given) == list(range(len(given))) else None

    def shape(self, name: str) -> Shape:
        return self.edit.values[name].shape

    def ints(self, node: Node, index: int) -> tuple[int, ...] | None:
        """A constant input of whole numbers; None where it is computed or absent."""
        const = self.edit.constant(node.input(index)) if node.input(index) else None
        return None if const is None else tuple(int(number) for number in const.reshape(-1))

    def axes(self, node: Node, rank: int) -> tuple[int, ...] | None:
        """The axes of a Squeeze or Unsqueeze, from the front: an attribute before opset 13, an input since."""
        given: Any = node.attributes.get("axes") if self.edit.opset < 13 else self.ints(node, 1)
        return None if given is None else normalized(given, rank)

    def quantized_axis(self, dq: Node) -> int | None:
        """The axis of a DQ or Q with several scales, -1 for one scale; None where it is blocked or not known."""
        scale = self.edit.values[dq.input(1)].shape
        if scale in ((), (1,)):
            return -1
        axis: Any = dq.attributes.get("axis", 1)
        found = normalized((axis,), len(self.shape(dq.input(0))))
        return None if found is None or dq.attributes.get("block_size", 0) else found[0]

    def constant_dq(self, name: str) -> Node | None:
        """The DQ of a constant that makes this tensor for one node alone."""
        dq = self.edit.producer(name)
        if dq is None or dq.op != DEQUANTIZE or self.edit.constant(dq.input(0)) is None:
            return None
        return dq if self.quantized_axis(dq) is not None and self.edit.only_user(dq) is not None else None

    # -- nodes ---------------------------------------------------------------------------------------------------
    def _made(self, op: str, name: str, shape: Shape, near: Node, attributes: Any = None, more: Any = ()) -> str:
        """The output of a new node of one tensor."""
        value = self.edit.values[name]
        output = self.edit.fresh(f"{name}_{op.lower()}d", Value("", value.dtype, shape))
        self.edit.insert(Node(op, "", (name, *more), (output,), attributes or {}, "", self.origin), near)
        return output

    def transposed(self, name: str, perm: Perm, near: Node) -> str:
        output = self._made("Transpose", name, permuted(self.shape(name), perm), near, {"perm": perm})
        self.found[name, perm] = self.edit.producer(output)
        return output

    def unsqueezed(self, name: str, axes: Sequence[int], near: Node) -> str:
        shape = unsqueezed_shape(self.shape(name), axes)
        if self.edit.opset < 13:
            return self._made("Unsqueeze", name, shape, near, {"axes": tuple(axes)})
        added = self.edit.add_constant("unsqueeze_axes", np.array(axes, np.int64))
        return self._made("Unsqueeze", name, shape, near, {}, (added,))

    def set_input(self, node: Node, index: int, name: str) -> Node:
        current = self.edit.now(node)
        assert current is not None
        return self.edit.rewire(current, index, name)

    def set_constant_input(self, node: Node, index: int, numbers: Sequence[int], like: str = "") -> Node:
        """Whole numbers in the place of an input, int64 or the dtype of `like`; the inputs before it exist."""
        dtype = self.edit.dtype(like) if like else None
        name = self.edit.add_constant(f"{node.label}_input{index}", np.array(numbers, dtype or np.int64))
        current = self.edit.now(node)
        assert current is not None
        inputs = list(current.inputs) + [""] * (index + 1 - len(current.inputs))
        inputs[index] = name
        return self.edit.change(current, inputs=tuple(inputs))

    def _feed(self, dq: Node, codes: str, axis: int | None) -> str:
        """Make a DQ read other codes, under a new name: what it made before is in no such layout any more."""
        edit, old = self.edit, dq.outputs[0]
        output = edit.fresh(f"{old}_moved", Value("", edit.values[old].dtype, self.shape(codes)))
        attributes: dict[str, Any] = dict(dq.attributes)
        if axis is not None and axis >= 0:
            attributes["axis"] = axis
        edit.change(dq, inputs=(codes, *dq.inputs[1:]), outputs=(output,), attributes=attributes)
        return output

    # -- inputs --------------------------------------------------------------------------------------------------
    def transpose_input(self, node: Node, index: int, perm: Perm) -> None:
        """Make a node read one input transposed: through a constant, by cancelling or merging with a Transpose before
        it, or by a new Transpose."""
        name = node.inputs[index]
        dq = None if self.edit.constant(name) is not None else self.constant_dq(name)
        const = self.edit.constant(dq.input(0) if dq is not None else name)
        if const is not None:
            self._transpose_constant(node, index, const, dq, perm)
        elif not self._meet_transpose(node, index, perm):
            self._add_transpose(node, index, perm)

    def _transpose_constant(self, node: Node, index: int, const: Array, dq: Node | None, perm: Perm) -> None:
        if const.size == 1:
            return
        if dq is not None:
            name = self.edit.add_constant(f"{dq.input(0)}_transposed", const.transpose(perm))
            axis = self.quantized_axis(dq)
            self.set_input(node, index, self._feed(dq, name, self._moved_axis(axis, perm)))
        elif const.shape == (len(perm),):
            self.set_input(node, index, self.edit.add_constant(node.inputs[index], const[list(perm)]))
        else:
            self.set_input(node, index, self.edit.add_constant(node.inputs[index], const.transpose(perm)))

    def _moved_axis(self, axis: int | None, perm: Perm) -> int | None:
        return inverted(perm)[axis] if axis is not None and axis >= 0 else axis

    def _meet_transpose(self, node: Node, index: int, perm: Perm) -> bool:
        """Cancel or merge with a Transpose that makes the input, or the codes of the DQ that makes it."""
        edit, name = self.edit, node.inputs[index]
        maker, dq = edit.producer(name), None
        if maker is not None and maker.op == DEQUANTIZE and self.quantized_axis(maker) is not None:
            dq, maker = maker, edit.producer(maker.input(0))
        before = self.perm(maker)
        if maker is None or before is None or len(before) != len(perm):
            return False
        if before == inverted(perm):
            if dq is not None:
                self.set_input(
                    node, index, self._feed(dq, maker.inputs[0], self._moved_axis(self.quantized_axis(dq), perm))
                )
            else:
                self.set_input(node, index, maker.inputs[0])
        elif dq is None:
            merged = self.transposed(maker.inputs[0], composed(before, perm), node)
            self.set_input(node, index, merged)
        else:
            return False
        if not edit.is_read(maker.outputs[0]):
            edit.replace(maker)
        return True

    def _add_transpose(self, node: Node, index: int, perm: Perm) -> None:
        edit, name = self.edit, node.inputs[index]
        there = self._transpose_of(name, perm)
        if there is not None and there is not node:
            self.set_input(node, index, there.outputs[0])
            return
        self.set_input(node, index, self.transposed(name, perm, node))
        self.enclose(edit.producer(name))

    def _transpose_of(self, name: str, perm: Perm) -> Node | None:
        """A Transpose of a tensor by a permutation that is there already."""
        known = self.found.get((name, perm))
        current = self.edit.now(known) if known is not None else None
        if current is not None and current.inputs == (name,) and self.perm(current) == perm:
            return current
        if (name, perm) not in self.found or known is not None:
            users = (user for user, _ in self.edit.uses(name))
            self.found[name, perm] = next((user for user in users if self.perm(user) == perm), None)
        found: Node | None = self.found[name, perm]
        return found

    def unsqueeze_input(self, node: Node, index: int, axes: Sequence[int]) -> None:
        """Make a node read one input with leading axes added: through a constant, by cancelling a Squeeze, above a
        Transpose, or by a new Unsqueeze."""
        edit, name = self.edit, node.inputs[index]
        dq = None if edit.constant(name) is not None else self.constant_dq(name)
        const = edit.constant(dq.input(0) if dq is not None else name)
        if const is not None:
            shape: Any = unsqueezed_shape(const.shape, axes)
            made = edit.add_constant(dq.input(0) if dq is not None else name, const.reshape(shape))
            self.set_input(node, index, made if dq is None else self._feed(dq, made, self._added_axis(dq, axes)))
            return
        maker, dq = edit.producer(name), None
        if maker is not None and maker.op == DEQUANTIZE and self.quantized_axis(maker) is not None:
            dq, maker = maker, edit.producer(maker.input(0))
        if is_op(maker, "Squeeze") and maker is not None:
            given: Any = maker.attributes.get("axes") if edit.opset < 13 else self.ints(maker, 1)
            if given is not None and tuple(given) == tuple(axes):
                source = maker.inputs[0]
                self.set_input(
                    node, index, source if dq is None else self._feed(dq, source, self._added_axis(dq, axes))
                )
                if not edit.is_read(maker.outputs[0]):
                    edit.replace(maker)
                return
        self._add_unsqueeze(node, index, axes)

    def _added_axis(self, dq: Node, axes: Sequence[int]) -> int | None:
        axis = self.quantized_axis(dq)
        return unsqueezed_axis(axis, axes) if axis is not None and axis >= 0 else axis

    def _add_unsqueeze(self, node: Node, index: int, axes: Sequence[int]) -> None:
        edit, name = self.edit, node.inputs[index]
        maker = edit.producer(name)
        made = self.unsqueezed(name, axes, node)
        self.set_input(node, index, made)
        before = self.perm(maker)
        if before is not None:
            unsqueeze = edit.producer(made)
            assert unsqueeze is not None
            self.transpose_input(unsqueeze, 0, inverted(before))
            self.transpose_output(unsqueeze, 0, unsqueezed(before, axes))
            return
        self.enclose(maker)

    # -- outputs -------------------------------------------------------------------------------------------------
    def transpose_outputs(self, node: Node, perm: Perm) -> None:
        if not is_identity(perm):
            for index, name in enumerate(node.outputs):
                if name:
                    self.transpose_output(node, index, perm)

    def transpose_output(self, node: Node, index: int, perm: Perm) -> None:
        """Let a Transpose make what a node makes now, from a new tensor of the node."""
        edit, current = self.edit, self.edit.now(node)
        assert current is not None
        old = current.outputs[index]
        value = edit.values[old]
        new = edit.fresh(f"{old}_untransposed", Value("", value.dtype, permuted(value.shape, inverted(perm))))
        outputs = (*current.outputs[:index], new, *current.outputs[index + 1 :])
        changed = edit.change(current, outputs=outputs)
        edit.insert(Node("Transpose", "", (new,), (old,), {"perm": perm}, "", self.origin), changed)

    # -- Q and DQ ------------------------------------------------------------------------------------------------
    def enclose(self, dq: Node | None) -> bool:
        """Put Q and DQ with the parameters of a DQ behind the Transpose or Unsqueeze that alone reads it."""
        edit = self.edit
        mover = edit.only_user(dq) if dq is not None and dq.op == DEQUANTIZE else None
        if dq is None or mover is None or not is_op(mover, "Transpose", "Unsqueeze"):
            return False
        axis = self.quantized_axis(dq)
        if axis is None:
            return False
        if axis >= 0:
            perm = self.perm(mover)
            rank = len(self.shape(mover.outputs[0]))
            axes = self.axes(mover, rank) if perm is None else None
            if perm is None and axes is None:
                return False
            axis = inverted(perm)[axis] if perm is not None else unsqueezed_axis(axis, axes or ())
        self.pair(mover, dq, axis, mover.outputs[0])
        return True

    def pair(self, node: Node, like: Node, axis: int, output: str) -> None:
        """Put Q and DQ with the parameters of a Q or DQ behind an output of a node, which DQ makes from now on."""
        edit = self.edit
        value = edit.values[output]
        attributes = {"axis": axis} if axis >= 0 and axis != 1 else {}
        named: dict[str, Any] = {key: like.attributes[key] for key in ("output_dtype",) if key in like.attributes}
        before = edit.fresh(f"{output}_pre_q", value)
        codes = edit.code_tensor(f"{output}_q_to_dq", like, value.shape)
        changed = edit.rename_output(node, output, before)
        parameters = like.inputs[1:]
        q = Node(QUANTIZE, like.domain, (before, *parameters), (codes,), {**attributes, **named}, "", like.origins)
        edit.insert(q, changed)
        dq = Node(DEQUANTIZE, like.domain, (codes, *parameters), (output,), attributes, "", like.origins)
        edit.insert(dq, changed)
