"""`qdqnp doctor`: say what this machine computes with, and what makes it slow."""

from __future__ import annotations

from typing import Any

import click

from qdqnp.cli.options import json_option
from qdqnp.inspection.machine import machine
from qdqnp.render.console import CONSOLE, print_json, table


@click.command("doctor")
@json_option
def doctor_command(as_json: bool) -> None:
    """Say what qdqnp computes with here: versions, processor, NumPy's BLAS and its kernel, threads, and which float
    sums BLAS adds up in ONNX Runtime's order, found out by probing it. What is slow or missing stands last.

    Results do not depend on any of it. What ONNX Runtime computes here: qdqnp host.

    Exit code 0: done. 2: bad usage.
    """
    found = machine()
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: dict[str, Any]) -> None:
    cpu, blas = found["cpu"], found["blas"]
    CONSOLE.print(f"qdqnp {found['qdqnp']}, Python {found['python']}, {found['platform']}")
    CONSOLE.print("packages: " + ", ".join(f"{name} {version or '-'}" for name, version in found["packages"].items()))
    CONSOLE.print(
        f"cpu: {cpu['machine']}, {cpu['cores']} cores; NumPy uses {' '.join(cpu['numpy_uses']) or 'no extension'}"
    )
    CONSOLE.print(f"BLAS: NumPy was built with {blas['built_with']}")
    for one in blas["loaded"]:
        kernel = f", kernel {one['kernel']}" if one["kernel"] else ""
        CONSOLE.print(f"BLAS loaded: {one['name']} {one['version']}{kernel}, {one['threads']} threads; a run uses 1")
    for name, value in found["environment"].items():
        CONSOLE.print(f"environment: {name}={value}")
    CONSOLE.print()
    rows = table("float32 sums, as ONNX Runtime adds them", "here")
    for what, how in found["float_sums"].items():
        rows.add_row(what, how)
    CONSOLE.print(rows)
    for line in found["advice"]:
        CONSOLE.print(f"note: {line}")
