"""Make the models of this project from their raw material: those that it ships, and those that verify it.

    python -m tools.models.make_models cifar10 SHARED              the files in qdqnp/data
    python -m tools.models.make_models imagenet PICTURES OUTPUT    224x224, seeded weights, every recipe
    python -m tools.models.make_models known OUTPUT                MobileNetV2, ResNet-50, a detector's neck: the same

SHARED holds `models/dla_cifar10/*.npz`, `images/cifar10_calibration.npz` and `images/cifar10_test.npz`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import numpy as np
import onnx
from numpy.typing import NDArray

from qdqnp.errors import Problems, QdqnpError
from qdqnp.inputs.pictures import Picture, list_pictures
from tools.models.build_dla import checkpoint_weights
from tools.models.calibration import Preparation, preparation, spread
from tools.models.dla import ARCHITECTURES
from tools.models.dla_onnx import build_model
from tools.models.dla_weights import seeded_weights
from tools.models.files import write_bytes, write_model, write_npz
from tools.models.known_nets import NETWORKS as KNOWN
from tools.models.make_zoo import batches
from tools.models.quantize import Recipe, prepared, preprocess, quantize

NETWORKS = ("dla46_c", "dla46x_c", "dla60x_c")
RECIPES = {
    "s8_pc": Recipe("int8", per_channel=True),
    "s8_pt": Recipe("int8", per_channel=False),
    "u8_pc": Recipe("uint8", per_channel=True),
    "u8_pt": Recipe("uint8", per_channel=False),
}
CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
PICTURES_PER_CLASS = 4
DATA = Path(__file__).parents[2] / "qdqnp" / "data"


def write_quantized(
    path: Path, model: onnx.ModelProto, pictures: Sequence[Picture], prepare: Preparation, recipe: Recipe
) -> None:
    """Quantize a preprocessed float model and write it to `path`."""
    write_model(path, quantize(model, prepared(pictures, prepare, model, path.name), recipe))
    click.echo(path.name)


def require_files(files: Iterable[Path]) -> None:
    """Raise one error for all of the files that do not exist."""
    problems = Problems()
    for file in files:
        if not file.is_file():
            problems.add(str(file), "a file", "nothing", "SHARED is the folder that has models/ and images/.")
    problems.raise_if_any("The raw material is incomplete", QdqnpError)


def first_of_each_class(y: NDArray[np.uint8], count: int) -> NDArray[np.intp]:
    """Return the positions of the first `count` pictures of each class, in ascending order; `y` is uint8
    (pictures,)."""
    return np.sort(np.concatenate([np.flatnonzero(y == label)[:count] for label in np.unique(y)]))


def write_test_pictures(path: Path, test_set: Path) -> None:
    """Write the first pictures of each class of the test set: x uint8 (40, 32, 32, 3), y uint8 (40,), classes (10,)."""
    with np.load(test_set, allow_pickle=False) as arrays:
        x, y = arrays["x"], arrays["y"]
    chosen = first_of_each_class(y, PICTURES_PER_CLASS)
    write_npz(path, {"x": x[chosen], "y": y[chosen], "classes": np.array(CIFAR10_CLASSES)})
    click.echo(path.name)


@click.group()
def main() -> None:
    """Make the models that this project ships or verifies itself with."""


@main.command()
@click.argument("shared", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), default=DATA, help="[default: qdqnp/data]")
def cifar10(shared: Path, output: Path) -> None:
    """Build and quantize the CIFAR-10 networks from the folder SHARED."""
    checkpoints = {network: shared / "models" / "dla_cifar10" / f"{network}.npz" for network in NETWORKS}
    calibration_file, test_file = (shared / "images" / f"cifar10_{part}.npz" for part in ("calibration", "test"))
    try:
        require_files([*checkpoints.values(), calibration_file, test_file])
        calibration = list_pictures(calibration_file)
        for network, checkpoint in checkpoints.items():
            architecture = ARCHITECTURES[network]
            weights = checkpoint_weights(checkpoint, architecture, len(CIFAR10_CLASSES))
            model = preprocess(build_model(architecture, weights, size=(32, 32)))
            if network == "dla46_c":
                write_model(output / f"{network}_float.onnx", model)
            write_quantized(output / f"{network}_int8.onnx", model, calibration, preparation(), Recipe())
        write_test_pictures(output / "cifar10_pictures.npz", test_file)
        write_bytes(output / "cifar10_classes.txt", "".join(f"{name}\n" for name in CIFAR10_CLASSES).encode())
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("pictures", type=click.Path(exists=True, path_type=Path))
@click.argument("output", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--count", type=click.IntRange(1), default=64, show_default=True, help="Pictures to calibrate on.")
def imagenet(pictures: Path, output: Path, seed: int, count: int) -> None:
    """Build the 224x224 networks with seeded weights and quantize them by every recipe, calibrated on PICTURES."""
    size = (224, 224)
    try:
        source = spread(list_pictures(pictures), count)
        for network in NETWORKS:
            architecture = ARCHITECTURES[network]
            weights = seeded_weights(architecture, 1000, seed, spread(source, 32), size)
            model = build_model(architecture, weights, size)
            write_model(output / f"{network}_float.onnx", model)
            model = preprocess(model)
            for name, recipe in RECIPES.items():
                path = output / f"{network}_{name}.onnx"
                write_quantized(path, model, source, preparation(crop=size), recipe)
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.argument("output", type=click.Path(file_okay=False, path_type=Path))
@click.option("--network", "networks", multiple=True, type=click.Choice(sorted(KNOWN)), help="[default: all]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def known(output: Path, networks: Sequence[str], seed: int) -> None:
    """Build networks of well-known architectures with seeded weights, calibrated on noise: int8 and uint8."""
    try:
        for network in networks or KNOWN:
            model = preprocess(KNOWN[network](seed))
            write_model(output / f"{network}_float.onnx", model)
            for name in ("s8_pc", "u8_pt"):
                path = output / f"{network}_{name}.onnx"
                write_model(path, quantize(model, batches(model, seed + 1), RECIPES[name]))
                click.echo(path.name)
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
