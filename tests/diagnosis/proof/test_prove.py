"""Claims about networks: never weaker than what inputs show, and silent where nothing is proven."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import qdqnp
from qdqnp.diagnosis.diff import diff
from qdqnp.diagnosis.proof import pair as proof_pair
from qdqnp.diagnosis.proof.claim import NOT_PROVEN
from qdqnp.diagnosis.proof.prove import prove
from qdqnp.diagnosis.proof.report import ProofReport
from qdqnp.errors import InputError, QdqnpError
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.model import Model
from qdqnp.numerics.profile_toml import from_toml, profile_from
from qdqnp.numerics.profiles import profile_named
from tests.networks import dla
from tests.ops.case import one_node
from tests.stimuli.layers import F, conv, gemm

PROFILES = ("ort", "tflite", "cmsis-nn-single", "neural-art", "neural-art-1.1.1")


@pytest.fixture(scope="module")
def model() -> Model:
    return qdqnp.load(dla(seed=1))


@pytest.fixture(scope="module")
def report(model: Model) -> ProofReport:
    return prove(model, [(name, profile_named(name)) for name in PROFILES])


def test_no_claim_is_weaker_than_what_inputs_show(model: Model, report: ProofReport) -> None:
    """Random inputs through both networks: of each layer alone, and of what differences become on the way."""
    pairs = [(name, profile_named(name)) for name in PROFILES]
    shown = diff(model, pairs, random_feeds(model.program(), 40, seed=0))
    seen = 0
    for row, proven in zip(shown.rows, report.rows, strict=True):
        assert row.name == proven.name
        for cell, claim, bound in zip(row.cells[1:], proven.claims, proven.bounds, strict=True):
            assert claim.verdict != NOT_PROVEN, row.label
            if row.dtype == "int8":
                assert cell.single.largest <= claim.largest
                assert bound is not None and cell.entire.largest <= bound <= 255
            else:
                assert bound is None or bound == cell.entire.largest == 0
            seen += cell.single.differing
    assert seen > 100
    for name, bounds in report.outputs.items():
        (last,) = [row for row in shown.rows if row.name == name]
        for bound, cell in zip(bounds, last.cells[1:], strict=True):
            assert bound.real is not None and cell.entire.largest <= bound.real


def test_claims_count_layers_and_sums(report: ProofReport) -> None:
    for index in range(1, len(PROFILES)):
        total = report.total(index)
        assert total.never + total.differs + total.not_proven == len(report.rows)
        assert 0 < total.differing < total.reachable
        claims = [row.claims[index - 1] for row in report.rows]
        assert total.largest == max(claim.largest or 0 for claim in claims)
        assert all((claim.witness is None) == (not claim.largest) for claim in claims)


def test_equal_arithmetic_is_proven_equal(model: Model) -> None:
    made = prove(model, {name: profile_named(name) for name in ("tflite", "cmsis-nn", "tflm")})
    assert {bound.lsb for bounds in made.outputs.values() for bound in bounds[:1]} == {0}
    assert made.rows[0].claims[0].counted == ""


def test_a_planted_difference_is_found_where_it_is(model: Model) -> None:
    """Only sums of the additions differ; the bound is 0 up to the first of them."""
    floor = from_toml('base = "tflite"\nname = "floor"\n[add]\nkind = "aligned-add"\ntie = "floor"', "mine")
    made = prove(model, {"tflite": profile_named("tflite"), "floor": floor})
    differing = [row for row in made.rows if row.claims[0].largest]
    assert {row.op for row in differing} == {"QLinearAdd"}
    first = made.rows.index(differing[0])
    assert all(row.bounds[0] == 0 for row in made.rows[:first])
    assert made.rows[first].bounds[0] == differing[0].claims[0].largest


def test_bounds_carry_what_a_layer_adds() -> None:
    """Two layers whose arithmetic is one that differs by at most 1: y = x / 2, then 3 y; the second may differ by 2."""
    nodes = [conv(np.full((1, 1, 1, 1), w), (1, 1, 1, 1), (1.0, [s], 1.0)) for w, s in ((1, 0.5), (3, 1.0))]
    first, second = (node.graph.node[0] for node in nodes)
    first.output[0], second.input[0], second.name = "middle", "middle", "second"
    for index in range(1, 8):
        second.input[index] += "_2"
    graph = nodes[0].graph
    for initializer in nodes[1].graph.initializer:
        initializer.name += "_2"
        graph.initializer.append(initializer)
    graph.node.append(second)
    network = qdqnp.load(nodes[0])
    half_even = from_toml('base = "neural-art"\nname = "even"\n[conv]\ntie = "half-even"', "mine")
    made = prove(network, {"up": profile_named("neural-art"), "even": half_even})
    assert [(row.claims[0].largest, row.bounds[0]) for row in made.rows] == [(1, 1), (0, 3)]
    codes = np.arange(-128, 128).astype(np.int8)
    both = [
        [int(network.run(np.full((1, 1, 1, 1), c, np.int8), profile=p)["y"].item()) for c in codes]
        for p in ("neural-art", half_even)
    ]
    assert np.abs(np.subtract(*both)).max() == 3


def reasons(model: onnx.ModelProto, *profiles: str) -> set[str]:
    made = prove(qdqnp.load(model), [(text, profile_from(text)) for text in profiles])
    return {claim.reason for row in made.rows for claim in row.claims}


def average() -> onnx.ModelProto:
    arguments = [("x", np.zeros((1, 1, 2, 2), np.int8)), ("xs", F(0.1)), ("xz", np.int8(3)), ("ys", F(0.1))]
    kind = {"domain": "com.microsoft", "kernel_shape": [1, 2]}
    return one_node("QLinearAveragePool", [*arguments, ("yz", np.int8(3))], **kind).model


def computed_weights() -> onnx.ModelProto:
    arguments = [("a", np.zeros((2, 3), np.int8)), ("as", F(0.1)), ("az", np.int8(3))]
    arguments += [
        ("b", np.zeros((3, 2), np.int8)),
        ("bs", F(0.1)),
        ("bz", np.int8(3)),
        ("ys", F(0.1)),
        ("yz", np.int8(3)),
    ]
    return one_node("QLinearMatMul", arguments, ["a", "b"]).model


def softmax() -> onnx.ModelProto:
    arguments = [("x", np.zeros((1, 4), np.int8)), ("xs", F(0.1)), ("xz", np.int8(3)), ("ys", F(1 / 256))]
    kind = {"domain": "com.microsoft", "axis": 1, "opset_": 13}
    return one_node("QLinearSoftmax", [*arguments, ("yz", np.int8(-128))], **kind).model


def test_what_is_not_proven_says_why() -> None:
    assert any("in float32, where the order matters" in text for text in reasons(average(), "ort", "tflite"))
    assert any("computed tensor" in text for text in reasons(computed_weights(), "ort", "tflite"))
    pairs = conv(np.full((1, 4, 1, 1), 127), (1, 4, 1, 1), (0.1, [0.1], 0.1), dtype=np.uint8)
    assert any("saturate in pairs" in text for text in reasons(pairs, "ort", "ort-avx2"))
    small = conv(np.full((1, 4, 1, 1), 3), (1, 4, 1, 1), (0.1, [0.1], 0.1), dtype=np.uint8)
    assert reasons(small, "ort", "ort-avx2") == {""}  # no pair of these weights can saturate
    assert any("of a whole row" in text for text in reasons(softmax(), "ort", "tflite"))
    rows = gemm(np.full((2, 3), 5), 2, (0.1, [0.1, 0.1], 0.1), bias=np.arange(4).reshape(2, 2))
    assert any("one value per channel" in text for text in reasons(rows, "ort", "exact"))


def test_sums_that_wrap_are_tried_one_by_one() -> None:
    """An accumulator that wraps makes a rule that does not rise: no bisection finds its steps."""
    wraps = from_toml('base = "neural-art"\nname = "wraps"\n[conv]\naccumulator = "wrap-24"', "mine")
    weights = np.full((1, 600, 1, 1), 127)
    network = qdqnp.load(conv(weights, (1, 600, 1, 1), (0.001, [0.001], 0.05)))
    (row,) = prove(network, {"exact": profile_named("neural-art"), "wraps": wraps}).rows
    claim = row.claims[0]
    assert claim.witness is not None and claim.witness.total is not None and claim.largest
    assert abs(claim.witness.total) >= 2**23  # 600 * 127 * 128 is 9,753,600
    assert claim.reachable == 600 * 255 + 1
    assert claim.differing == sum(not -(2**23) <= 127 * n < 2**23 for n in range(-128 * 600, 127 * 600 + 1))


def test_a_witness_that_does_not_hold_is_an_error(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proof that the run contradicts is no proof: nothing is reported."""
    real = proof_pair.StepPair._run
    monkeypatch.setattr(proof_pair.StepPair, "_run", lambda self, bound, given: real(self, self.first, given))
    with pytest.raises(QdqnpError, match="contradicts itself"):
        prove(model, {name: profile_named(name) for name in ("ort", "tflite")})


def test_shapes_that_do_not_fit_are_refused(model: Model) -> None:
    pair = {name: profile_named(name) for name in ("ort", "tflite")}
    with pytest.raises(InputError, match="shapes that do not fit"):
        prove(model, pair, {"input": (1, 3, 8, 8)})


def test_lowerings_are_paired_by_tensor(model: Model) -> None:
    """A default x86-64 session makes uint8 of int8 codes: the same sums, codes 128 apart."""
    made = prove(model, {name: profile_named(name) for name in ("ort", "ort-x64", "tflite")})
    proven = [row for row in made.rows if row.op == "QLinearConv" and row.claims[0].largest is not None]
    assert all(row.claims[0].largest == 0 for row in proven)
    assert {row.claims[0].reason for row in made.rows if row.claims[0].reason}  # and what it leaves in float is not
