"""`qdqnp verify`: compare every tensor with ONNX Runtime's, bit for bit."""

from __future__ import annotations

import sys

import click

from qdqnp.api.verify import VerifyResult, verify
from qdqnp.cli.inputs import Inputs, input_options
from qdqnp.cli.options import ModelFile, json_option, model_argument, profile_option, threads_option
from qdqnp.peers.ort.session import KINDS
from qdqnp.render.console import CONSOLE, bar, dims, name, print_json, table


@click.command("verify")
@model_argument
@input_options()
@profile_option(f"Which session to hold against: {', '.join(KINDS)}.")
@threads_option
@json_option
def verify_command(model: ModelFile, inputs: Inputs, profile: str, threads: int, as_json: bool) -> None:
    """Run MODEL here and in ONNX Runtime, and compare every tensor bitwise.

    Exit code 0: no element differs of the tensors that both have, all outputs among them. 1: some differ. 2: nothing to
    compare, bad usage or bad model.
    """
    with bar("comparing", not as_json) as progress:
        found = verify(model, inputs, profile=profile, threads=threads, progress=progress)
    if as_json:
        print_json(found.document())
    else:
        print_report(found)
    sys.exit(found.exit_code)


def print_report(found: VerifyResult) -> None:
    """Print the layers as a table, then what was compared with what, then the verdict."""
    report = found.report
    rows = table(
        "layer",
        "operator",
        "tensor",
        "shape",
        "codes",
        "elements",
        "differing",
        "max LSB",
        right=("codes", "elements", "differing", "max LSB"),
    )
    for layer in report.layers:
        mark = "" if layer.promise == "exact" else " *"
        style = "dim" if layer.missing else None if layer.equal else "red"
        differing = (
            layer.missing
            or layer.tally.note
            or str(layer.differing) + (f" ({layer.accepted} accepted)" if layer.accepted else "")
        )
        rows.add_row(
            name(layer.label),
            layer.op,
            name(layer.name) + mark,
            dims(layer.shape),
            str(len(layer.seen)) if layer.seen else "",
            str(layer.tally.elements),
            name(differing),
            f"{layer.tally.largest:g}",
            style=style,
        )
    CONSOLE.print(rows)
    if any(layer.promise != "exact" for layer in report.layers):
        CONSOLE.print("* no promise: " + name(next(x.promise for x in report.layers if x.promise != "exact")))
    if report.only_theirs:
        listed = ", ".join(name(item) for item in report.only_theirs[:10])
        CONSOLE.print(f"only in ONNX Runtime's graph: {len(report.only_theirs)} tensors: {listed}")
    for key, value in {**found.host, "session": " ".join(f"{k}={v}" for k, v in found.session.items())}.items():
        CONSOLE.print(f"{key}: {value}")
    CONSOLE.print("ONNX Runtime's graph: " + ", ".join(f"{n} {op}" for op, n in sorted(report.operators.items())))
    if report.inputs > 1:
        CONSOLE.print(f"{report.inputs} inputs gave {report.distinct_outputs} different outputs")
    CONSOLE.print(report.verdict(), style="bold green" if report.equal else "bold red")
