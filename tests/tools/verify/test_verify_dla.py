"""Verifying many models: what the table says, and that a difference is noticed."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper
from PIL import Image

from qdqnp import load
from qdqnp.errors import ModelError
from qdqnp.peers.ort.peer import OrtPeer
from qdqnp.quant import Array
from tests.networks import dla
from tools.models.calibration import synthetic_pictures
from tools.verify.verify_dla import main, quantized_models

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two quantized models of different sizes, a float one, and the folder `pictures` of five."""
    path = tmp_path_factory.mktemp("models")
    onnx.save(dla(size=16), path / "a.onnx")
    onnx.save(dla(seed=1, size=32, dtype=np.uint8, group=2), path / "b.onnx")
    onnx.save(relu([1, 3, 8, 8]), path / "float.onnx")
    (path / "pictures").mkdir()
    for index, picture in enumerate(synthetic_pictures(5, (40, 48))):
        Image.fromarray(picture.pixels()).save(path / "pictures" / f"{index}.png")
    return path


def relu(shape: list[int]) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def invoke(*options: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(each) for each in options])
    return result.exit_code, result.output


def test_table_of_a_folder(folder: Path, tmp_path: Path) -> None:
    files = ["--json", tmp_path / "r.json", "--markdown", tmp_path / "r.md"]
    code, output = invoke("--models", folder, "--pictures", folder / "pictures", "--count", 4, *files)
    assert code == 0, output
    markdown = (tmp_path / "r.md").read_text()
    assert markdown in output
    results = json.loads((tmp_path / "r.json").read_text())["results"]
    assert [result["model"] for result in results] == ["a.onnx", "b.onnx"]

    rows = [line.strip("| ").split(" | ") for line in markdown.splitlines()[2:]]
    for row, result in zip(rows, results, strict=True):
        codes = [layer["distinct_codes"] for layer in result["layers"] if layer["distinct_codes"]]
        program = load(folder / result["model"]).program()
        expected = ["ort", len(result["layers"]), result["elements"], 0, min(codes), f"{np.median(codes):g}", 4, 4]
        assert row == [result["model"], *map(str, expected)]
        assert len(result["layers"]) == len(program.steps)
        kind = {"a.onnx": "int8", "b.onnx": "uint8"}[row[0]]
        assert {layer["dtype"] for layer in result["layers"]} == {kind, "float32"}
        assert result["distinct_outputs"] == result["inputs"] == 4
        assert min(codes) > 1


def test_pictures_of_an_array(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", x=np.stack([picture.pixels() for picture in synthetic_pictures(3, (16, 16))]))
    code, output = invoke("--models", folder / "a.onnx", "--npz", tmp_path / "p.npz")
    assert code == 0, output
    assert output.count("| a.onnx |") == 1
    assert " | 3 | 3 |" in output


def test_a_planted_difference_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = OrtPeer.tensors
    name = next(step.output_names[0] for step in load(folder / "a.onnx").program().steps if "Conv" in step.op)

    def wrong(self: OrtPeer, feeds: dict[str, Array]) -> dict[str, Array]:
        found = tensors(self, feeds)
        if name in found and found[name].dtype == np.int8:
            found[name] = found[name].copy()
            found[name].reshape(-1)[7] ^= 1
        return found

    monkeypatch.setattr(OrtPeer, "tensors", wrong)
    code, output = invoke("--models", folder, "--pictures", folder / "pictures", "--count", 3)
    assert code == 1
    differing = {line.split(" | ")[0]: line.split(" | ")[4] for line in output.splitlines() if line.startswith("| ")}
    assert (differing["| a.onnx"], differing["| b.onnx"]) == ("3", "0")
    assert "a.onnx: NOT EQUAL: 3 of" in output
    assert name in output
    assert "b.onnx: NOT EQUAL" not in output


def test_a_folder_without_quantized_models(tmp_path: Path) -> None:
    onnx.save(relu([1, 3, 8, 8]), tmp_path / "float.onnx")
    with pytest.raises(ModelError, match=r"expected quantized \.onnx files"):
        quantized_models([tmp_path])
    assert quantized_models([tmp_path / "float.onnx"]) == [tmp_path / "float.onnx"]


def test_what_is_no_picture_model_is_named(folder: Path, tmp_path: Path) -> None:
    onnx.save(relu([1, 4, 8, 8]), tmp_path / "four.onnx")
    code, output = invoke("--models", tmp_path / "four.onnx", "--pictures", folder / "pictures")
    assert code == 1
    assert "four.onnx: expected one input of shape (batch, 3, height, width)" in output


def test_one_source_of_pictures(folder: Path) -> None:
    assert invoke("--models", folder)[0] == 2


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        quantized_models([tmp_path])
