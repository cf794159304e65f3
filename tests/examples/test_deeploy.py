"""The example of Deeploy's folders: RequantShift against Python's integers, and a folder written, run and compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from examples import deeploy
from qdqnp.cli import cli

FILE = Path(deeploy.__file__)


def tensor(value: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.float32(value), "attribute")


def network(domain: str, levels: int, signed: int, shift: int, mul: np.ndarray, add: np.ndarray) -> onnx.ModelProto:
    """A convolution and a RequantShift, declared as float32, as Deeploy's exporters do."""
    weights = np.random.default_rng(5).integers(-128, 128, (4, 2, 3, 3)).astype(np.float32)
    attributes = {"div": tensor(2**shift), "n_levels_out": tensor(levels), "signed": tensor(signed)}
    nodes = [
        helper.make_node("Conv", ["input", "w"], ["sums"], "conv"),
        helper.make_node("RequantShift", ["sums", "mul", "add"], ["output"], "requant", domain=domain, **attributes),
    ]
    x, y = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("input", [1, 2, 8, 8]), ("output", None))
    )
    given = {"w": weights, "mul": mul, "add": add}
    constants = [numpy_helper.from_array(array, name) for name, array in given.items()]
    graph = helper.make_graph(nodes, "net", [x], [y], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=9)


def shifted(sums: np.ndarray, mul: np.ndarray, add: np.ndarray, shift: int, low: int, high: int) -> np.ndarray:
    """RequantShift_s8.c in Python's integers: int32 that wraps, half added before the shift."""
    found = []
    wide = [np.broadcast_to(array, sums.shape).reshape(-1).astype(np.int64).tolist() for array in (sums, mul, add)]
    for value, factor, bias in zip(*wide, strict=True):
        exact = (value * factor + bias + 2**31) % 2**32 - 2**31
        rounded = exact + (1 << (shift - 1)) if shift else exact
        found.append(min(max(rounded >> shift, low), high))
    return np.array(found).reshape(sums.shape)


@pytest.mark.parametrize(
    ("domain", "levels", "signed"), [("", 256, 1), ("PACTOps", 256, 0), ("ai.onnx.contrib", 16, 1)]
)
@pytest.mark.parametrize("shift", [0, 1, 8, 16])
def test_requant_shift_is_the_integers_arithmetic(domain: str, levels: int, signed: int, shift: int) -> None:
    rng = np.random.default_rng(shift)
    mul = rng.integers(1, 2 ** min(shift + 1, 12), (1, 4, 1, 1)).astype(np.float32)
    add = rng.integers(-(2**12), 2**12, (1, 4, 1, 1)).astype(np.float32)
    model = qdqnp.load(network(domain, levels, signed, shift, mul, add), operators=deeploy.OPERATORS)
    trace = model.trace(rng.integers(-128, 128, (1, 2, 8, 8)).astype(np.float32))
    low = -(levels // 2) if signed else 0
    assert np.array_equal(trace["output"], shifted(trace["sums"], mul, add, shift, low, low + levels - 1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    mul, add = np.float32([3, 5, 7, 9]).reshape(1, 4, 1, 1), np.float32([100, 0, -100, 7]).reshape(1, 4, 1, 1)
    onnx.save(network("", 256, 1, 8, mul, add), tmp_path / "net.onnx")
    x = np.random.default_rng(0).integers(-128, 128, (1, 2, 8, 8)).astype(np.float32)
    deeploy.write_folder(tmp_path / "test", tmp_path / "net.onnx", {"input": x})
    return tmp_path / "test"


def test_a_folder_is_written_and_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "activations.npz",
        "inputs.npz",
        "network.onnx",
        "outputs.npz",
    ]
    assert deeploy.main(folder) == 0
    assert capsys.readouterr().out == "output: 0 of 144 elements differ\n"
    with np.load(folder / "outputs.npz") as file:
        changed = {name: array.copy() for name, array in file.items()}
    changed["arr_0"].reshape(-1)[3] += 1
    np.savez(folder / "outputs.npz", **changed)
    assert deeploy.main(folder) == 1
    assert capsys.readouterr().out == "output: 1 of 144 elements differ\n"


def test_the_commands_take_a_folder(folder: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> str:
        result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.output

    given = {"input": np.load(folder / "inputs.npz")["arr_0"].astype(np.float32)}
    np.savez(tmp_path / "inputs.npz", **given)
    mine = ("--operators", FILE)
    run("golden", folder / "network.onnx", "--input", tmp_path / "inputs.npz", "--out", tmp_path / "set", *mine)
    deeploy.as_dump(folder, tmp_path / "dump.npz")
    assert "equal: 0 of 288 elements differ" in run("compare", tmp_path / "set", tmp_path / "dump.npz", *mine)
    said = run("explain", tmp_path / "set", "--layer", "requant", "--index", "0,0,0,0", *mine)
    assert "RequantShift" in said
