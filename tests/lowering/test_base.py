"""Lowering, Log, repeat and Edit."""

from __future__ import annotations

from qdqnp.graph import Graph
from qdqnp.lowering.base import Log, Lowering, Pass, repeat
from qdqnp.lowering.edit import Edit
from tests.lowering.convert import to_graph
from tests.lowering.models import Net


def chain(*ops: str) -> Graph:
    net = Net()
    name = net.input((3,))
    for op in ops:
        name = net.node(op, name)
    net.output(name)
    return to_graph(net.model())


def take_one_out(graph: Graph, log: Log) -> Graph:
    edit = Edit(graph)
    for node in edit.nodes():
        if node.op == "Identity":
            edit.replace(node)
            edit.redirect(node.outputs[0], node.input(0))
            return edit.done()
        log.refuse(node, "one", "it is no Identity")
    return edit.done()


def test_a_lowering_without_passes_leaves_the_graph_alone() -> None:
    graph = chain("Relu", "Tanh")
    lowered, refusals = Lowering("nothing").lower_graph(graph)
    assert lowered is graph
    assert refusals == ()


def test_passes_run_in_order_and_refusals_are_collected() -> None:
    lowering = Lowering("test", (Pass("one", take_one_out), Pass("one", take_one_out)))
    lowered, refusals = lowering.lower_graph(chain("Relu", "Identity", "Identity", "Tanh"))
    assert [node.op for node in lowered.nodes] == ["Relu", "Tanh"]
    assert [(found.node, found.pass_name) for found in refusals] == [("n_relu2", "one")]


def test_repeat_stops_at_the_fixed_point_and_at_the_limit() -> None:
    rounds: list[Graph] = []

    def run(graph: Graph, log: Log) -> Graph:
        rounds.append(graph)
        return take_one_out(graph, log)

    graph = chain("Identity", "Identity", "Identity", "Relu")
    assert len(repeat("all", (Pass("one", run),)).run(graph, Log()).nodes) == 1
    assert len(rounds) == 4
    assert len(repeat("two", (Pass("one", run),), rounds=2).run(graph, Log()).nodes) == 2


def test_a_pass_that_runs_once_runs_in_the_first_round_alone() -> None:
    graph = chain("Identity", "Identity", "Relu")
    assert len(repeat("all", (Pass("one", take_one_out, once=True),)).run(graph, Log()).nodes) == 2


def test_a_pass_about_an_operator_is_left_out_without_it() -> None:
    graph = chain("Identity", "Relu")
    assert Pass("one", take_one_out, about="Tanh").apply(graph, Log()) is graph
    assert len(Pass("one", take_one_out, about="Identity").apply(graph, Log()).nodes) == 1


def test_a_doubt_stays_with_what_replaces_its_node() -> None:
    edit = Edit(chain("Relu", "Tanh"))
    relu, tanh = edit.nodes()
    relu = edit.change(relu, doubt="who knows")
    edit.replace((relu, tanh), tanh.with_(inputs=relu.inputs))
    assert [node.doubt for node in edit.done().nodes] == ["who knows"]


def test_repeat_sees_that_passes_undo_each_other() -> None:
    def rename(old: str, new: str) -> Pass:
        def run(graph: Graph, log: Log) -> Graph:
            edit = Edit(graph)
            for node in edit.nodes():
                if node.op == old:
                    edit.change(node, op=new)
            return edit.done()

        return Pass(old, run)

    calls: list[int] = []
    count = Pass("count", lambda graph, log: (calls.append(0), graph)[1])
    repeat("there and back", (rename("Relu", "Tanh"), rename("Tanh", "Relu"), count)).run(chain("Relu"), Log())
    assert len(calls) == 1


def test_a_refusal_is_withdrawn_when_the_pass_changes_the_node_later() -> None:
    log, node = Log(), chain("Relu").nodes[0]
    log.refuse(node, "fuse", "not yet")
    log.settle(node, "fuse")
    assert log.refusals == ()


def test_edit_follows_a_node_through_its_changes() -> None:
    graph = chain("Relu", "Tanh", "Exp")
    edit = Edit(graph)
    relu, tanh, _ = graph.nodes
    edit.rename_output(relu, relu.outputs[0], "other")
    edit.redirect(relu.outputs[0], "other")
    edit.rewire(edit.now(tanh) or tanh, 0, graph.inputs[0])
    now = edit.now(tanh)
    assert now is not None and now.inputs == graph.inputs
    assert edit.now(relu) is edit.producer("other")
    assert not edit.uses("other")
    assert edit.done().nodes[1].inputs == graph.inputs


def test_an_unchanged_edit_gives_the_same_graph() -> None:
    graph = chain("Relu")
    assert Edit(graph).done() is graph
