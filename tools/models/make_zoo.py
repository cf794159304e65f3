"""Make three small networks (see zoo_nets.py) and quantize each in every variant of ONNX Runtime's quantizer.

    python -m tools.models.make_zoo ZOO
    python -m tools.models.make_zoo ZOO --network mlp

Names say the variant: residual_qdq_u8s8_pc_rr_keep.onnx has uint8 activations and int8 weights, scales per channel,
a reduced range of weights, and Relu and Clip kept where the quantizer would drop them. For QOperator models with
scales per channel the quantizer makes the weights of Conv int8, whatever is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import click
import numpy as np
import onnx
from numpy.typing import NDArray

from tools.models.files import write_model
from tools.models.quantize import Recipe, preprocess, quantize
from tools.models.zoo_nets import NETWORKS

CALIBRATION = 8
TYPES = {"s8s8": ("int8", "int8"), "u8s8": ("uint8", "int8"), "u8u8": ("uint8", "uint8")}


def variants() -> dict[str, Recipe]:
    """Return every recipe by its short name; only the QDQ format can keep activations."""
    found: dict[str, Recipe] = {}
    for format_, kinds, per_channel, reduced in product(("qdq", "qoperator"), TYPES, (True, False), (False, True)):
        activations, weights = TYPES[kinds]
        recipe = Recipe(activations, per_channel, format_, weights, reduce_range=reduced)
        name = "_".join([format_, kinds, "pc" if per_channel else "pt"] + ["rr"] * reduced)
        found[name] = recipe
        if format_ == "qdq":
            found[f"{name}_keep"] = replace(recipe, keep_activations=True)
    return found


def batches(model: onnx.ModelProto, seed: int) -> Iterator[NDArray[np.float32]]:
    """Yield standard normal inputs of the model; a symbolic size is 1."""
    rng = np.random.default_rng(seed)
    shape = [dim.dim_value or 1 for dim in model.graph.input[0].type.tensor_type.shape.dim]
    for _ in range(CALIBRATION):
        yield rng.standard_normal(shape, dtype=np.float32)


def make_network(network: str, seed: int, recipes: Mapping[str, Recipe]) -> Iterator[tuple[str, onnx.ModelProto]]:
    """Yield the network's variants with their names."""
    model = preprocess(NETWORKS[network](seed))
    for name, recipe in recipes.items():
        yield f"{network}_{name}", quantize(model, batches(model, seed + 1), recipe)


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--network", "networks", multiple=True, type=click.Choice(sorted(NETWORKS)), help="[default: all]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def main(folder: Path, networks: tuple[str, ...], seed: int) -> None:
    """Write the models into FOLDER."""
    for network in networks or NETWORKS:
        for name, model in make_network(network, seed, variants()):
            write_model(folder / f"{name}.onnx", model)
            click.echo(name)


if __name__ == "__main__":
    main()
