"""The DLA builder: known facts of the networks, both families of key names, seeded weights, bad checkpoints."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from qdqnp.errors import QdqnpError
from tools.models.build_dla import main
from tools.models.calibration import preparation, synthetic_pictures
from tools.models.checkpoints import CheckpointError, read_checkpoint
from tools.models.dla import ARCHITECTURES, count_parameters, describe, parameter_shapes, unused_projections
from tools.models.dla_onnx import build_model
from tools.models.dla_weights import fit_checkpoint, seeded_weights
from tools.models.quantize import preprocess

SIZE = (64, 64)
CLASSES = 10

# At 1,000 classes: trained parameters, and elements of the convolutions' weights. The paper rounds the former
# to 1.3, 1.1 and 1.3 million.
FACTS = {
    "dla46_c": (1_301_400, 1_292_336),
    "dla46x_c": (1_068_440, 1_056_560),
    "dla60x_c": (1_319_832, 1_304_368),
}
# What is left of them at 224x224 after onnxruntime's preprocessing, ReLU aside.
COUNTS = {
    "dla46_c": {"Conv": 49, "Add": 12, "Concat": 6},
    "dla46x_c": {"Conv": 49, "Add": 12, "Concat": 6},
    "dla60x_c": {"Conv": 63, "Add": 16, "Concat": 8},
}


def plain_weights(network: str, classes: int = CLASSES) -> dict[str, np.ndarray]:
    """Weights that need no calibration, for tests that only look at names and shapes."""
    random = np.random.default_rng(0)
    shapes = parameter_shapes(describe(ARCHITECTURES[network], classes))
    return {name: random.uniform(0.5, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def run(model: onnx.ModelProto, batch: np.ndarray) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": batch})[0]


@pytest.fixture(scope="module")
def batch() -> np.ndarray:
    """Float32 (8, 3, 64, 64)."""
    prepare = preparation()
    return np.concatenate([prepare(picture) for picture in synthetic_pictures(8, SIZE)])


@pytest.fixture(scope="module")
def seeded() -> dict[str, np.ndarray]:
    """The weights of dla46x_c from seed 0, calibrated on the pictures of `batch`."""
    pytest.importorskip("onnxruntime")
    return seeded_weights(ARCHITECTURES["dla46x_c"], CLASSES, 0, synthetic_pictures(8, SIZE), SIZE)


@pytest.mark.parametrize("network", FACTS)
def test_parameters_and_weight_bytes(network: str) -> None:
    layers = describe(ARCHITECTURES[network], classes=1000)
    kernels = [shape for shape in parameter_shapes(layers).values() if len(shape) == 4]
    assert (count_parameters(layers), sum(int(np.prod(shape)) for shape in kernels)) == FACTS[network]


def test_parameters_of_the_larger_networks() -> None:
    counts = [count_parameters(describe(ARCHITECTURES[name], 1000)) for name in ("dla34", "dla60")]
    assert counts == [15_742_104, 22_036_632]


@pytest.mark.parametrize("network", COUNTS)
def test_operators_after_preprocessing(network: str) -> None:
    pytest.importorskip("onnxruntime")
    model = build_model(ARCHITECTURES[network], plain_weights(network, classes=1000))
    assert Counter(node.op_type for node in model.graph.node)["MaxPool"] == 6
    counts = Counter(node.op_type for node in preprocess(model).graph.node)
    del counts["Relu"]
    assert counts == {**COUNTS[network], "MaxPool": 4, "GlobalAveragePool": 1, "Flatten": 1}


@pytest.mark.parametrize("network", ARCHITECTURES)
def test_every_network_is_a_valid_model_of_opset_17(network: str) -> None:
    model = build_model(ARCHITECTURES[network], plain_weights(network), SIZE)
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import] == [17]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in inferred.graph.value_info
    }
    assert shapes["global_pool"] == [1, ARCHITECTURES[network].channels[-1], 1, 1]


def test_folding_keeps_the_outputs(seeded: dict[str, np.ndarray], batch: np.ndarray) -> None:
    architecture = ARCHITECTURES["dla46x_c"]
    separate, folded = (
        run(build_model(architecture, seeded, SIZE, dynamic_batch=True, folded=fold), batch) for fold in (False, True)
    )
    np.testing.assert_allclose(folded, separate, rtol=1e-3, atol=1e-3)


def test_folded_model_has_no_batch_normalization() -> None:
    model = build_model(ARCHITECTURES["dla46_c"], plain_weights("dla46_c"), SIZE, folded=True)
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}


def test_batch_is_one_or_open(seeded: dict[str, np.ndarray]) -> None:
    for dynamic, expected in ((False, (1, "")), (True, (0, "N"))):
        model = build_model(ARCHITECTURES["dla46x_c"], seeded, SIZE, dynamic_batch=dynamic)
        for value in (*model.graph.input, *model.graph.output):
            dim = value.type.tensor_type.shape.dim[0]
            assert (dim.dim_value, dim.dim_param) == expected


def test_seeded_activations_live(seeded: dict[str, np.ndarray], batch: np.ndarray) -> None:
    model = build_model(ARCHITECTURES["dla46x_c"], seeded, SIZE, dynamic_batch=True)
    relus = [node.output[0] for node in model.graph.node if node.op_type == "Relu"]
    for name in relus:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    scores, *activations = session.run(None, {"input": batch})
    for name, values in zip(relus, activations, strict=True):
        assert 0.1 < (values > 0).mean() < 0.95, name
        assert (values.max((0, 2, 3)) > 0).mean() > 0.8, name
        assert 0.1 < values.std() < 10, name
    assert scores.std(axis=0).min() > 0.01


def test_statistics_are_those_of_the_pictures(seeded: dict[str, np.ndarray], batch: np.ndarray) -> None:
    """The first convolution by hand: every 7x7 window of the padded pictures times each kernel."""
    kernel = seeded["base_layer.0.weight"]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(batch, ((0, 0), (0, 0), (3, 3), (3, 3))), (7, 7), (2, 3))
    result = np.einsum("nchwij,ocij->ohwn", windows, kernel, optimize=True).reshape(16, -1)
    np.testing.assert_allclose(seeded["base_layer.1.running_mean"], result.mean(1), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(seeded["base_layer.1.running_var"], result.var(1), rtol=1e-3)


def test_seed_decides() -> None:
    pytest.importorskip("onnxruntime")
    pictures = synthetic_pictures(2, (32, 32))
    first, again, other = (
        seeded_weights(ARCHITECTURES["dla46_c"], CLASSES, seed, pictures, (32, 32))["fc.weight"] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def authors_checkpoint(network: str, weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The checkpoint as ucbdrive/dla would save it: with the projections that it never uses."""
    architecture = ARCHITECTURES[network]
    extra = {}
    for prefix in unused_projections(architecture):
        level = int(prefix[len("level")])
        inputs, outputs = architecture.channels[level - 1], architecture.channels[level]
        extra[f"{prefix}0.weight"] = np.ones((outputs, inputs, 1, 1), np.float32)
        extra |= {f"{prefix}1.{part}": np.ones(outputs, np.float32) for part in ("weight", "bias")}
        extra |= {f"{prefix}1.running_{part}": np.ones(outputs, np.float32) for part in ("mean", "var")}
    assert extra
    return weights | extra


def timm_checkpoint(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The checkpoint as timm would save it: with the batches that PyTorch counted."""
    norms = [name.removesuffix("running_mean") for name in weights if name.endswith("running_mean")]
    return weights | {f"{norm}num_batches_tracked": np.int64(7) for norm in norms}


@pytest.mark.parametrize("network", ["dla34", "dla46_c", "dla60x_c"])
def test_both_families_of_key_names_give_the_same_network(network: str, tmp_path: Path) -> None:
    weights = plain_weights(network)
    architecture = ARCHITECTURES[network]
    models = []
    for name, checkpoint in {
        "authors": authors_checkpoint(network, weights),
        "timm": timm_checkpoint(weights),
        "several GPUs": {f"module.{key}": value for key, value in weights.items()},
        "linear classifier": weights | {"fc.weight": weights["fc.weight"][:, :, 0, 0]},
    }.items():
        path = tmp_path / f"{name}.npz"
        np.savez(path, **checkpoint)
        fitted = fit_checkpoint(read_checkpoint(path), architecture, CLASSES)
        models.append(build_model(architecture, fitted, SIZE).SerializeToString())
    assert len(set(models)) == 1


def test_unused_projections_of_dla60x_c() -> None:
    prefixes = list(unused_projections(ARCHITECTURES["dla60x_c"]))
    assert prefixes == ["level4.project.", "level4.tree1.project."]


def test_safetensors(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    weights = plain_weights("dla46_c")
    safetensors.save_file(weights, tmp_path / "w.safetensors")
    fitted = fit_checkpoint(read_checkpoint(tmp_path / "w.safetensors"), ARCHITECTURES["dla46_c"], CLASSES)
    np.testing.assert_equal(fitted, weights)


def test_pth(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    weights = plain_weights("dla46_c")
    tensors = {name: torch.from_numpy(value) for name, value in timm_checkpoint(weights).items() if value.ndim}
    for file, contents, new_format in (("w.pth", tensors, True), ("w.pt", {"state_dict": tensors}, False)):
        torch.save(contents, tmp_path / file, _use_new_zipfile_serialization=new_format)
        fitted = fit_checkpoint(read_checkpoint(tmp_path / file), ARCHITECTURES["dla46_c"], CLASSES)
        np.testing.assert_equal(fitted, weights)


def test_a_wrong_checkpoint_lists_all_that_is_wrong() -> None:
    weights = plain_weights("dla46_c")
    del weights["level0.0.weight"], weights["level2.root.bn.bias"]
    weights["level5.tree3.conv1.weight"] = np.ones((2, 2, 1, 1), np.float32)
    weights["base_layer.0.weight"] = weights["base_layer.0.weight"][:, :, 1:6, 1:6]
    weights["level1.1.bias"] = weights["level1.1.bias"] * np.nan
    weights["level1.1.weight"] = weights["level1.1.weight"].astype(int)
    with pytest.raises(CheckpointError) as caught:
        fit_checkpoint(weights, ARCHITECTURES["dla46_c"], 1000)
    found = {problem.where: problem for problem in caught.value.problems}
    assert set(found) == {
        "level0.0.weight",
        "level2.root.bn.bias",
        "level5.tree3.conv1.weight",
        "base_layer.0.weight",
        "level1.1.bias",
        "level1.1.weight",
        "fc.weight",
        "fc.bias",
    }
    assert "missing" in found["level0.0.weight"].got
    assert "unexpected" in found["level5.tree3.conv1.weight"].got
    assert found["base_layer.0.weight"].expected == "shape (16, 3, 7, 7)"
    assert found["base_layer.0.weight"].got == "shape (16, 3, 5, 5)"
    assert "--classes" in found["fc.weight"].hint


def test_a_checkpoint_of_another_network_is_refused() -> None:
    with pytest.raises(CheckpointError, match="does not fit dla46_c"):
        fit_checkpoint(plain_weights("dla60x_c"), ARCHITECTURES["dla46_c"], CLASSES)


@pytest.mark.parametrize("name", ["w.npz", "w.safetensors", "w.pth", "w.bin"])
def test_a_damaged_checkpoint_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(CheckpointError, match=name):
        read_checkpoint(path)


@pytest.mark.parametrize(("length", "fits"), [(224, True), (31, True), (33, False), (48, False), (0, False)])
def test_input_size(length: int, fits: bool) -> None:
    weights = plain_weights("dla46_c")
    if fits:
        onnx.checker.check_model(build_model(ARCHITECTURES["dla46_c"], weights, (length, 32)), full_check=True)
    else:
        with pytest.raises(QdqnpError, match="multiple of 32"):
            build_model(ARCHITECTURES["dla46_c"], weights, (length, 32))


def test_command_line_with_a_checkpoint(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **plain_weights("dla46_c"))
    output = tmp_path / "m.onnx"
    arguments = ["dla46_c", output, "--checkpoint", tmp_path / "w.npz", "--size", 32, 64, "--fold"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert "1,046,970 parameters" in result.output
    dims = onnx.load(output).graph.input[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims] == [1, 3, 32, 64]
    assert str(tmp_path).encode() not in output.read_bytes()


def test_command_line_leaves_nothing_behind_on_an_error(tmp_path: Path) -> None:
    weights = plain_weights("dla46_c")
    del weights["fc.bias"]
    np.savez(tmp_path / "w.npz", **weights)
    output = tmp_path / "out" / "m.onnx"
    result = CliRunner().invoke(main, ["dla46_c", str(output), "--checkpoint", str(tmp_path / "w.npz")])
    assert result.exit_code == 1
    assert "fc.bias" in result.output
    assert not output.parent.exists()


def test_command_line_seeded_on_pictures(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    image = pytest.importorskip("PIL.Image")
    for index, picture in enumerate(synthetic_pictures(3, (40, 50))):
        image.fromarray(picture.pixels()).save(tmp_path / f"{index}.png")
    arguments = ["--seed", "3", "--pictures", str(tmp_path), "--count", "2", "--size", "32", "32", "--classes", "5"]
    outputs = [tmp_path / "a.onnx", tmp_path / "b.onnx"]
    for output in outputs:
        result = CliRunner().invoke(main, ["dla46_c", str(output), *arguments])
        assert result.exit_code == 0, result.output
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
