"""Accuracy: what is counted, the open batch, and that a difference is noticed."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from qdqnp import load
from qdqnp.errors import InputError, ModelError
from qdqnp.inputs.pictures import Picture
from qdqnp.peers.ort.peer import OrtPeer
from qdqnp.quant import Array
from tools.models.calibration import preparation
from tools.verify import accuracy
from tools.verify.accuracy import (
    DATA,
    correct,
    differing_pictures,
    dynamic_batch,
    main,
    ort_scores,
    qdqnp_scores,
    read_labelled,
)

pytest.importorskip("onnxruntime")

PICTURES = DATA / "cifar10_pictures.npz"


@pytest.fixture(scope="module")
def int8() -> onnx.ModelProto:
    return onnx.load(DATA / "dla46_c_int8.onnx")


@pytest.fixture(scope="module")
def batch() -> Array:
    """Three pictures, float32 (3, 3, 32, 32)."""
    return next(read_labelled(PICTURES, limit=3).batches(3))[0]


def invoke(*options: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(each) for each in ("--pictures", PICTURES, *options)])
    return result.exit_code, result.output


def test_the_counts_are_those_of_single_runs(tmp_path: Path) -> None:
    files = ["--json", tmp_path / "r.json", "--markdown", tmp_path / "r.md"]
    code, output = invoke("--network", "dla46_c", "--limit", 7, "--batch", 3, *files)
    assert code == 0, output
    (result,) = json.loads((tmp_path / "r.json").read_text())["results"]

    model, prepare = load(DATA / "dla46_c_int8.onnx"), preparation()
    with np.load(PICTURES) as arrays:
        found = [model.run(prepare(Picture("a picture", picture)))["output"].argmax() for picture in arrays["x"][:7]]
        right = int(np.sum(found == arrays["y"][:7]))
    assert result["pictures"] == 7
    assert result["differing"] == 0
    assert result["qdqnp"] == result["ort_int8"] == right
    assert result["qdqnp_percent"] == 100 * right / 7
    assert 0 < result["ort_float"] <= 7
    assert (tmp_path / "r.md").read_text() in output
    assert f"| {right / 7:.2%} |".replace("%", "") in output


def test_every_shipped_network_runs_and_one_without_float_weights_has_no_number_for_them() -> None:
    code, output = invoke("--limit", 3)
    assert code == 0, output
    rows = [line.split(" | ") for line in output.splitlines() if line.startswith("| dla")]
    assert [row[0] for row in rows] == ["| dla46_c", "| dla46x_c", "| dla60x_c"]
    assert [row[2] == "-" for row in rows] == [False, True, True]


def test_a_float_model_may_be_given() -> None:
    code, output = invoke("--limit", 2, "--network", "dla46x_c", "--float", f"dla46x_c={DATA / 'dla46_c_float.onnx'}")
    assert code == 0, output
    assert " | - | " not in output
    assert invoke("--float", "dla46x_c=nowhere.onnx")[0] == 2


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    code, output = invoke("--limit", 2, "--network", "dla60x_c", "--checkpoints", tmp_path)
    assert code == 1
    assert "expected a checkpoint dla60x_c.npz" in output


def test_a_planted_difference_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = OrtPeer.outputs

    def wrong(self: OrtPeer, feeds: dict[str, Array]) -> dict[str, Array]:
        found = outputs(self, feeds)
        if len(found["output"]) == 4:  # a full batch, and not those of the check before
            found["output"][2, 5] += 1
        return found

    monkeypatch.setattr(OrtPeer, "outputs", wrong)
    code, output = invoke("--network", "dla46_c", "--limit", 8, "--batch", 4)
    assert code == 1
    assert "differ on 2 pictures; expected 0" in output


def test_a_batch_equals_its_pictures_one_at_a_time(int8: onnx.ModelProto, batch: Array) -> None:
    opened = dynamic_batch(int8)
    for single, together in (
        (qdqnp_scores(int8), qdqnp_scores(opened)),
        (ort_scores(int8, 1), ort_scores(opened, 1)),
    ):
        accuracy.require_same_batched(single, together, batch, "it")
        alone = np.concatenate([single(picture[None]) for picture in batch])
        np.testing.assert_array_equal(alone, together(batch))
        assert alone.shape == (3, 10)
        with pytest.raises(ModelError, match="it: expected the scores of single runs"):
            accuracy.require_same_batched(single, lambda x, run=together: run(x)[::-1], batch, "it")


def test_the_copy_leaves_the_model_alone(int8: onnx.ModelProto) -> None:
    before = int8.SerializeToString(deterministic=True)
    opened = dynamic_batch(int8)
    assert int8.SerializeToString(deterministic=True) == before
    for value in (*opened.graph.input, *opened.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        assert (first.dim_param, first.HasField("dim_value")) == ("N", False)


def test_pictures_that_differ_in_any_bit_count_once() -> None:
    left = np.zeros((4, 10), np.float32)
    right = left.copy()
    right[1, 2:5] = 1
    right[3, 0] = -0.0
    assert differing_pictures(left, left) == 0
    assert differing_pictures(left, right) == 2


def test_the_first_of_equal_scores_counts() -> None:
    scores = np.array([[0, 2, 2], [1, 0, 1]], np.float32)
    assert correct(scores, np.array([1, 2])) == 1


def test_pictures_need_labels(tmp_path: Path) -> None:
    x = np.zeros((2, 32, 32, 3), np.uint8)
    for name, arrays in {"none": {}, "short": {"y": np.zeros(1, int)}, "float": {"y": np.zeros(2)}}.items():
        np.savez(tmp_path / f"{name}.npz", x=x, **arrays)
        with pytest.raises(InputError, match="an array y of 2 integers"):
            read_labelled(tmp_path / f"{name}.npz", None)
