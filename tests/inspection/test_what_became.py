"""What a lowering made of each node, in a sentence."""

from __future__ import annotations

from collections import Counter

import qdqnp
from qdqnp.inspection.what_became import counts, fates
from tests.networks import dla

MODEL = qdqnp.load(dla(seed=2))


def fate_of(lowering: str) -> dict[str, str]:
    return {fate.node: fate.became for fate in fates(MODEL.graph, MODEL.program(lowering=lowering))}


def test_every_node_has_a_fate_in_the_files_order() -> None:
    for lowering in ("ort", "ort-x64", "ort-unfused"):
        program = MODEL.program(lowering=lowering)
        found = fates(MODEL.graph, program)
        assert [fate.node for fate in found] == [node.label for node in MODEL.graph.nodes]
        assert [fate.op for fate in found] == [node.op for node in MODEL.graph.nodes]
        assert counts(program) == Counter(step.op for step in program.steps)


def test_fully_fused() -> None:
    found = fate_of("ort")
    ops = {node.label: node.op for node in MODEL.graph.nodes}
    assert {found[label] for label, op in ops.items() if op == "Conv"} == {"becomes QLinearConv"}
    assert {found[label] for label, op in ops.items() if op == "Add"} == {"becomes QLinearAdd"}
    pools = [found[label] for label, op in ops.items() if op == "MaxPool"]
    assert pools and set(pools) == {"runs on codes"}
    assert all(found[label].startswith(("part of ", "stays")) for label, op in ops.items() if "Linear" in op)


def test_the_guard_that_refused_is_named() -> None:
    found = fate_of("ort-x64")
    adds = [found[node.label] for node in MODEL.graph.nodes if node.op == "Add"]
    assert adds and all(text.startswith("stays float: its codes differ in type (") for text in adds)
    kept = [text for text in found.values() if "so they stay int8" in text]
    assert kept and all(text.startswith(("stays: its int8 codes are read ", "part of ")) for text in kept)
    assert any("its int8 codes as uint8" in text for text in found.values())


def test_nothing_fuses_without_optimization() -> None:
    found = fate_of("ort-unfused")
    convs = {found[node.label] for node in MODEL.graph.nodes if node.op == "Conv"}
    assert convs == {"stays float: no integer operator is made of it"}


def test_what_is_gone_says_so() -> None:
    proto = dla(seed=2)
    proto.graph.node[0].input[0] = "before"
    proto.graph.input[0].name = "raw"
    proto.graph.node.insert(
        0, type(proto.graph.node[0])(op_type="Identity", input=["raw"], output=["before"], name="id")
    )
    model = qdqnp.load(proto)
    (first, *_) = fates(model.graph, model.program())
    assert first.became.startswith("gone: ")
