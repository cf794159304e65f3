"""`qdqnp golden`: every layer's inputs, parameters, inner values and outputs as files for unit tests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from qdqnp.cli.inputs import feeds_of, files_of
from qdqnp.golden.layouts import ACTIVATIONS, DEPTHWISE, WEIGHTS
from qdqnp.golden.manifest import Document
from qdqnp.golden.options import FORMATS, LANES, LIMIT_BYTES, ROLES, Options
from qdqnp.golden.writing import write
from qdqnp.model import load
from qdqnp.numerics.profile_toml import profile_from
from qdqnp.render.console import CONSOLE, ERROR_CONSOLE, name, tracked

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


@click.command("golden")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--input",
    "inputs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE...",
    help=".npy or .npz files of inputs. Default: one random input.",
)
@click.argument("more", nargs=-1, type=click.Path(path_type=Path), metavar="")
@click.option("--random", "count", type=click.IntRange(min=1), metavar="N", help="Use N seeded random inputs.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the random inputs.")
@click.option("--profile", default="ort", show_default=True, help="The arithmetic: a name, or a .toml file.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The folder to make.")
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="NAME",
    help="Label, ONNX node, output tensor, number, glob, or operator.  [default: all]",
)
@click.option("--roles", multiple=True, metavar="ROLE,ROLE...", help=f"Only these tensors: {', '.join(ROLES)}.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="F,F...",
    default=("npz",),
    show_default="npz",
    help=f"One or more of {', '.join(FORMATS)}.",
)
@click.option(
    "--activations",
    type=click.Choice(ACTIVATIONS, case_sensitive=False),
    default="NCHW",
    show_default=True,
    help="Stored order of activations.",
)
@click.option(
    "--weights",
    type=click.Choice(WEIGHTS, case_sensitive=False),
    default="OIHW",
    show_default=True,
    help="Stored order of weights; OHWI also turns matrices to (outputs, inputs).",
)
@click.option(
    "--depthwise",
    type=click.Choice(DEPTHWISE, case_sensitive=False),
    default=None,
    help="Stored order of depthwise weights.  [default: as --weights]",
)
@click.option(
    "--cmsis-nn", is_flag=True, help="Also the numbers that CMSIS-NN takes: input_offset = -zero point, output_shift."
)
@click.option("--hex-width", type=int, default=32, show_default=True, metavar="BITS", help="Word width of hex.")
@click.option(
    "--hex-lanes",
    type=click.Choice(LANES),
    default="little",
    show_default=True,
    help="Whether the first element is a word's lowest part, or its highest (big).",
)
@click.option("--align", "alignment", type=int, default=0, metavar="BYTES", help="Alignment of C arrays.")
@click.option("--section", default="", metavar="NAME", help="Section attribute of C arrays.")
@click.option(
    "--limit-bytes",
    type=click.IntRange(min=1),
    default=LIMIT_BYTES,
    show_default=True,
    metavar="N",
    help="Write nothing if the set would be larger.",
)
@click.option("--no-model", is_flag=True, help="Leave the model itself out of the set.")
@click.option("--force", is_flag=True, help="Replace a golden set that is in the way.")
def golden_command(
    model: Path,
    inputs: tuple[Path, ...],
    more: tuple[Path, ...],
    count: int | None,
    seed: int,
    profile: str,
    out: Path,
    roles: tuple[str, ...],
    formats: tuple[str, ...],
    depthwise: str | None,
    no_model: bool,
    force: bool,
    **options: Any,
) -> None:
    """Write golden vectors of MODEL: for every layer its inputs, weights, bias, the profile's parameters, the sum
    before bias, the accumulator, inner stages and outputs; and the network's inputs and outputs.

    The folder appears whole or not at all. manifest.json says what each file holds and how it was made; `qdqnp schema`
    prints its schema.

    Exit code 0: done. 2: bad usage, model, profile or input, or files that cannot be written; then nothing is.
    """
    files = files_of(inputs, more)
    chosen = Options(
        formats=_listed(formats),
        roles=_listed(roles) or ROLES,
        depthwise=depthwise or "",
        store_model=not no_model,
        **options,
    )
    chosen.check()
    try:
        made = _write(model, files, count, seed, profile, out, chosen, force)
    except KeyboardInterrupt:
        ERROR_CONSOLE.print("interrupted: nothing was written", highlight=False)
        click.get_current_context().exit(INTERRUPTED)
    total = made["inputs"]
    size = sum(file["bytes"] for file in made["files"].values())
    CONSOLE.print(
        f"wrote {name(out.name)}: {len(made['tensors'])} tensors of {len(made['layers'])} layers, "
        f"{total} input{'s' if total != 1 else ''}, {size} bytes in {len(made['files'])} files",
        highlight=False,
        soft_wrap=True,
    )
    _warn(made)


def _warn(made: Document) -> None:
    """Say which values are no golden ones."""
    doubts = {tensor["name"]: tensor["doubt"] for tensor in made["tensors"] if tensor["doubt"]}
    if doubts:
        first, reason = next(iter(doubts.items()))
        ERROR_CONSOLE.print(
            f"warning: {len(doubts)} tensors are not promised to be exact, from {name(first)} on: {name(reason)}",
            style="yellow",
            highlight=False,
            soft_wrap=True,
        )


def _write(
    model: Path,
    files: Sequence[Path],
    count: int | None,
    seed: int,
    profile: str,
    out: Path,
    options: Options,
    force: bool,
) -> Document:
    arithmetic = profile_from(profile)
    feeds, total = feeds_of(load(model).program(arithmetic), files, count, seed)
    random = bool(count) or not files
    with closing(tracked(feeds, total, "writing")) as shown:  # so that no bar stands in the way of an error
        return write(
            out,
            model,
            shown,
            total,
            profile=arithmetic,
            options=options,
            name=model.name,
            seed=seed if random else None,
            force=force,
        )


def _listed(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(part.strip() for text in texts for part in text.split(",") if part.strip())
