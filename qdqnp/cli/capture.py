"""`qdqnp capture`: run a device of your own on a model's inputs, and keep its answers as a dump."""

from __future__ import annotations

from pathlib import Path

import click

from qdqnp.cli.inputs import Inputs, input_options
from qdqnp.cli.options import ModelFile, model_argument, out_option
from qdqnp.diagnosis.dump_writer import MAPPING, write_dump
from qdqnp.diagnosis.identify.observations import REFERENCE
from qdqnp.model import load
from qdqnp.peers.devices.capture import capture, input_codes, load_device, runs
from qdqnp.render.console import CONSOLE, dims, name, table, tracked


@click.command("capture")
@model_argument
@click.option(
    "--device",
    required=True,
    metavar="MODULE:NAME",
    help="A Python function: inputs by name to tensors by name; see qdqnp.peers.devices.capture.",
)
@input_options()
@click.option("--codes", is_flag=True, help="Hand the device integer codes in place of inputs that are quantized.")
@out_option
def capture_command(model: ModelFile, device: str, inputs: Inputs, codes: bool, out: Path) -> None:
    """Run a device on MODEL's inputs, and write every tensor that it shows as a dump for compare and identify.

    MODULE is imported with the current folder on Python's path, and NAME is called once for each input.

    Exit code 0: done. 2: bad usage, or the device failed; then nothing is written.
    """
    loaded = load(model)
    found = load_device(device)
    program = loaded.program(REFERENCE)
    sets, total = inputs.feeds(program)
    given = runs(program, sets)
    if codes:
        plan = loaded.plan(REFERENCE)
        given = (input_codes(plan, feeds) for feeds in given)
    made = capture(found, tracked(given, total, "running"))
    mapped = write_dump(out, made)
    rows = table("tensor", "dtype", "shape", right=("shape",))
    for tensor, arrays in made.items():
        rows.add_row(name(tensor), str(arrays[0].dtype), dims(arrays[0].shape))
    CONSOLE.print(rows)
    hint = f"; names that no file can have are in {MAPPING}: pass it with --mapping" if mapped else ""
    CONSOLE.print(f"wrote {len(made)} tensors of {total} runs to {name(str(out), 200)}{hint}", soft_wrap=True)
