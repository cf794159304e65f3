"""What computes a layer normalization by parts becomes LayerNormalization or RMSNormalization."""

from __future__ import annotations

import numpy as np

from qdqnp.graph import ONNX, Graph, Node
from qdqnp.lowering.base import Log, PassFunction
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op

#: The opset from which on LayerNormalization is ONNX's own, and ONNX Runtime fuses it at level BASIC.
LAYER_NORM_SINCE = 17
DOUBT = "ONNX Runtime computes it as part of a layer normalization whose scale is broadcast, which is not reproduced"
EPSILON = 1e-5


def layer_norm(basic: bool) -> PassFunction:
    """Fuse (x - mean) / sqrt(mean of squares + epsilon) * scale + bias. basic: whether this is level BASIC.

    ONNX Runtime 1.32, core/optimizer/layer_norm_fusion.cc (LayerNormFusion). It does not look at the exponent of Pow.
    """

    def fuse(graph: Graph, log: Log) -> Graph:
        edit = Edit(graph)
        if basic != (edit.opset >= LAYER_NORM_SINCE):
            return graph
        for mean in edit.nodes():
            found = _around(edit, mean) if is_op(mean, "ReduceMean") else None
            if found is not None:
                nodes, added = found
                scale, bias = _vector(edit, nodes[-2]), _vector(edit, nodes[-1])
                if scale and bias and edit.values[scale].shape == edit.values[bias].shape:
                    _put(edit, "LayerNormalization", nodes, (mean.inputs[0], scale, bias), added)
        return edit.done()

    return fuse


def root_norm(graph: Graph, log: Log) -> Graph:
    """Fuse x / sqrt(mean of squares + epsilon) * scale.

    ONNX Runtime 1.32, core/optimizer/layer_norm_fusion.cc (SimplifiedLayerNormFusion), whose
    SimplifiedLayerNormalization is RMSNormalization.
    """
    edit = Edit(graph)
    for power in edit.nodes():
        nodes = [power]
        for op in ("ReduceMean", "Add", "Sqrt", "Div", "Mul"):
            user = edit.only_user(nodes[-1])
            if user is None or not is_op(user, op):
                break
            nodes.append(user)
        if not is_op(power, "Pow") or len(nodes) < 6:
            continue
        _, mean, add, _, div, mul = nodes
        scale = _vector(edit, mul)
        if scale and div.inputs[0] == power.inputs[0] and _over_last(edit, mean):
            _put(edit, "RMSNormalization", tuple(nodes), (power.inputs[0], scale), add)
    return edit.done()


def _around(edit: Edit, mean: Node) -> tuple[tuple[Node, ...], Node] | None:
    """The nodes of a layer normalization from its mean on, the last one last, and the one that adds epsilon."""
    x, subs = mean.inputs[0], [node for node, _ in edit.users(mean)]
    if edit.makes_output(mean) or len(subs) not in (1, 2) or not all(is_op(sub, "Sub") for sub in subs):
        return None
    if not all(x in sub.inputs for sub in subs) or edit.makes_output(subs[0]):
        return None
    if len(edit.users(subs[0])) != (2 if len(subs) == 1 else 1):
        return None
    div = next((node for sub in subs for node, _ in edit.users(sub) if is_op(node, "Div")), None)
    if div is None:
        return None
    back = _back(edit, div, subs)
    mul = edit.only_user(div)
    last = edit.only_user(mul) if mul is not None and is_op(mul, "Mul") else None
    if back is None or mul is None or last is None or not is_op(last, "Add"):
        return None
    power, second, add, root = back
    if not _over_last(edit, mean) or not _over_last(edit, second):
        return None
    return (mean, *subs, power, second, add, root, div, mul, last), add


def _back(edit: Edit, div: Node, subs: list[Node]) -> tuple[Node, Node, Node, Node] | None:
    """Pow, ReduceMean, Add and Sqrt, which make what Div divides by."""
    chain: list[Node] = []
    node = div
    for op in ("Sqrt", "Add", "ReduceMean", "Pow"):
        makers = (edit.producer(name) for name in node.inputs)
        maker = next((maker for maker in makers if maker is not None and is_op(maker, op)), None)
        if maker is None or edit.only_user(maker) is not node:
            return None
        chain.append(maker)
        node = maker
    if not any(edit.producer(name) is sub for sub in subs for name in node.inputs):
        return None
    root, add, mean, power = chain
    return power, mean, add, root


def _over_last(edit: Edit, mean: Node) -> bool:
    """Whether a ReduceMean goes over the last axis alone."""
    given = edit.constant(mean.input(1)) if mean.input(1) else None
    axes = [int(axis) for axis in (mean.attributes.get("axes", ()) if given is None else given.reshape(-1))]  # type: ignore[union-attr]
    rank = len(edit.values[mean.inputs[0]].shape)
    return len(axes) == 1 and (axes[0] == -1 or 0 < axes[0] == rank - 1)


def _vector(edit: Edit, node: Node) -> str:
    """The operand of rank 1 of a Mul or Add, the second one of two; '' where there is none."""
    return next((name for name in reversed(node.inputs) if len(edit.values[name].shape) == 1), "")


def _put(edit: Edit, op: str, nodes: tuple[Node, ...], inputs: tuple[str, ...], added: Node) -> None:
    row = edit.values[inputs[0]].shape[-1:]
    if any(edit.values[name].shape != row for name in inputs[1:]):
        edit.change(nodes[-1], doubt=DOUBT)
        return
    const = edit.constant(added.inputs[1])
    known = const is not None and const.size == 1 and const.dtype == np.float32
    epsilon = float(const.reshape(())) if known and const is not None else EPSILON
    origins = tuple(label for node in nodes for label in node.origins)
    attributes = {"axis": -1, "epsilon": epsilon}
    edit.replace(nodes, Node(op, ONNX, inputs, nodes[-1].outputs, attributes, "", origins))
