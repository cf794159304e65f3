"""A pass that is left out is found by a random graph, and only where it had something to do."""

from __future__ import annotations

from click.testing import CliRunner

import qdqnp
from qdqnp.graph import Graph
from qdqnp.lowering.ort.levels import optimized
from tools.verify.graphs.genes import build, genome
from tools.verify.rewrite_table import main, passes, search, used


def described(graph: Graph) -> tuple[list[str], dict[str, bytes]]:
    """The nodes and constants of a graph as what can be compared."""
    nodes = [f"{node.op} {node.inputs} {node.outputs} {node.attributes}" for node in graph.nodes]
    constants = {name: value.const for name, value in graph.values.items() if value.const is not None}
    return nodes, {name: array.tobytes() for name, array in constants.items()}


def test_a_pass_that_changes_nothing_can_be_left_out() -> None:
    idle = 0
    for seed in range(6):
        graph = qdqnp.load(build(genome(seed)).SerializeToString()).graph
        changing, whole = used(True, graph), optimized("ort", True).lower_graph(graph)[0]
        for name in set(passes("ort")) - changing:
            idle += 1
            other = optimized("ort", True, (name,)).lower_graph(graph)[0]
            assert described(other) == described(whole), (seed, name)
        assert changing
    assert idle > 50


def test_the_first_graphs_show_some_passes_and_not_others() -> None:
    found, tried = search("ort", ["double-qdq", "fold-constants", "where-dummy"], 8, 600)
    assert tried == 8  # `where-dummy` was looked for until the end
    assert 0 <= found["double-qdq"].operators <= found["double-qdq"].wrong < 8
    assert 0 <= found["fold-constants"].operators <= found["fold-constants"].wrong < 8
    assert found["where-dummy"].wrong == found["where-dummy"].operators == -1


def test_the_command_prints_a_table() -> None:
    result = CliRunner().invoke(main, ["--count", "6", "--only", "double-qdq"])
    assert result.exit_code == 0, result.output
    assert "| `double-qdq` | DoubleQDQPairsRemover | 4 | 1 |" in result.output
