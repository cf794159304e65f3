"""Names from a model file reach the terminal as text: no escape sequences, no markup, no forged colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from qdqnp.cli import cli

NAMES = (
    "\x1b[31mred",
    "\x9b2J",
    "[bold]",
    "[/]",
    "[link=http://x]",
    "\r",
    "\x07",
    "\u202e",
    "a\nb",
    "n" * 4000,
    "\x00",
)


def saved(folder: Path, called: str, op: str = "Clip") -> Path:
    """Quantize, dequantize, and every name of the file is `called`, with a letter so that they differ."""
    names = [f"{letter}{called}"[:4000] for letter in "abcdefg"]
    x, q, d, y, scale, zero, size = names
    nodes = [
        helper.make_node("QuantizeLinear", [x, scale, zero], [q], name=f"1{called}"[:4000]),
        helper.make_node("DequantizeLinear", [q, scale, zero], [d], name=f"2{called}"[:4000]),
        helper.make_node(op, [d], [y], name=f"3{called}"[:4000]),
    ]
    tensors = [numpy_helper.from_array(np.float32(0.1), scale), numpy_helper.from_array(np.int8(0), zero)]
    graph = helper.make_graph(
        nodes,
        called,
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, size])],
        [helper.make_empty_tensor_value_info(y)],
        tensors,
    )
    path = folder / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def clean(result: Result) -> None:
    assert not isinstance(result.exception, Exception), result.exception
    assert all(char.isprintable() or char == "\n" for char in result.output)


@pytest.mark.parametrize("called", NAMES)
def test_inspect_and_run(tmp_path: Path, called: str) -> None:
    path = saved(tmp_path, called)
    np.save(tmp_path / "x.npy", np.ones((1, 3), np.float32))
    for words in (
        ["inspect", str(path)],
        ["run", str(path), "--input", str(tmp_path / "x.npy")],
        ["run", str(path), "--input", str(tmp_path / "x.npy"), "--codes"],
    ):
        result = CliRunner().invoke(cli, words)
        assert result.exit_code in (0, 2)
        clean(result)


@pytest.mark.parametrize("called", NAMES)
def test_errors(tmp_path: Path, called: str) -> None:
    (tmp_path / "unsupported").mkdir()
    unsupported = saved(tmp_path / "unsupported", called, op=f"Op{called}"[:4000])
    np.save(tmp_path / "x.npy", np.ones((1, 3, 4), np.float32))
    wrong_rank = ["run", str(saved(tmp_path, called)), "--input", str(tmp_path / "x.npy")]
    for words in (["inspect", str(unsupported)], wrong_rank):
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == 2
        clean(result)
        assert len(result.output) < 20_000
