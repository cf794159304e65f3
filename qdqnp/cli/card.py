"""`qdqnp card`: fill in a model card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from qdqnp.cli import completing
from qdqnp.cli.engine import given
from qdqnp.cli.labelled import evaluation_options
from qdqnp.cli.options import (
    PATH,
    ModelFile,
    force_option,
    host_float_option,
    json_option,
    model_argument,
    profile_option,
)
from qdqnp.cli.pictures import picture_options, settings_of
from qdqnp.evaluation.columns import column_from
from qdqnp.files.atomic import target, write_text
from qdqnp.model_card import model_card
from qdqnp.model_card.device import device_names
from qdqnp.render.console import print_document, print_json
from qdqnp.render.model_card import html, markdown


@click.command("card")
@model_argument
@profile_option()
@host_float_option
@click.option(
    "--device",
    metavar="NAME",
    shell_complete=completing.devices,
    help=f"Estimate the time on a device: one of {', '.join(device_names())}, or a .toml file of your own.",
)
@click.option(
    "--st", multiple=True, type=PATH, metavar="DIR", help="A folder that ST's compiler left; may be given again."
)
@click.option("--data", type=PATH, metavar="D", help="Labelled inputs for the accuracy, as `qdqnp eval` takes them.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=MODEL[:ARITHMETIC]",
    help="Another model or arithmetic whose accuracy stands beside; may be given again.",
)
@picture_options
@evaluation_options
@click.option(
    "--float-ends", is_flag=True, help="Count float inputs and outputs, and their conversions, as the device's."
)
@click.option("--markdown", "markdown_file", type=PATH, metavar="FILE", help="Write the card as Markdown.")
@click.option("--html", "html_file", type=PATH, metavar="FILE", help="Write the card as one page with the memory map.")
@force_option("a file")
@json_option
def card_command(
    model: ModelFile,
    profile: str,
    host_float: bool,
    device: str | None,
    st: tuple[Path, ...],
    data: Path | None,
    columns: tuple[str, ...],
    how: Mapping[str, Any],
    float_ends: bool,
    markdown_file: Path | None,
    html_file: Path | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Fill in a model card of MODEL: parameters, bytes in flash, activation memory, accuracy, an estimate of time.

    Without --json it is printed as Markdown.

    Exit code 0: done. 2: bad usage, a bad model, device or folder, or a profile that does not define one of its layers.
    """
    markdown_out = target(markdown_file, "the card", force) if markdown_file is not None else None
    html_out = target(html_file, "the card", force) if html_file is not None else None
    card = model_card(
        model,
        profile=profile,
        device=device,
        st=st,
        host_float=host_float,
        float_ends=float_ends,
        data=data,
        preprocessing=settings_of(options.pop("preprocess"), options),
        columns=[column_from(text) for text in columns],
        **(how if data is not None else {name: value for name, value in how.items() if given(name)}),
    )
    if markdown_out is not None:
        write_text(markdown_out, markdown(card))
    if html_out is not None:
        write_text(html_out, html(card))
    if as_json:
        print_json(card.as_json())
    elif markdown_out is None and html_out is None:
        print_document(markdown(card))
