"""`qdqnp verify`: compare every tensor with ONNX Runtime's, bit for bit."""

from __future__ import annotations

import sys

import click

from qdqnp.cli.inputs import Inputs, input_options
from qdqnp.cli.options import ModelFile, json_option, model_argument, profile_option, threads_option
from qdqnp.diagnosis.verify import VerifyReport, verify
from qdqnp.errors import Problem, ProfileError
from qdqnp.model import load
from qdqnp.numerics.profile_toml import profile_from
from qdqnp.peers.ort.child import Child
from qdqnp.peers.ort.peer import OrtPeer, host
from qdqnp.peers.ort.session import KINDS
from qdqnp.render.console import CONSOLE, dims, name, print_json, table, tracked


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
    named = _session_of(profile)
    loaded = load(model)
    loaded.plan(named)  # first: its errors say more than ONNX Runtime's
    peer = OrtPeer(model, named, sessions=Child())
    runs, total = inputs.feeds(loaded.program(named))
    report = verify(loaded, peer, tracked(runs, total, "comparing", not as_json), named, threads)
    if as_json:
        print_json({"model": model.name, "host": host(), "session": peer.config, **report.as_json()})
    else:
        print_report(report, peer)
    sys.exit(0 if report.equal else 1 if report.differing else 2)


def _session_of(profile: str) -> str:
    """Return the name of the profile. Refuses profiles that no session of ONNX Runtime computes on x86-64."""
    name = profile_from(profile).name
    if name not in KINDS:
        hint = "Compare it with a session's: qdqnp diff MODEL --profiles ort," + profile
        raise ProfileError(
            "nothing to verify against", [Problem("--profile", f"one of {', '.join(KINDS)}", name, hint)]
        )
    return name


def print_report(report: VerifyReport, peer: OrtPeer) -> None:
    """Print the layers as a table, then what was compared with what, then the verdict."""
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
    for key, value in {**host(), "session": " ".join(f"{k}={v}" for k, v in peer.config.items())}.items():
        CONSOLE.print(f"{key}: {value}")
    CONSOLE.print("ONNX Runtime's graph: " + ", ".join(f"{n} {op}" for op, n in sorted(report.operators.items())))
    if report.inputs > 1:
        CONSOLE.print(f"{report.inputs} inputs gave {report.distinct_outputs} different outputs")
    CONSOLE.print(report.verdict(), style="bold green" if report.equal else "bold red")
