"""ONNX names that would be paths, identifiers or comments, were they used as they are."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from qdqnp.errors import ModelError
from qdqnp.golden_sets import Options, read, write
from qdqnp.golden_sets.names import in_comment, slug, step_key
from tests.golden_sets.firmware import build

HOSTILE = [
    "../../x",
    "/etc/passwd",
    "C:\\x",
    "a b",
    "int",
    "main",
    "a.b",
    "a/b",
    "a_b",
    "A_B",
    "a?b",
    "*/ #error",
    "??/",
    "naïve 名前",
    "con",
    "nul.txt",
    "x" * 4000,
    "%s%n",
    "{case}",
    "{0}",
    '"',
    "\\",
    "\t",
    "-rf",
    "~",
    "$(x)",
    "case_00000",
    "manifest.json",
]


def chain(names: list[str]) -> onnx.ModelProto:
    """Relu-free quantized Adds in a row; nodes and tensors have these names."""
    constants = [
        numpy_helper.from_array(np.array(value, dtype), name)
        for name, value, dtype in (("s", 0.5, np.float32), ("z", 3, np.int8))
    ]
    nodes, last = [], "start"
    for name in names:
        nodes.append(
            helper.make_node(
                "QLinearAdd", [last, "s", "z", last, "s", "z", "s", "z"], [name], name, domain="com.microsoft"
            )
        )
        last = name
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("start", TensorProto.INT8, [1, 5])],
        [helper.make_tensor_value_info(last, TensorProto.INT8, [1, 5])],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def test_names_stay_in_the_manifest(tmp_path: Path) -> None:
    """Files keep to plain names inside the set, the C builds, and every tensor is found under its own name."""
    formats = ("npz", "npy", "bin", "c", "hex", "ihex", "c-crc")
    x = np.arange(5, dtype=np.int8).reshape(1, 5)
    write(tmp_path / "set", chain(HOSTILE), [{"start": x}], 1, profile="tflite", options=Options(formats=formats))
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    names = [path.name for path in (tmp_path / "set").rglob("*")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,120}", name) for name in names)
    files = [path.relative_to(tmp_path).as_posix().lower() for path in (tmp_path / "set").rglob("*")]
    assert len(set(files)) == len(files)
    found = read(tmp_path / "set")
    for name in HOSTILE:
        assert found.array(found.find(name, "output")).shape == (1, 5)
    if shutil.which("gcc"):
        unity = "".join(f'#include "{path.name}"\n' for path in (tmp_path / "set" / "c").glob("*.c"))
        (tmp_path / "all.c").write_text(unity, encoding="ascii")
        build([tmp_path / "all.c"], tmp_path / "main", f"-I{tmp_path / 'set' / 'c'}")


def test_names_too_long_to_read(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="4096"):
        write(tmp_path / "set", chain(["x" * 10_000]), [{"start": np.zeros((1, 5), np.int8)}], 1)
    assert list(tmp_path.iterdir()) == []


def test_nodes_of_one_name_are_two_layers(tmp_path: Path) -> None:
    model = chain(["one", "two"])
    for node in model.graph.node:
        node.name = "same"
    write(tmp_path / "set", model, [{"start": np.zeros((1, 5), np.int8)}], 1)
    found = read(tmp_path / "set")
    assert {t.index for t in found.tensors if t.layer == "same"} == {0, 1}
    assert found.find("one", "output").key != found.find("two", "output").key


def test_nodes_without_a_name(tmp_path: Path) -> None:
    model = chain(["one"])
    model.graph.node[0].name = ""
    write(tmp_path / "set", model, [{"start": np.zeros((1, 5), np.int8)}], 1)
    assert read(tmp_path / "set").find("one", "output").shape == (1, 5)


@given(st.text(), st.integers(0, 10**6))
def test_any_name_becomes_an_identifier(text: str, index: int) -> None:
    assert re.fullmatch(r"[A-Za-z0-9](_?[A-Za-z0-9])*", slug(text))
    key = step_key(index, text)
    assert re.fullmatch(r"[0-9]{3,}_[A-Za-z0-9_]+", key) and len(key) < 60


@given(st.text())
def test_any_name_may_stand_in_a_comment(text: str) -> None:
    shown = in_comment(text)
    assert re.fullmatch(r"[A-Za-z0-9_.:/ -]*", shown) and len(shown) <= 60


@pytest.mark.parametrize("text", ["", "//", "..", "名前"])
def test_names_of_which_nothing_is_left(text: str) -> None:
    assert slug(text) == "unnamed"
