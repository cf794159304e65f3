"""The random graphs are equal to ONNX Runtime's, find a rewrite that is left out, and shrink."""

from __future__ import annotations

import onnx
import pytest
from click.testing import CliRunner

from qdqnp.ops.registry import supported
from tools.verify.random_graphs import Comparison, Genome, build, genome, listing, main, run, shrink

SEEDS = range(12)


def test_a_seed_is_a_graph() -> None:
    assert build(genome(5)) == build(genome(5))
    assert build(genome(5)) != build(genome(6))
    for seed in SEEDS:
        onnx.checker.check_model(build(genome(seed)))


# What quantized image networks are made of; other operators occur in the tables of cases alone.
DRAWN = """Add ArgMax AveragePool BatchNormalization Clip Concat Conv DepthToSpace DequantizeLinear Div Expand Flatten
    Gather Gemm GlobalAveragePool HardSigmoid HardSwish Identity LeakyRelu MatMul MaxPool Mul Neg Pad QuantizeLinear
    ReduceMax ReduceMean ReduceMin Relu Reshape Resize Sigmoid Slice Softmax SpaceToDepth Split Squeeze Sub Tile
    Transpose Unsqueeze"""


def test_which_operators_occur() -> None:
    found = {node.op_type for seed in range(400) for node in build(genome(seed)).graph.node}
    assert found == set(DRAWN.split())
    assert found <= set(supported())


def test_what_is_exported_today_occurs_where_it_is_asked_for() -> None:
    found = {node.op_type for seed in range(60) for node in build(genome(seed, "modern")).graph.node}
    assert found >= {"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "Cast", "Shape", "Where", "Min", "Log"}
    assert found <= set(supported())


@pytest.mark.parametrize("theme", ["modern", "dynamic", "transformers"])
def test_nothing_that_is_promised_differs_in_a_theme(theme: str) -> None:
    counts = run(Comparison("ort-x64", ()), range(8), 0, (), theme).counts
    assert not counts["wrong"] + counts["crash"] and counts["equal"] >= 4


@pytest.mark.parametrize("profile", ["ort", "ort-x64", "ort-unfused"])
def test_nothing_that_is_promised_differs(profile: str) -> None:
    counts = run(Comparison(profile, ()), SEEDS, 0, ()).counts
    assert not counts["wrong"] + counts["crash"] + counts["nodes"]
    assert counts["equal"] > len(SEEDS) // 2


def test_what_differs_is_shrunk_to_what_matters() -> None:
    """Without the folding of constants some of a few hundred graphs are wrong; what is left of one is small."""
    comparison = Comparison("ort", ("fold-constants",))

    def fails(given: Genome) -> bool:
        return comparison.judge(build(given), given.seed).kind == "wrong"

    wrong = next(given for given in map(genome, range(300)) if fails(given))
    small = shrink(wrong, fails)
    assert fails(small)
    assert len(small.genes) <= len(wrong.genes)
    assert not any(
        fails(Genome(small.seed, (*small.genes[:at], *small.genes[at + 1 :]))) for at in range(len(small.genes))
    )
    assert "opset" in listing(build(small))


def test_the_command() -> None:
    result = CliRunner().invoke(main, ["--count", "3"])
    assert result.exit_code == 0
    assert "ort: {" in result.output
