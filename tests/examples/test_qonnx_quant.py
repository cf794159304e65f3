"""The example of QONNX's Quant has the bits of the package qonnx."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from examples.qonnx_quant import OPERATORS, ROUNDINGS
from qdqnp.cli import cli

FILE = Path(__file__).parents[2] / "examples" / "qonnx_quant.py"


def model_of(op: str, scale: np.ndarray, zero: float, bits: int, **attributes: object) -> onnx.ModelProto:
    node = helper.make_node(op, ["x", "s", "z", "b"], ["y"], "quant", domain="qonnx.custom_op.general", **attributes)
    given = {"s": scale, "z": np.float32(zero), "b": np.float32(bits)}
    constants = [numpy_helper.from_array(np.asarray(array), name) for name, array in given.items()]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, 3, 50]) for name in "xy")
    graph = helper.make_graph([node], "quant", [x], [y], constants)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("qonnx.custom_op.general", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_it_has_the_bits_of_qonnx(rounding: str) -> None:
    theirs = pytest.importorskip("qonnx.custom_op.general.intquant")
    rng = np.random.default_rng(len(rounding))
    for draw in range(12):
        signed, narrow, bits = int(rng.integers(2)), int(rng.integers(2)), int(rng.integers(1, 10))
        scale = (rng.uniform(0.01, 1, (1, 3, 1)) if draw % 2 else rng.choice([0.25, 0.5], (1, 1, 1))).astype(np.float32)
        zero = float(rng.integers(-3, 4)) if draw % 3 else 0.0
        x = np.float32(rng.normal(0, 8, (4, 3, 50)) if draw % 2 else rng.integers(-64, 64, (4, 3, 50)) / 8)
        op = ("Quant", "IntQuant")[draw % 2]
        model = qdqnp.load(
            model_of(op, scale, zero, bits, signed=signed, narrow=narrow, rounding_mode=rounding), operators=OPERATORS
        )
        width = np.float32(bits)
        expected = theirs.int_quant(x, scale, np.float32(zero), width, signed, narrow, rounding)
        assert np.array_equal(model.run(x)["y"], expected)
        assert model.plan().promises["y"].exact


def test_the_command_line_takes_the_file(tmp_path: Path) -> None:
    onnx.save(model_of("Quant", np.float32(0.5).reshape(1, 1, 1), 0, 4), tmp_path / "net.onnx")
    refused = CliRunner().invoke(cli, ["inspect", str(tmp_path / "net.onnx")])
    assert refused.exit_code == 2 and "Quant" in refused.stderr
    shown = CliRunner().invoke(cli, ["inspect", str(tmp_path / "net.onnx"), "--operators", str(FILE)])
    assert shown.exit_code == 0 and "Quant" in shown.output


def test_a_file_without_operators_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("")
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "wrong.py").write_text("OPERATORS = ['Quant']")
    onnx.save(model_of("Quant", np.float32(0.5).reshape(1, 1, 1), 0, 4), tmp_path / "net.onnx")
    for name, message in (
        ("empty.py", "OPERATORS = [...], got none"),
        ("broken.py", "ZeroDivisionError"),
        ("wrong.py", "got ['Quant']"),
        ("net.onnx", "SyntaxError"),
        ("missing.py", "expected a Python file"),
    ):
        result = CliRunner().invoke(cli, ["inspect", str(tmp_path / "net.onnx"), "--operators", str(tmp_path / name)])
        assert result.exit_code == 2 and message in result.stderr, (name, result.stderr)
