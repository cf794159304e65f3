"""A sum with what a Conv makes."""

from __future__ import annotations

from qdqnp.graph import Graph, Node
from qdqnp.lowering.base import Log
from qdqnp.lowering.edit import Edit
from qdqnp.lowering.qdq import is_op

DOUBT = "a session at level ALL may add it inside of the Conv (FusedConv), whose order of sums is then not known"


def conv_add(graph: Graph, log: Log) -> Graph:
    """An Add of two images of one shape, one of them made by a float Conv with a bias for it alone, loses its promise.

    ONNX Runtime 1.32, core/optimizer/conv_add_act_fusion.cc (ConvAddActivationFusion), of level ALL.
    """
    edit = Edit(graph)
    for add in edit.nodes():
        if is_op(add, "Add") and not add.doubt and _same_images(edit, add) and _takes_conv(edit, add):
            edit.change(add, doubt=DOUBT)
    return edit.done()


def _same_images(edit: Edit, add: Node) -> bool:
    one, other = (edit.values[name].shape for name in add.inputs)
    return len(one) == 4 and one == other


def _takes_conv(edit: Edit, add: Node) -> bool:
    makers = (edit.producer(name) for name in add.inputs)
    return any(
        maker is not None and is_op(maker, "Conv") and bool(maker.input(2)) and edit.only_user(maker) is add
        for maker in makers
    )
