"""`qdqnp golden`: write every layer's inputs, parameters, inner values and outputs as files for unit tests."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from qdqnp.cli.engine import engine_options
from qdqnp.cli.inputs import Inputs, input_options
from qdqnp.cli.options import (
    ModelFile,
    force_option,
    format_option,
    host_float_option,
    layers_option,
    listed,
    model_argument,
    out_option,
    profile_option,
    profile_with,
)
from qdqnp.cli.storage import storage_options
from qdqnp.engine import Workplace
from qdqnp.golden_sets.options import HARNESS_ORDERS, HARNESS_ROLES, HARNESSES, ROLES, Options
from qdqnp.golden_sets.tensor import Document
from qdqnp.golden_sets.writing import write
from qdqnp.limits import readable_bytes
from qdqnp.model import load
from qdqnp.numerics.profile import Profile
from qdqnp.render.console import CONSOLE, ERROR_CONSOLE, name, progress


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
    stored: Mapping[str, Any],
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
    given = {**HARNESS_ORDERS, **stored} if harness else stored
    own = HARNESS_ROLES if harness else ROLES
    chosen = Options(formats=listed(formats), layers=layers, roles=listed(roles) or own, harness=harness or "", **given)
    chosen.check()
    made = _write(model, inputs, profile_with(profile, host_float), out, chosen, force, where)
    total = made["inputs"]
    size = sum(file["bytes"] for file in made["files"].values())
    CONSOLE.print(
        f"wrote {name(out.name)}: {len(made['tensors'])} tensors of {len(made['layers'])} layers, "
        f"{total} input{'s' if total != 1 else ''}, {size} bytes in {len(made['files'])} files",
        soft_wrap=True,
    )
    if "c" in chosen.formats:
        _print_flash(made)
    _warn(made)


def _print_flash(made: Document) -> None:
    """Say how much memory the arrays take, and which layers most of it."""
    largest = sorted(made["layers"], key=lambda layer: -layer["bytes"])[:3]
    most = ", ".join(f"{name(layer['label'])} {layer['bytes']}" for layer in largest if layer["bytes"])
    arrays = {tensor["files"]["c"]["symbol"]: tensor for tensor in made["tensors"]}
    network = [tensor for tensor in arrays.values() if tensor["index"] is None]
    total = sum(layer["bytes"] for layer in made["layers"])
    total += sum(made["inputs"] * math.prod(t["shape"]) * np.dtype(t["dtype"]).itemsize for t in network)
    CONSOLE.print(f"flash: {total} bytes of arrays in C; most: {most}", soft_wrap=True)


def _warn(made: Document) -> None:
    """Say which values are not golden ones."""
    doubts = {tensor["name"]: tensor["doubt"] for tensor in made["tensors"] if tensor["doubt"]}
    if doubts:
        first, reason = next(iter(doubts.items()))
        ERROR_CONSOLE.print(
            f"warning: {len(doubts)} tensors are not promised to be exact, from {name(first)} on: {name(reason)}",
            style="yellow",
            soft_wrap=True,
        )


def _write(
    model: ModelFile,
    inputs: Inputs,
    arithmetic: Profile,
    out: Path,
    options: Options,
    force: bool,
    where: Workplace,
) -> Document:
    feeds, total = inputs.feeds(load(model).program(arithmetic))
    with progress() as bar:
        task = bar.add_task("writing", total=total)
        return write(
            out,
            model,
            feeds,
            total,
            profile=arithmetic,
            options=options,
            name=model.name,
            seed=inputs.seed if inputs.random else None,
            force=force,
            announce=lambda size: ERROR_CONSOLE.print(
                f"about {readable_bytes(size)} for {total} inputs", soft_wrap=True
            ),
            progress=lambda: bar.advance(task),
            **where,
        )
