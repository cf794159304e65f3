"""ONNX's node tests: a sample of them is run, and the table counts what became of each."""

from __future__ import annotations

import re
from pathlib import Path

import click
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import qdqnp
from qdqnp.errors import ModelError, Problem
from tools.verify import node_tests
from tools.verify.node_tests import FAIL, PASS, PEER, REFUSED, NodeTest, Outcome

pytest.importorskip("onnxruntime")

PAGE = (Path(__file__).parents[3] / "docs" / "operators.md").read_text(encoding="utf-8")


def relu_test(wanted: float, rtol: float = 1e-3) -> NodeTest:
    """A test of Relu on [[-1, 2]]."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", infos[:1], infos[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    x, y = (np.array([[low, 2]], np.float32) for low in (-1, wanted))
    return NodeTest("relu", model, {"x": x}, {"y": y}, rtol, 1e-7)


def test_every_fortieth_test_passes_or_is_refused() -> None:
    outcomes = [node_tests.outcome_of(test) for test in list(node_tests.node_tests())[::40]]
    assert [outcome for outcome in outcomes if outcome.verdict not in (PASS, REFUSED)] == []
    passed = [outcome for outcome in outcomes if outcome.verdict == PASS]
    assert passed
    assert sum(outcome.bitwise for outcome in passed) > 0
    assert all(outcome.reason for outcome in outcomes if outcome.verdict == REFUSED)


def test_what_passes() -> None:
    assert node_tests.outcome_of(relu_test(0)) == Outcome("relu", PASS, "", 1)
    assert node_tests.outcome_of(relu_test(1e-8)).verdict == PASS


def test_data_that_onnxruntime_contradicts_are_counted_apart() -> None:
    assert node_tests.outcome_of(relu_test(1)).verdict == PEER


def test_what_fails() -> None:
    test, found = relu_test(0), {"y": np.array([[0, 2]], np.float32)}
    other = {"y": np.nextafter(found["y"], np.float32(9))}
    assert node_tests.judged(test, found, {"y"}, found).verdict == PASS
    assert node_tests.judged(test, other, set(), found).verdict == PASS  # within the tolerance, and nothing promised
    assert node_tests.judged(test, other, {"y"}, found).verdict == FAIL
    wrong = {"y": np.array([[1, 2]], np.float32)}
    assert node_tests.judged(test, wrong, {"y"}, {}).verdict == FAIL
    assert node_tests.judged(test, wrong, set(), found).verdict == FAIL
    assert node_tests.judged(test, wrong, set(), wrong).verdict == PEER  # ONNX Runtime is as near to it
    assert node_tests.judged(test, {"y": found["y"].astype(np.float64)}, set(), {}).verdict == FAIL
    assert node_tests.judged(test, {}, set(), {}).verdict == FAIL


def test_a_foreign_error_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qdqnp, "load", {}.__getitem__)
    assert node_tests.outcome_of(relu_test(0)).verdict == FAIL


def test_reasons_are_the_same_for_all_tests_of_one_kind() -> None:
    texts = ("node Sum(y), input 1 (axes) 'a'", "a constant", "a computed tensor")
    assert "its inputs" in node_tests.reason_of(ModelError("t", [Problem(*texts)]))
    assert node_tests.reason_of(ModelError("t", [Problem("operator If", "one", "1 node")])).startswith(
        "operators that are"
    )
    problem = Problem("node Pad(y), attribute 'mode'", "constant", "'edge'")
    assert node_tests.reason_of(ModelError("t", [problem])) == "attribute: expected constant, got"


def test_the_table_counts_every_test() -> None:
    outcomes = [
        Outcome("a", PASS, "", 2),
        Outcome("b", REFUSED, "no"),
        Outcome("c", REFUSED, "no"),
        Outcome("d", FAIL, "why"),
    ]
    text = node_tests.markdown(outcomes)
    assert "has 4 node tests. 1 pass as they are, 1 fail, 2 are refused" in text
    assert text.endswith("| 1 | why: `d` |\n| 2 | no: `b`, `c` |")


def test_only_what_stands_between_the_marks_changes() -> None:
    page = f"before\n{node_tests.BEGIN}\nold\n{node_tests.END}\nafter\n"
    assert node_tests.with_section(page, "new") == f"before\n{node_tests.BEGIN}\n\nnew\n\n{node_tests.END}\nafter\n"
    with pytest.raises(click.ClickException, match="no section"):
        node_tests.with_section("page", "new")


def test_the_page_adds_up() -> None:
    section = PAGE.partition(node_tests.BEGIN)[2].partition(node_tests.END)[0]
    counts = [int(count) for count in re.findall(r"\b(\d+) (?:node tests|pass|fail|are refused|ONNX)", section)]
    rows = [int(count) for count in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)]
    total, passed, failed, refused = counts[:4]
    others = re.search(r"in (\d+) ONNX Runtime contradicts", section)
    assert others is not None
    assert failed == 0
    assert total == passed + refused + int(others[1])
    assert sum(rows) == total - passed


def test_a_kernel_that_onnxruntime_lacks_at_an_opset_is_no_promise() -> None:
    """ReduceLogSum has a new version in opset 28, and onnxruntime 1.32 takes it apart."""
    if onnx.defs.onnx_opset_version() < 28:
        pytest.skip("this onnx does not know opset 28")
    for opset, exact in ((27, True), (28, False)):
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
        graph = helper.make_graph([helper.make_node("ReduceLogSum", ["x"], ["y"])], "g", [x], [y])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        assert qdqnp.load(model).plan("ort-unfused").promises["y"].exact == exact
