"""`qdqnp golden`: write every layer's inputs, parameters, inner values and outputs as files for unit tests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from qdqnp.api.golden import golden
from qdqnp.api.storage import StorageOptions
from qdqnp.cli.engine import engine_options
from qdqnp.cli.inputs import Inputs, input_options
from qdqnp.cli.options import (
    ModelFile,
    force_option,
    format_option,
    host_float_option,
    layers_option,
    model_argument,
    out_option,
    profile_option,
)
from qdqnp.cli.storage import storage_options
from qdqnp.engine import Workplace
from qdqnp.golden_sets.options import HARNESSES, ROLES
from qdqnp.render.console import CONSOLE, ERROR_CONSOLE, bar, name


@click.command("golden")
@model_argument
@input_options()
@profile_option()
@host_float_option
@out_option
@layers_option
@click.option("--roles", multiple=True, metavar="ROLE,ROLE...", help=f"Only these tensors: {', '.join(ROLES)}.")
@format_option
@storage_options
@engine_options(workers=1)
@click.option(
    "--harness",
    type=click.Choice(HARNESSES),
    default=None,
    help="Also a C project that runs the whole network on this library and checks each layer.",
)
@force_option("a golden set")
def golden_command(
    model: ModelFile,
    inputs: Inputs,
    profile: str,
    host_float: bool,
    out: Path,
    layers: tuple[str, ...],
    roles: tuple[str, ...],
    formats: tuple[str, ...],
    harness: str | None,
    force: bool,
    stored: StorageOptions,
    where: Workplace,
) -> None:
    """Write golden vectors of MODEL: for every layer its inputs, weights, bias, the profile's parameters, the sum
    before bias, the accumulator, inner stages and outputs; and the network's inputs and outputs.

    The folder appears whole or not at all. manifest.json says what each file holds and how it was made; `qdqnp schema`
    prints its schema.

    With --harness cmsis-nn the folder is a project of CMake as well, whose `harness` runs the whole network on your
    CMSIS-NN, on this machine or a Cortex-M55; the set then holds inputs and outputs of all layers, unless --roles asks
    for more.

    Exit code 0: done. 2: bad usage, model, profile or input, or files that cannot be written; then nothing is.
    """
    with bar("writing") as progress:  # a context, so that no bar stands in the way of an error
        found = golden(
            model,
            inputs,
            out=out,
            profile=profile,
            host_float=host_float,
            layers=layers,
            roles=roles,
            format=formats,
            harness=harness,
            force=force,
            progress=progress,
            announce=lambda text: ERROR_CONSOLE.print(text, soft_wrap=True),
            **where,
            **stored,
        )
    CONSOLE.print(found.summary(), soft_wrap=True)
    if any("c" in tensor["files"] for tensor in found.manifest["tensors"]):
        _print_flash(found.manifest)
    _warn(found.manifest)


def _print_flash(made: Mapping[str, Any]) -> None:
    """Say how much memory the arrays take, and which layers most of it."""
    largest = sorted(made["layers"], key=lambda layer: -layer["bytes"])[:3]
    most = ", ".join(f"{name(layer['label'])} {layer['bytes']}" for layer in largest if layer["bytes"])
    arrays = {tensor["files"]["c"]["symbol"]: tensor for tensor in made["tensors"]}
    network = [tensor for tensor in arrays.values() if tensor["index"] is None]
    total = sum(layer["bytes"] for layer in made["layers"])
    total += sum(made["inputs"] * math.prod(t["shape"]) * np.dtype(t["dtype"]).itemsize for t in network)
    CONSOLE.print(f"flash: {total} bytes of arrays in C; most: {most}", soft_wrap=True)


def _warn(made: Mapping[str, Any]) -> None:
    """Say which values are not golden ones."""
    doubts = {tensor["name"]: tensor["doubt"] for tensor in made["tensors"] if tensor["doubt"]}
    if doubts:
        first, reason = next(iter(doubts.items()))
        ERROR_CONSOLE.print(
            f"warning: {len(doubts)} tensors are not promised to be exact, from {name(first)} on: {name(reason)}",
            style="yellow",
            soft_wrap=True,
        )
