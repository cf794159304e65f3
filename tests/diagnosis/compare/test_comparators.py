"""Measures of the user's: what they get, where their numbers stand, and how their faults are told."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.cli import cli
from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.comparators import ComparedTensor, comparators_named, measured
from qdqnp.diagnosis.compare.compare import CompareOptions, compare
from qdqnp.diagnosis.compare.report import CompareReport
from qdqnp.diagnosis.dump import read_dump
from qdqnp.diagnosis.dump_writer import write_dump
from qdqnp.diagnosis.reference import reference_from
from qdqnp.errors import InputError
from qdqnp.golden_sets import write
from qdqnp.quant import Quant


def network() -> onnx.ModelProto:
    """x -> Q -> Transpose of the codes -> DQ -> y."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["a"], "q"),
        helper.make_node("Transpose", ["a"], ["b"], "move", perm=[1, 0]),
        helper.make_node("DequantizeLinear", ["b", "s", "z"], ["y"], "dq"),
    ]
    constants = [numpy_helper.from_array(np.asarray(v), n) for n, v in (("s", np.float32(0.5)), ("z", np.int8(3)))]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [2, 3]), ("y", None)))
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


INPUTS = [{"x": np.float32([[0, 1, 2], [3, 4, 5]]) + case} for case in range(2)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A golden set, and a dump in which one code of b is 2 too high in the second case."""
    write(tmp_path / "set", network(), INPUTS, 2)
    traces = [qdqnp.load(network()).trace(given) for given in INPUTS]
    b = [trace["b"].copy() for trace in traces]
    b[1][2, 1] += 2
    write_dump(tmp_path / "dump", {"a": [trace["a"] for trace in traces], "b": b})
    return tmp_path


def report_of(folder: Path, comparators: dict[str, Any]) -> CompareReport:
    reference = reference_from(folder / "set")
    aligned = align(read_dump(folder / "dump"), reference.targets, 2)
    return compare(reference, aligned, CompareOptions(partial=True, comparators=comparators))


def test_a_comparator_gets_every_case_in_real_values_and_in_codes(folder: Path) -> None:
    seen: dict[str, Any] = {}

    def look(tensor: ComparedTensor) -> float:
        seen[tensor.name] = (tensor, list(tensor), list(tensor.codes()))
        return 1.5

    report = report_of(folder, {"look": look})
    assert all(row.metrics["look"] == 1.5 and "cos" in row.metrics for row in report.rows)
    tensor, real, codes = seen["b"]
    assert (tensor.label, tensor.op, len(real)) == ("move", "Transpose", 2)
    for case, ((wanted, got), (wanted_codes, got_codes)) in enumerate(zip(real, codes, strict=True)):
        expected = INPUTS[case]["x"].T
        assert wanted.dtype == np.float32 and np.array_equal(wanted, expected)
        assert got[2, 1] - expected[2, 1] == (1.0 if case else 0.0)
        assert got_codes.dtype == np.int8 and int(got_codes[2, 1]) - int(wanted_codes[2, 1]) == 2 * case


def test_a_dump_that_begins_later_meets_the_reference_s_later_cases(folder: Path) -> None:
    made = qdqnp.load(network()).trace(INPUTS[1])
    write_dump(folder / "late", {"b": [made["b"]]})
    reference = reference_from(folder / "set", first=1)
    aligned = align(read_dump(folder / "late"), reference.targets, 1)
    options = CompareOptions(partial=True, comparators={"sum": lambda t: sum(float(np.abs(w - g).sum()) for w, g in t)})
    assert [row.metrics["sum"] for row in compare(reference, aligned, options, 1).rows] == [0.0]


def test_several_numbers_have_names(folder: Path) -> None:
    report = report_of(folder, {"ends": lambda tensor: {"low": np.int8(-1), "high": np.float32(np.inf)}})
    assert report.rows[0].metrics["ends.low"] == -1 and report.rows[0].metrics["ends.high"] == np.inf
    document = json.loads(json.dumps(report.as_json()["layers"][0]["metrics"]))
    assert document["ends.low"] == -1 and document["ends.high"] is None


@pytest.mark.parametrize(
    ("comparator", "message"),
    [
        (lambda tensor: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda tensor: "much", "str for 'mine'"),
        (lambda tensor: None, "NoneType for 'mine'"),
        (lambda tensor: {"a": [1]}, "list for 'mine.a'"),
        (lambda tensor: np.complex64(1), "complex64 for 'mine'"),
    ],
)
def test_a_fault_names_the_comparator_and_the_tensor(folder: Path, comparator: Any, message: str) -> None:
    with pytest.raises(InputError, match=rf"comparator 'mine', tensor 'a' of layer 'q': expected a number.*{message}"):
        report_of(folder, {"mine": comparator})


def test_scales_of_channels_are_applied_along_their_axis() -> None:
    quant = Quant(np.dtype(np.int8), np.float32([1, 10]), np.int8([0, 1]), axis=0)
    tensor = ComparedTensor("w", "", "", quant, [np.int8([[1, 2, 3], [3, 4, 5]])], [np.int8([[1, 2, 3], [3, 4, 6]])])
    ((wanted, got),) = list(tensor)
    assert wanted.tolist() == [[1, 2, 3], [20, 30, 40]] and got.tolist() == [[1, 2, 3], [20, 30, 50]]
    assert measured({"most": lambda t: max(float(np.abs(b - a).max()) for a, b in t)}, tensor) == {"most": 10}


def test_installed_packages_offer_comparators(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = folder / "site"
    (site / "mine-1.0.dist-info").mkdir(parents=True)
    (site / "mine-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    points = "[qdqnp.comparators]\nlargest = mine_measures:largest\ngone = mine_measures:gone\n"
    (site / "mine-1.0.dist-info" / "entry_points.txt").write_text(points)
    (site / "mine_measures.py").write_text(
        "import numpy as np\ndef largest(tensor):\n    return max(np.abs(g - w).max() for w, g in tensor)\n"
    )
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "mine_measures", raising=False)
    report = report_of(folder, comparators_named(["largest"]))
    assert [row.metrics["largest"] for row in report.rows if row.name == "b"] == [1.0]
    with pytest.raises(InputError, match=r"comparator 'larges': expected .*There are: largest"):
        comparators_named(["larges"])
    with pytest.raises(InputError, match=r"comparator 'gone' \(mine_measures:gone\).*AttributeError"):
        comparators_named(["gone"])


MINE = """
import numpy as np

def flips(tensor):
    return sum(int(np.count_nonzero(w != g)) for w, g in tensor.codes())

COMPARATORS = {"flips": flips}
"""


def test_the_command_shows_them_in_a_table_and_in_json(folder: Path) -> None:
    (folder / "mine.py").write_text(MINE)
    arguments = [
        "compare",
        str(folder / "set"),
        str(folder / "dump"),
        "--partial",
        "--comparator",
        str(folder / "mine.py"),
    ]
    shown = CliRunner().invoke(cli, arguments)
    assert shown.exit_code == 1
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert ["tensor", "layer", "flips"] in lines and ["b", "move", "1"] in lines and ["a", "q", "0"] in lines
    document = json.loads(CliRunner().invoke(cli, [*arguments, "--json"]).stdout)
    assert {row["name"]: row["metrics"]["flips"] for row in document["layers"]} == {"a": 0.0, "b": 1.0}
    (folder / "mine.py").write_text("COMPARATORS = [1]")
    refused = CliRunner().invoke(cli, arguments)
    assert refused.exit_code == 2 and "functions by name, COMPARATORS = {...}, got [1]" in refused.stderr
    (folder / "mine.py").write_text(MINE.replace("sum(", "1 / 0 + sum("))
    refused = CliRunner().invoke(cli, arguments)
    assert refused.exit_code == 2 and "comparator 'flips', tensor 'a' of layer 'q'" in refused.stderr
