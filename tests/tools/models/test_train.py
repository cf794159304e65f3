"""tools/models/train.py: the network in PyTorch is that of the ONNX file; training goes on where it was interrupted.

What needs torch is skipped where it is not installed (extra `train`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from qdqnp.errors import InputError
from qdqnp.inputs.pictures import Preprocessing
from qdqnp.model_card import model_card
from tools.models.build_dla import checkpoint_weights
from tools.models.build_dla import main as build_dla
from tools.models.calibration import IMAGENET_MEAN, IMAGENET_STD, preparation
from tools.models.checkpoints import read_checkpoint
from tools.models.dla import ARCHITECTURES, describe, parameter_shapes
from tools.models.dla_onnx import build_model
from tools.models.quantize import main as quantize
from tools.models.train import (
    STATE,
    WEIGHTS,
    TrainingPictures,
    TrainingSettings,
    batch_at,
    check_classes,
    import_torch,
    main,
    rate_at,
)
from tools.models.training_data import labelled_pictures


def write_pictures(path: Path, count: int = 24, classes: int = 3, side: int = 32) -> Path:
    """Pictures whose class shows: a bright channel for each."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % classes
    x = rng.integers(0, 120, (count, side, side, 3))
    x[np.arange(count), :, :, y % 3] += 120
    np.savez(path, x=x.astype(np.uint8), y=y.astype(np.uint8))
    return path


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit | click.ClickException):
        raise result.exception
    return result.exit_code, result.output


# -- without torch -----------------------------------------------------------------------------------------------------
def test_the_rate_rises_then_falls() -> None:
    settings = TrainingSettings("dla46_c", 10, 1000, (32, 32), 1000, 10, 0.1, 0, 0, 0)
    rates = [rate_at(settings, step) for step in range(1000)]
    assert max(rates) == pytest.approx(0.1) and rates.index(max(rates)) == 19
    assert rates[:20] == sorted(rates[:20]) and rates[20:] == sorted(rates[20:], reverse=True) and 0 < rates[-1] < 1e-5


def test_an_epoch_has_each_picture_once() -> None:
    settings = TrainingSettings("dla46_c", 10, 23, (32, 32), 1000, 5, 0.1, 0, 0, 3)
    first, second = ([i for step in range(4 * e, 4 * e + 4) for i in batch_at(settings, step)] for e in (0, 1))
    assert len(set(first)) == len(first) == 20 and len(set(second)) == 20 and first != second
    assert batch_at(settings, 6) == batch_at(settings, 6)


def test_a_picture_depends_on_seed_step_and_index_alone(tmp_path: Path) -> None:
    data = labelled_pictures(write_pictures(tmp_path / "p.npz"), (32, 32))
    one, other = TrainingPictures(data, 0), TrainingPictures(data, 1)
    (a, label), (b, _) = one[3, 5], one[3, 5]
    assert np.array_equal(a, b) and label == 2 and a.shape == (3, 32, 32) and a.dtype == np.float32
    assert not np.array_equal(a, one[4, 5][0]) and not np.array_equal(a, other[3, 5][0])


def test_testing_pictures_are_those_of_calibration(tmp_path: Path) -> None:
    data = labelled_pictures(write_pictures(tmp_path / "p.npz"), (32, 32))
    assert np.array_equal(data.testing(4)[None], preparation()(data.pictures[4]))


def test_folders_are_classes(tmp_path: Path) -> None:
    for name, count in (("b_dogs", 2), ("a_cats", 1)):
        (tmp_path / name).mkdir()
        for index in range(count):
            pixels = np.full((40, 50, 3), 10 * index, np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
    data = labelled_pictures(tmp_path, (32, 32))
    assert data.names == ("a_cats", "b_dogs") and data.classes.tolist() == [0, 1, 1]
    assert data.training(0, np.random.default_rng(0)).shape == data.testing(2).shape == (3, 32, 32)


def make_bad(folder: Path, kind: str) -> Path:
    path = folder / "bad.npz"
    x = np.zeros((4, 32, 32, 3), np.uint8)
    if kind == "no labels":
        np.savez(path, x=x)
    elif kind == "other labels":
        np.savez(path, x=x, y=np.zeros(3, np.int64))
    elif kind == "float labels":
        np.savez(path, x=x, y=np.zeros(4))
    elif kind == "negative labels":
        np.savez(path, x=x, y=np.array([0, -1, 0, 0]))
    elif kind == "no folder":
        path = folder
    else:
        (folder / "class").mkdir()
        path = folder
    return path


@pytest.mark.parametrize(
    "kind", ["no labels", "other labels", "float labels", "negative labels", "no folder", "empty folder"]
)
def test_bad_data_is_named(kind: str, tmp_path: Path) -> None:
    with pytest.raises(InputError):
        labelled_pictures(make_bad(tmp_path, kind), (32, 32))


def test_pictures_that_are_too_small_are_named(tmp_path: Path) -> None:
    data = labelled_pictures(write_pictures(tmp_path / "p.npz", side=20), (32, 32))
    data = type(data)(data.pictures, data.classes, data.names, (64, 64), whole=True)
    with pytest.raises(InputError, match="too small"):
        data.testing(0)


def test_classes_that_the_network_does_not_have(tmp_path: Path) -> None:
    data = labelled_pictures(write_pictures(tmp_path / "p.npz"), (32, 32))
    with pytest.raises(InputError, match="--classes"):
        check_classes(data, 2)


def test_without_torch_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(InputError, match=r"qdqnp\[train\]"):
        import_torch()
    code, output = run("dla46_c", write_pictures(tmp_path / "p.npz"), tmp_path / "run", "--size", 32, 32)
    assert code == 1 and "qdqnp[train]" in output and not (tmp_path / "run").exists()


# -- with torch --------------------------------------------------------------------------------------------------------
@pytest.fixture()
def torch() -> Any:
    return pytest.importorskip("torch", reason="torch is not installed (extra train)")


def drawn(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, NDArray[np.float32]]:
    rng, made = np.random.default_rng(seed), {}
    for name, shape in shapes.items():
        if name.endswith("running_var"):
            value = rng.uniform(0.5, 1.5, shape)
        else:
            value = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])) if len(shape) == 4 else 0.3, shape)
        made[name] = value.astype(np.float32)
    return made


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_the_network_is_that_of_the_onnx_file(name: str, torch: Any) -> None:
    from tools.models.dla_torch import DlaNetwork

    architecture = ARCHITECTURES[name]
    shapes = parameter_shapes(describe(architecture, 7))
    network = DlaNetwork(architecture, 7).eval()
    state = network.state_dict()
    assert {k: tuple(v.shape) for k, v in state.items() if not k.endswith(".num_batches_tracked")} == shapes
    weights = drawn(shapes, seed=1)
    network.load_state_dict({key: torch.from_numpy(array) for key, array in weights.items()}, strict=False)
    x = np.random.default_rng(2).normal(size=(2, 3, 32, 64)).astype(np.float32)
    with torch.no_grad():
        ours = network(torch.from_numpy(x)).numpy()
    model = build_model(architecture, weights, (32, 64), dynamic_batch=True)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"input": x})
    assert np.abs(ours - theirs).max() <= 1e-5 * np.abs(theirs).max()


def test_training_goes_on_where_it_was_interrupted(torch: Any, tmp_path: Path) -> None:
    """The same bits as without an interruption, and the same top-1."""
    torch.set_num_threads(1)
    pictures = write_pictures(tmp_path / "p.npz")
    words = ("--size", 32, 32, "--steps", 4, "--batch", 8, "--save-every", 2, "--rate", 0.05, "--test", pictures)
    code, output = run("dla46_c", pictures, tmp_path / "whole", *words)
    assert code == 0 and "step 4 of 4" in output
    stopped = _stop_after(torch, pictures, tmp_path / "parts", 2)
    assert stopped == 2
    code, again = run("dla46_c", pictures, tmp_path / "parts", *words)
    assert code == 0 and "step 2 of 4" not in again and "step 4 of 4" in again
    one, other = (read_checkpoint(tmp_path / name / WEIGHTS) for name in ("whole", "parts"))
    assert all(np.array_equal(one[name], other[name]) for name in one) and one.keys() == other.keys()
    assert output.splitlines()[-2] == again.splitlines()[-2]  # top-1
    same = read_checkpoint(tmp_path / "whole" / STATE)
    assert all(np.array_equal(one[name], same[name]) for name in one)
    checkpoint_weights(tmp_path / "whole" / WEIGHTS, ARCHITECTURES["dla46_c"], None)


def _stop_after(torch: Any, pictures: Path, folder: Path, steps: int) -> int:
    """Train as the command does, and stop, as a run that is killed after a save."""
    from tools.models.train import Training

    folder.mkdir()
    data = labelled_pictures(pictures, (32, 32))
    training = Training(TrainingSettings("dla46_c", 3, 24, (32, 32), 4, 8, 0.05, 5e-4, 0.1, 0), folder, "cpu")
    losses = list(training.run(data, 0, steps))
    training.save()
    return len(losses)


def test_it_learns(torch: Any, tmp_path: Path) -> None:
    from tools.models.train import Training

    torch.set_num_threads(1)
    data = labelled_pictures(write_pictures(tmp_path / "p.npz"), (32, 32))
    settings = TrainingSettings("dla46_c", 3, 24, (32, 32), 12, 24, 0.05, 0.0, 0.0, 0)
    losses = list(Training(settings, tmp_path, "cpu").run(data, 0, 12))
    assert len(losses) == 12 and np.mean(losses[-3:]) < 0.5 * losses[0]


def test_another_training_in_the_folder_is_refused(torch: Any, tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "p.npz")
    _stop_after(torch, pictures, tmp_path / "run", 1)
    code, output = run("dla46_c", pictures, tmp_path / "run", "--size", 32, 32, "--steps", 4, "--batch", 4)
    assert code == 1 and "batch: expected 8" in output and "rate: expected 0.05" in output
    (tmp_path / "run" / STATE).write_bytes(b"not a checkpoint")
    code, output = run("dla46_c", pictures, tmp_path / "run", "--size", 32, 32, "--steps", 4)
    assert code == 1 and "too few" in output
    code, output = run("dla46_c", pictures, tmp_path / "run", "--size", 32, 32, "--steps", 4, "--batch", 8)
    assert code == 1 and "cannot be read" in output


def test_a_training_that_diverges_is_an_error(torch: Any, tmp_path: Path) -> None:
    code, output = run(
        *("dla46_c", write_pictures(tmp_path / "p.npz"), tmp_path / "run", "--size", 32, 32, "--steps", 9),
        *("--batch", 8, "--rate", 1e30),
    )
    assert code == 1 and "diverged" in output


def test_a_batch_larger_than_the_pictures(torch: Any, tmp_path: Path) -> None:
    code, output = run("dla46_c", write_pictures(tmp_path / "p.npz"), tmp_path / "run", "--size", 32, 32)
    assert code == 1 and "too few pictures" in output


def test_from_pictures_to_a_card(torch: Any, tmp_path: Path) -> None:
    """The path of docs/card.md: train, build_dla, quantize, card."""
    torch.set_num_threads(1)
    pictures = write_pictures(tmp_path / "p.npz")
    run("dla46_c", pictures, tmp_path / "run", "--size", 32, 32, "--steps", 2, "--batch", 8)
    words = ["dla46_c", tmp_path / "f.onnx", "--checkpoint", tmp_path / "run" / WEIGHTS, "--size", 32, 32]
    built = CliRunner().invoke(build_dla, list(map(str, words)))
    quantized = CliRunner().invoke(
        quantize, [str(tmp_path / "f.onnx"), str(tmp_path / "q.onnx"), "--pictures", str(pictures)]
    )
    assert built.exit_code == quantized.exit_code == 0, built.output + quantized.output
    settings = Preprocessing(divisor=255.0, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    card = model_card(tmp_path / "q.onnx", data=pictures, preprocessing=settings, device="stm32n6")
    convs = [layer.conv for layer in describe(ARCHITECTURES["dla46_c"], 3) if layer.conv is not None]
    folded = sum(c.outputs * (c.inputs // c.groups * c.kernel**2 + 1) for c in convs)
    assert card.parameters == folded and card.accuracy is not None and card.accuracy.inputs == 24
