"""Sums in front of a layer normalization are taken into it; what may become Attention loses its promise."""

from __future__ import annotations

from qdqnp.graph import MICROSOFT, Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op
from qdqnp.ops.float.layer_normalization import LayerNormalizationAttributes

#: What LayerNormalization takes where it is not told.
EPSILON = LayerNormalizationAttributes.epsilon


def skip_layer_norm(graph: Graph, log: Log) -> Graph:
    """Take an Add of two tensors of rank 3 and one shape into the LayerNormalization that alone reads it.

    And into it the Add of a constant vector in front of it. ONNX Runtime 1.32, core/optimizer/skip_layer_norm_fusion.cc
    (SkipLayerNormFusion).
    """
    edit = Edit(graph)
    for norm in edit.nodes():
        if not is_op(norm, "LayerNormalization") or any(norm.outputs[1:]):
            continue
        add = edit.producer(norm.inputs[0])
        if add is None or not is_op(add, "Add") or edit.only_user(add) is not norm or not _same_rows(edit, add):
            continue
        if any(len(edit.values[name].shape) != 1 for name in norm.inputs[1:] if name):
            continue
        sides, gone, bias = list(add.inputs), [add, norm], ""
        for index in (0, 1):
            maker = edit.producer(sides[index])
            if maker is not None and edit.only_user(maker) is add and _adds_bias(edit, maker):
                sides[index], bias = maker.inputs
                gone.insert(0, maker)
                break
        inputs = (*sides, norm.inputs[1], norm.input(2), *((bias,) if bias else ()))
        origins = tuple(label for node in gone for label in node.origins)
        epsilon = norm.attributes.get("epsilon", 1e-12)
        edit.replace(
            gone, Node("SkipLayerNormalization", MICROSOFT, inputs, norm.outputs[:1], {"epsilon": epsilon}, "", origins)
        )
    return edit.done()


def bias_skip_layer_norm(graph: Graph, log: Log) -> Graph:
    """Take the Add of a constant vector to a MatMul into the SkipLayerNormalization that alone reads it.

    ONNX Runtime 1.32, core/optimizer/bias_skip_layer_norm_fusion.cc (BiasSkipLayerNormFusion).
    """
    edit = Edit(graph)
    for norm in edit.nodes():
        if (norm.domain, norm.op) != (MICROSOFT, "SkipLayerNormalization") or len(norm.inputs) != 4:
            continue
        for index in (0, 1):
            add = edit.producer(norm.inputs[index])
            found = None if add is None or edit.only_user(add) is not norm else _bias_of_matmul(edit, add)
            if add is not None and found is not None:
                product, bias = found
                inputs = (*norm.inputs[:index], product, *norm.inputs[index + 1 :], bias)
                origins = (*add.origins, *norm.origins)
                edit.replace((add, norm), norm.with_(inputs=inputs, origin=origins))
                break
    return edit.done()


def _same_rows(edit: Edit, add: Node) -> bool:
    one, other = (edit.values[name].shape for name in add.inputs)
    return len(one) == 3 and one == other and None not in one


def _adds_bias(edit: Edit, add: Node) -> bool:
    """Whether a node adds a constant vector, its second operand, along the last axis of a tensor of rank 3."""
    if not is_op(add, "Add") or edit.constant(add.inputs[1]) is None:
        return False
    one, other = (edit.values[name].shape for name in add.inputs)
    return len(one) == 3 and len(other) == 1 and one[-1] == other[0] and isinstance(one[-1], int)


def _bias_of_matmul(edit: Edit, add: Node) -> tuple[str, str] | None:
    """What a node adds a constant vector to, if it is made by a MatMul; and the vector."""
    if not is_op(add, "Add"):
        return None
    for product, bias in (add.inputs, add.inputs[::-1]):
        maker, const = edit.producer(product), edit.constant(bias)
        if maker is not None and is_op(maker, "MatMul") and const is not None and const.ndim == 1:
            return (product, bias) if edit.values[product].shape[-1] == const.size else None
    return None


ATTENTION = "ONNX Runtime may compute it as part of Attention, whose order of sums is not reproduced"
EMBEDDING = "ONNX Runtime may compute it as part of EmbedLayerNormalization, whose order of sums is not reproduced"


def attention(graph: Graph, log: Log) -> Graph:
    """Products of one layer normalization by three matrices, and the normalization of a sum of looked up vectors, lose
    their promise.

    ONNX Runtime 1.32, core/optimizer/attention_fusion.cc (AttentionFusion) and embed_layer_norm_fusion.cc
    (EmbedLayerNormFusion), whose patterns are narrower.
    """
    edit = Edit(graph)
    for norm in edit.nodes():
        if not is_op(norm, "LayerNormalization"):
            continue
        readers = [node for node, _ in edit.users(norm) if node.op in ("MatMul", "Gemm", "Reshape")]
        if len(readers) >= 3:
            for reader in readers:
                if not reader.doubt:
                    edit.change(reader, doubt=ATTENTION)
        if not norm.doubt and _sums_gathered(edit, norm.inputs[0], 3):
            edit.change(norm, doubt=EMBEDDING)
    return edit.done()


def _sums_gathered(edit: Edit, name: str, depth: int) -> bool:
    """Whether a tensor is a sum of what Gather makes."""
    add = edit.producer(name)
    if add is None or depth == 0 or not is_op(add, "Add"):
        return False
    makers = (edit.producer(part) for part in add.inputs)
    return any(is_op(maker, "Gather") for maker in makers) or any(
        _sums_gathered(edit, part, depth - 1) for part in add.inputs
    )
