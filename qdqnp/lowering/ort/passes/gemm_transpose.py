"""Transposes around Gemm."""

from __future__ import annotations

from typing import Any

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op


def gemm_transpose(graph: Graph, log: Log) -> Graph:
    """A Transpose that only Gemms read becomes the Gemm's transA or transB; one that alone reads a Gemm without a C
    becomes a Gemm of the exchanged and transposed operands.

    This changes the order of sums. ONNX Runtime 1.32, core/optimizer/gemm_transpose_fusion.cc (GemmTransposeFusion).
    """
    edit = Edit(graph)
    for gemm in edit.nodes():
        if is_op(gemm, "Gemm") and len(edit.users(gemm)) <= 1:
            before = [index for index in (0, 1) if _is_transposed(edit, gemm.input(index))]
            after = _transpose_after(edit, gemm)
            if before or after is not None:
                _fuse(edit, gemm, before, after)
    return edit.done()


def _exchanges(node: Node | None) -> bool:
    """Whether a node is a Transpose of a matrix that does something."""
    return is_op(node, "Transpose") and node is not None and node.attributes.get("perm", (1, 0)) == (1, 0)


def _is_transposed(edit: Edit, name: str) -> bool:
    maker = edit.producer(name)
    if maker is None or not _exchanges(maker) or edit.makes_output(maker):
        return False
    return all(is_op(user, "Gemm") for user, _ in edit.users(maker))


def _transpose_after(edit: Edit, gemm: Node) -> Node | None:
    """The Transpose that alone reads a Gemm of two inputs."""
    user = edit.only_user(gemm)
    return user if edit.opset >= 11 and len(gemm.inputs) == 2 and _exchanges(user) else None


def _fuse(edit: Edit, gemm: Node, before: list[int], after: Node | None) -> None:
    flags = [bool(gemm.attributes.get(key, 0)) for key in ("transA", "transB")]
    inputs, gone = list(gemm.inputs), [gemm]
    origin = list(gemm.origins)
    for index in before:
        transpose = edit.producer(gemm.input(index))
        assert transpose is not None
        inputs[index], flags[index] = transpose.input(0), not flags[index]
        origin.extend(transpose.origins)
    if after is not None:
        inputs.reverse()
        flags = [not flags[1], not flags[0]]
        gone.append(after)
        origin.extend(after.origins)
    attributes: dict[str, Any] = {**gemm.attributes, "transA": int(flags[0]), "transB": int(flags[1])}
    outputs = gone[-1].outputs
    made = gemm.with_(inputs=tuple(inputs), outputs=outputs, attributes=attributes, origin=tuple(origin))
    edit.replace(gone, made)
    for index in before:
        transpose = edit.producer(gemm.input(index))
        if transpose is not None and not edit.users(transpose):
            edit.replace(transpose)
