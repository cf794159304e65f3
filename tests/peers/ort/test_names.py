"""Tensors that ONNX Runtime renamed are found again by what they are made of."""

from __future__ import annotations

import numpy as np

import qdqnp
from qdqnp.diagnosis.verify import verify
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.peers.ort.names import pairs
from qdqnp.peers.ort.peer import OrtPeer
from tests.lowering.models import Net

SHAPE = (1, 4, 6, 6)


def file_names(model: qdqnp.Model) -> set[str]:
    return {*model.graph.inputs, *(name for node in model.graph.nodes for name in node.outputs)}


def renamed(net: Net, expected: int) -> dict[str, str]:
    """Checks that under ort-x64 every tensor is found and equal, and gives the names of those that were renamed."""
    proto = net.model()
    model = qdqnp.load(proto)
    peer = OrtPeer(proto, "ort-x64")
    report = verify(model, peer, random_feeds(model.program("ort-x64"), 3, seed=1), "ort-x64")
    assert report.equal, report.verdict()
    assert not report.missing, report.missing
    names = peer.pairs(model.program("ort-x64"), file_names(model))
    codes = {name: other for name, (other, *_) in names.items() if other.startswith("qdq_s8_to_u8_quant")}
    assert len(codes) == len(set(codes.values())) == expected
    return codes


def test_two_quantizers_of_one_tensor_go_by_their_scale() -> None:
    """Both are renamed, and nothing else tells them apart."""
    net = Net()
    x = net.input(SHAPE)
    for scale in (0.3, 0.02):
        net.output(net.node("HardSigmoid", net.qdq(x, scale)))
    renamed(net, 2)


def test_two_convolutions_of_one_tensor_go_by_their_weights() -> None:
    net = Net()
    x = net.qdq(net.input(SHAPE))
    sums = [
        net.qdq(net.node("Conv", net.qdq(net.node("HardSigmoid", x), 0.01), net.weight(4, 4, 1, 1))) for _ in range(2)
    ]
    net.output(*(net.node("HardSigmoid", y) for y in sums))
    renamed(net, 4)


def test_copies_of_a_dequantizer_share_a_counterpart() -> None:
    net = Net()
    x = net.qdq(net.input(SHAPE), dtype=np.uint8)
    net.output(*(net.node(op, x) for op in ("HardSigmoid", "Neg", "Sqrt", "HardSwish")))
    renamed(net, 0)


def test_nodes_in_another_order() -> None:
    """ONNX Runtime's order is its own: weights tell two convolutions of one tensor apart, not their places."""
    shared = Net()
    a = shared.q(shared.input(SHAPE), dtype=np.uint8)
    weights = [shared.weight(4, 4, 1, 1) for _ in range(2)]
    back = shared.dq(a, dtype=np.uint8)
    for weight in weights:
        shared.output(shared.node("HardSigmoid", shared.qdq(shared.node("Conv", back, weight))))
    proto = shared.model()
    model = qdqnp.load(proto)
    program = model.program("ort-x64")
    peer = OrtPeer(proto, "ort-x64")
    graph = peer._graph
    for order in (1, -1):
        nodes = list(graph.node)[::order]
        del graph.node[:]
        graph.node.extend(nodes)
        found = pairs(program, graph, file_names(model))
        makers = {name: set(node.input) for node in graph.node for name in node.output}
        for step in program.steps:
            if step.op == "QLinearConv":
                (made,) = step.output_names
                assert [step.inputs[1].name in makers[other] for other in found[made]] == [True]
