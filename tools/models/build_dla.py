"""Write the float ONNX file of a Deep Layer Aggregation network, from a checkpoint or from seeded weights.

python -m tools.models.build_dla dla46_c dla46_c.onnx --checkpoint dla46_c.pth
python -m tools.models.build_dla dla60x_c dla60x_c.onnx --seed 1 --pictures photographs --size 224 224
"""

from __future__ import annotations

from pathlib import Path

import click

from qdqnp.errors import QdqnpError
from qdqnp.inputs.pictures import list_pictures
from tools.models.calibration import spread, synthetic_pictures
from tools.models.checkpoints import Weights, read_checkpoint
from tools.models.dla import ARCHITECTURES, Architecture, count_parameters, describe
from tools.models.dla_onnx import build_model, check_size
from tools.models.dla_weights import classes_of, fit_checkpoint, seeded_weights
from tools.models.files import write_model


def checkpoint_weights(path: Path, architecture: Architecture, classes: int | None) -> Weights:
    """Read the weights of `architecture` from a file; `classes` is the file's own number unless given."""
    checkpoint = read_checkpoint(path)
    return fit_checkpoint(checkpoint, architecture, classes or classes_of(checkpoint))


@click.command()
@click.argument("network", type=click.Choice(sorted(ARCHITECTURES)))
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--checkpoint",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Trained weights: .npz, .safetensors or .pth.",
)
@click.option("--seed", type=click.IntRange(0), help="Without a checkpoint: the seed of the weights.  [default: 0]")
@click.option(
    "--pictures",
    type=click.Path(exists=True, path_type=Path),
    help="For seeded weights: a folder, or an .npz with x (uint8 NHWC), to calibrate on.  [default: made up]",
)
@click.option("--count", type=click.IntRange(1), default=16, show_default=True, help="How many of the pictures.")
@click.option("--size", type=int, nargs=2, default=(224, 224), show_default=True, help="Input height and width.")
@click.option("--classes", type=click.IntRange(1), help="[default: the checkpoint's, or 1000]")
@click.option("--dynamic-batch", is_flag=True, help="Leave the batch size open (N) instead of 1.")
@click.option("--fold", is_flag=True, help="Fold each BatchNormalization into its Conv.")
def main(
    network: str,
    output: Path,
    checkpoint: Path | None,
    seed: int | None,
    pictures: Path | None,
    count: int,
    size: tuple[int, int],
    classes: int | None,
    dynamic_batch: bool,
    fold: bool,
) -> None:
    """Write the float ONNX file of NETWORK to OUTPUT."""
    if checkpoint and (seed is not None or pictures):
        raise click.UsageError("--seed and --pictures are for weights that no --checkpoint gives.")
    architecture = ARCHITECTURES[network]
    try:
        check_size(size)
        if checkpoint:
            weights = checkpoint_weights(checkpoint, architecture, classes)
        else:
            source = list_pictures(pictures) if pictures else synthetic_pictures(count, size)
            weights = seeded_weights(architecture, classes or 1000, seed or 0, spread(source, count), size)
        write_model(output, build_model(architecture, weights, size, dynamic_batch, fold))
    except QdqnpError as error:
        raise click.ClickException(str(error)) from error
    parameters = count_parameters(describe(architecture, classes_of(weights)))
    click.echo(f"{output}: {network}, {parameters:,} parameters")


if __name__ == "__main__":
    main()
