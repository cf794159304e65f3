"""`--operators FILE.py`: a file of the user's is run, for this command alone."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper

from qdqnp.cli import cli
from qdqnp.cli.python_files import operators_in
from qdqnp.errors import ModelError
from qdqnp.ops.given import given_operators

TEXT = """
from dataclasses import dataclass

@dataclass
class Settings:
    by: "int" = 2

class Half:
    op_domain = "com.example"

    def _run(self, x):
        return x / Settings().by

OPERATORS = [Half]
"""


def test_the_classes_of_the_list_are_returned(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TEXT)
    (tmp_path / "more.py").write_text(TEXT.replace("Half", "Third"))
    before = set(sys.modules)
    found = operators_in([tmp_path / "mine.py", tmp_path / "more.py"])
    assert [kind.__name__ for kind in found] == ["Half", "Third"]
    assert not {name for name in set(sys.modules) - before if name.startswith("qdqnp_operators")}


def test_classes_of_a_file_are_pickled_with_its_text(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TEXT)
    (operator,) = given_operators(operators_in([tmp_path / "mine.py"]))
    data = pickle.dumps(operator)
    (tmp_path / "mine.py").unlink()
    again = pickle.loads(data)
    assert (again.domain, again.op) == ("com.example", "Half") and again.kind is not operator.kind


@pytest.fixture
def network(tmp_path: Path) -> Path:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Half", ["x"], ["y"], "half", domain="com.example")], "g", [x], [y])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "net.onnx"
    )
    (tmp_path / "mine.py").write_text(TEXT)
    return tmp_path


def test_worker_processes_have_the_operators(network: Path) -> None:
    words = ["diff", str(network / "net.onnx"), "--operators", str(network / "mine.py"), "--random", "3", "--profiles"]
    runs = [CliRunner().invoke(cli, [*words, "ort,ort-unfused", "--json", "--workers", str(count)]) for count in (1, 2)]
    assert [run.exit_code for run in runs] == [0, 0] and runs[0].stdout == runs[1].stdout
    kept = CliRunner().invoke(cli, [*words, "ort,ort-unfused", "--results", str(network / "kept")])
    assert kept.exit_code == 2 and "results of such a job cannot be kept" in kept.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a list of classes, OPERATORS = \[\.\.\.\], got none"),
        ("OPERATORS = [3]", r"got \[3\]"),
        ("OPERATORS = 'Half'", "got 'Half'"),
        ("1 / 0", "ZeroDivisionError"),
        ("def", "SyntaxError"),
        ("raise SystemExit(0)", "SystemExit"),
    ],
)
def test_other_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ModelError, match=message):
        operators_in([tmp_path / "mine.py"])


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    for name in ("folder.py", "missing.py"):
        with pytest.raises(ModelError, match="expected a Python file, got"):
            operators_in([tmp_path / name])
