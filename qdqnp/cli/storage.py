"""The options of how a golden set is stored, which golden and stimulate share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from qdqnp.api.storage import StorageOptions
from qdqnp.golden_sets.layouts import ACTIVATIONS, DEPTHWISE, WEIGHTS
from qdqnp.golden_sets.options import LANES, LIMIT_BYTES, SKELETONS

Command = Callable[..., None]
_OPTIONS = (
    click.option(
        "--activations",
        type=click.Choice(ACTIVATIONS, case_sensitive=False),
        default=None,
        help="Stored order of activations.  [default: NCHW; NHWC with --harness]",
    ),
    click.option(
        "--weights",
        type=click.Choice(WEIGHTS, case_sensitive=False),
        default=None,
        help="Stored order of weights; OHWI also turns matrices to (outputs, inputs).  "
        "[default: OIHW; OHWI with --harness]",
    ),
    click.option(
        "--depthwise",
        type=click.Choice(DEPTHWISE, case_sensitive=False),
        default=None,
        help="Stored order of depthwise weights.  [default: as --weights]",
    ),
    click.option(
        "--cmsis-nn",
        is_flag=True,
        help="Also the numbers that CMSIS-NN takes: input_offset = -zero point, output_shift.",
    ),
    click.option("--hex-width", type=int, default=32, show_default=True, metavar="BITS", help="Word width of hex."),
    click.option(
        "--hex-lanes",
        type=click.Choice(LANES),
        default="little",
        show_default=True,
        help="Whether the first element is a word's lowest part, or its highest (big).",
    ),
    click.option("--align", type=int, default=0, metavar="BYTES", help="Alignment of C arrays."),
    click.option("--section", default="", metavar="NAME", help="Section attribute of C arrays."),
    click.option("--prefix", default="golden", show_default=True, metavar="NAME", help="What names in C start with."),
    click.option(
        "--skeleton",
        multiple=True,
        metavar="NAME,NAME...",
        help=f"Also a test program with a test for each layer, for format c: {', '.join(SKELETONS)}.",
    ),
    click.option(
        "--limit-flash",
        type=click.IntRange(min=0),
        default=0,
        metavar="BYTES",
        help="As many layers as fit in this many bytes of arrays, the smallest first.",
    ),
    click.option(
        "--limit-bytes",
        type=click.IntRange(min=1),
        default=LIMIT_BYTES,
        show_default=True,
        metavar="N",
        help="Write nothing if the set would be larger.",
    ),
    click.option("--no-model", is_flag=True, help="Leave the model itself out of the set."),
)


def storage_options(command: Command) -> Command:
    """Give a command the options of how a set is stored as one argument `stored`, a StorageOptions."""

    @wraps(command)
    def wrapped(**others: Any) -> None:
        stored = StorageOptions(**{name: others.pop(name) for name in StorageOptions.__annotations__})  # type: ignore[typeddict-item]
        command(stored=stored, **others)

    made: Command = wrapped
    for option in reversed(_OPTIONS):
        made = option(made)
    return made
