"""`qdqnp host`: say which of ONNX Runtime's arithmetics this machine has, and which of its known faults."""

from __future__ import annotations

from typing import Any

import click

from qdqnp.cli.options import json_option
from qdqnp.errors import PeerError
from qdqnp.numerics.profiles import PROFILES
from qdqnp.peers.ort import probe as ort_probe
from qdqnp.peers.ort.faults import FAULTS, Fault
from qdqnp.peers.ort.peer import host
from qdqnp.render.console import CONSOLE, print_json, table


@click.command("host")
@json_option
def host_command(as_json: bool) -> None:
    """Say what onnxruntime computes on this machine, found out by running small models: how it adds up uint8 x int8
    products and float32, how Add rounds, what a default session does with int8, and which known faults it has."""
    found = {
        **host(),
        "arithmetic": ort_probe.arithmetic(),
        "profiles": ort_probe.computed_profiles(),
        "faults": [_fault(fault) for fault in FAULTS],
    }
    if as_json:
        print_json(found)
    else:
        _print(found)


def _fault(fault: Fault) -> dict[str, Any]:
    try:
        here: bool | None = fault.here()
    except PeerError:  # it refuses even the probe, so the fault cannot show
        here = None
    return {"fault": fault.title, "versions": fault.versions, "here": here}


def _print(found: dict[str, Any]) -> None:
    for key in ("onnxruntime", "cpu"):
        CONSOLE.print(f"{key}: {found[key]}")
    CONSOLE.print()
    rows = table("arithmetic", "here")
    for what, how in found["arithmetic"].items():
        rows.add_row(what, how)
    CONSOLE.print(rows)
    CONSOLE.print()
    rows = table("profile", "sessions here compute it", "what it is")
    for name, here in found["profiles"].items():
        rows.add_row(name, here, PROFILES[name].summary)
    CONSOLE.print(rows)
    CONSOLE.print()
    rows = table("known fault or change", "seen in", "here")
    for fault in found["faults"]:
        here = {True: "YES", False: "no", None: "cannot be probed"}[fault["here"]]
        rows.add_row(fault["fault"], fault["versions"], here, style="red" if fault["here"] else None)
    CONSOLE.print(rows)
