"""The quantizer: what its recipes produce, its pictures and preprocessing, its errors; and the shipped pictures."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from qdqnp.errors import InputError, ModelError
from qdqnp.inputs.pictures import Picture, list_pictures
from tools.models.calibration import preparation, spread, synthetic_pictures
from tools.models.dla import ARCHITECTURES, describe, parameter_shapes
from tools.models.dla_onnx import build_model
from tools.models.dla_weights import seeded_weights
from tools.models.files import write_bytes
from tools.models.make_models import first_of_each_class, write_test_pictures
from tools.models.make_models import main as make_models
from tools.models.quantize import Recipe, main, prepared, preprocess, quantize, read_float_model

pytest.importorskip("onnxruntime")

SIZE = (64, 64)
PICTURES = synthetic_pictures(8, SIZE)


@pytest.fixture(scope="module")
def float_model() -> onnx.ModelProto:
    """dla46x_c with seeded weights, 64x64, 10 classes."""
    architecture = ARCHITECTURES["dla46x_c"]
    return build_model(architecture, seeded_weights(architecture, 10, 0, PICTURES, SIZE), SIZE)


@pytest.fixture(scope="module")
def preprocessed(float_model: onnx.ModelProto) -> onnx.ModelProto:
    return preprocess(float_model)


def quantized(preprocessed: onnx.ModelProto, recipe: Recipe) -> onnx.ModelProto:
    return quantize(preprocessed, prepared(PICTURES, preparation(), preprocessed), recipe)


def initializers(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def activation_zero_points(model: onnx.ModelProto) -> set[np.dtype]:
    constants = initializers(model)
    return {constants[node.input[2]].dtype for node in model.graph.node if node.op_type == "QuantizeLinear"}


def test_default_recipe(preprocessed: onnx.ModelProto) -> None:
    model = quantized(preprocessed, Recipe())
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == 17
    counts = Counter(node.op_type for node in model.graph.node)
    expected = {"Conv": 49, "Add": 12, "Concat": 6, "MaxPool": 4, "GlobalAveragePool": 1, "Flatten": 1}
    assert {name: count for name, count in counts.items() if "Linear" not in name} == expected
    assert activation_zero_points(model) == {np.dtype(np.int8)}


def test_weights_are_int8_symmetric_per_channel(preprocessed: onnx.ModelProto) -> None:
    constants = initializers(quantized(preprocessed, Recipe()))
    kernels = {name: value for name, value in constants.items() if value.ndim == 4}
    shapes = parameter_shapes(describe(ARCHITECTURES["dla46x_c"], 10))
    assert sum(value.nbytes for value in kernels.values()) == sum(
        int(np.prod(shape)) for shape in shapes.values() if len(shape) == 4
    )
    for name, kernel in kernels.items():
        stem = name.removesuffix("_quantized")
        assert kernel.dtype == np.int8
        assert constants[f"{stem}_scale"].shape == (len(kernel),)
        assert not constants[f"{stem}_zero_point"].any()
        assert (np.abs(kernel.reshape(len(kernel), -1).astype(int)).max(1) == 127).mean() > 0.9


def test_per_tensor(preprocessed: onnx.ModelProto) -> None:
    constants = initializers(quantized(preprocessed, Recipe(per_channel=False)))
    stems = [name.removesuffix("_quantized") for name, value in constants.items() if value.ndim == 4]
    assert {constants[f"{stem}_scale"].size for stem in stems} == {1}


def test_uint8_activations(preprocessed: onnx.ModelProto) -> None:
    assert activation_zero_points(quantized(preprocessed, Recipe("uint8"))) == {np.dtype(np.uint8)}


def test_qoperator(preprocessed: onnx.ModelProto) -> None:
    counts = Counter(node.op_type for node in quantized(preprocessed, Recipe(format="qoperator")).graph.node)
    assert (counts["QLinearConv"], counts["QLinearAdd"], counts["QLinearConcat"]) == (49, 12, 6)


def test_quantizing_twice_gives_the_same_bytes_and_keeps_the_float_model(preprocessed: onnx.ModelProto) -> None:
    before = preprocessed.SerializeToString(deterministic=True)
    first, second = (quantized(preprocessed, Recipe()).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    assert preprocessed.SerializeToString(deterministic=True) == before


def test_scores_stay_close(float_model: onnx.ModelProto, preprocessed: onnx.ModelProto) -> None:
    import onnxruntime

    scores = []
    for model in (float_model, quantized(preprocessed, Recipe())):
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        prepare = preparation()
        scores.append(np.array([session.run(None, {"input": prepare(picture)})[0] for picture in PICTURES]))
    assert np.corrcoef(scores[0].ravel(), scores[1].ravel())[0, 1] > 0.9


def test_preprocessing() -> None:
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[1, 2] = (10, 20, 30)
    prepare = preparation(scale=0.5, mean=(1, 2, 3), std=(4, 5, 6), crop=(2, 2))
    batch = prepare(Picture("a picture", picture))
    assert (batch.dtype, batch.shape) == (np.float32, (1, 3, 2, 2))
    np.testing.assert_array_equal(batch[0, :, 0, 0], np.float32([4 / 4, 8 / 5, 12 / 6]))
    np.testing.assert_array_equal(batch[0, :, 1, 1], np.float32([-1 / 4, -2 / 5, -3 / 6]))


def test_resize_brings_the_shorter_side_to_the_length() -> None:
    pytest.importorskip("PIL")
    assert preparation(resize=8)(Picture("a picture", np.zeros((16, 32, 3), np.uint8))).shape == (1, 3, 8, 16)


def test_crop_larger_than_the_picture() -> None:
    with pytest.raises(InputError, match="at least the 8x8"):
        preparation(crop=(8, 8))(Picture("a picture", np.zeros((4, 16, 3), np.uint8)))


def test_folder_of_pictures_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name, grey in (("b.png", 2), ("a.png", 1), ("c.png", 3)):
        image.new("L", (5, 4), grey).save(tmp_path / name)
    (tmp_path / "labels.csv").write_text("not a picture")
    pictures = list_pictures(tmp_path)
    assert [(picture.pixels().shape, picture.pixels()[0, 0, 0]) for picture in pictures] == [
        ((4, 5, 3), 1),
        ((4, 5, 3), 2),
        ((4, 5, 3), 3),
    ]
    assert [picture.pixels()[0, 0, 0] for picture in spread(pictures, 2)] == [1, 3]


@pytest.mark.parametrize(
    "arrays", [{"y": np.zeros(3, np.uint8)}, {"x": np.zeros((3, 4, 4, 3))}, {"x": np.zeros((0, 4, 4, 3), np.uint8)}]
)
def test_npz_without_pictures(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", **arrays)
    with pytest.raises(InputError, match=r"p\.npz.*uint8"):
        list_pictures(tmp_path / "p.npz")


def test_folder_without_pictures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none"):
        list_pictures(tmp_path)


def test_damaged_picture_is_named(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    (tmp_path / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(InputError, match=r"bad\.png"):
        preparation()(list_pictures(tmp_path)[0])


def test_pictures_of_the_wrong_size(float_model: onnx.ModelProto) -> None:
    with pytest.raises(InputError, match="expected 64x64") as caught:
        list(prepared(synthetic_pictures(1, (40, 32)), preparation(), float_model))
    assert "--crop" in caught.value.problems[0].hint


def small_model(opset: int = 17, channels: int = 3, op: str = "Relu") -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, channels, 4, 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, channels, 4, 4])]
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "g", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_operatorsetid("", opset)], ir_version=8)


def test_all_that_is_wrong_with_a_model_is_listed(tmp_path: Path) -> None:
    onnx.save(small_model(opset=11, channels=1), tmp_path / "m.onnx")
    with pytest.raises(ModelError) as caught:
        read_float_model(tmp_path / "m.onnx")
    assert [problem.got for problem in caught.value.problems] == ["(1, 1, 4, 4)", "opset 11"]


def test_damaged_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"m\.onnx"):
        read_float_model(tmp_path / "m.onnx")


def test_command_line(float_model: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(float_model, tmp_path / "float.onnx")
    np.savez(tmp_path / "p.npz", x=np.stack([picture.pixels() for picture in PICTURES]))
    output = tmp_path / "int8.onnx"
    arguments = [str(tmp_path / "float.onnx"), str(output), "--pictures", str(tmp_path / "p.npz"), "--count", "3"]
    result = CliRunner().invoke(main, [*arguments, "--activations", "uint8", "--per-tensor"])
    assert result.exit_code == 0, result.output
    assert "3 pictures" in result.output
    model = onnx.load(output)
    assert activation_zero_points(model) == {np.dtype(np.uint8)}
    # Nothing in the file may tell where it was made.
    assert not re.search(rb"/(tmp|home|root|work|private|var)/", output.read_bytes())

    result = CliRunner().invoke(main, [str(output), *arguments[1:]])
    assert result.exit_code == 1
    assert "already quantized" in result.output


def test_test_pictures_are_the_first_of_each_class(tmp_path: Path) -> None:
    y = np.tile(np.arange(10, dtype=np.uint8), 6)[::-1]
    x = np.arange(60, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "test.npz", x=x, y=y)
    files = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for file in files:
        write_test_pictures(file, tmp_path / "test.npz")
    assert files[0].read_bytes() == files[1].read_bytes()
    with np.load(files[0]) as arrays:
        assert (arrays["x"].shape, arrays["x"].dtype, arrays["y"].dtype) == ((40, 32, 32, 3), np.uint8, np.uint8)
        np.testing.assert_array_equal(arrays["x"][:, 0, 0, 0], first_of_each_class(y, 4))
        np.testing.assert_array_equal(np.bincount(arrays["y"]), [4] * 10)
        assert arrays["classes"][[0, 9]].tolist() == ["airplane", "truck"]


def test_missing_raw_material_is_listed(tmp_path: Path) -> None:
    result = CliRunner().invoke(make_models, ["cifar10", str(tmp_path), "--output", str(tmp_path / "out")])
    assert result.exit_code == 1
    assert result.output.count(".npz: expected a file") == 5
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def interrupt(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
