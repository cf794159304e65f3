"""Measure `qdqnp golden`: time, peak memory and size of sets, each in a process of its own.

    python -m tools.models.build_dla dla46_c float.onnx --seed 1 --size 224 224
    python -m tools.models.quantize float.onnx net.onnx --pictures pictures --count 4 --resize 224
    python -m tools.bench.bench_golden net.onnx --format npz,bin
    python -m tools.bench.bench_golden qdqnp/data/dla46_c_int8.onnx --format bin --inputs 1,10,100,1000

Memory that does not grow with the inputs shows as equal peaks in the last command.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from qdqnp.errors import Problem, QdqnpError


@dataclass(frozen=True)
class Measured:
    """The cost of writing one set."""

    #: Number of inputs of the set.
    inputs: int
    #: Wall-clock time.
    seconds: float
    #: User and system time.
    cpu_seconds: float
    #: Peak resident memory, in 10^6 bytes.
    peak_mb: float
    #: Number of files.
    files: int
    #: Size of the set, in 10^6 bytes.
    set_mb: float


def measure(model: Path, profile: str, formats: str, inputs: int, folder: Path) -> Measured:
    """Write one set in `folder` and remove it again. Raises QdqnpError where the command fails."""
    out = folder / "set"
    command = [
        sys.executable,
        "-m",
        "qdqnp",
        "golden",
        str(model),
        "--random",
        str(inputs),
        "--profile",
        profile,
        "--format",
        formats,
        "--out",
        str(out),
        "--limit-bytes",
        str(2**40),
    ]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)  # the usage of this child alone
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise QdqnpError("qdqnp golden failed", [Problem("exit code", "0", str(process.returncode), " ".join(command))])
    sizes = [path.stat().st_size for path in out.rglob("*") if path.is_file()]
    scale = 1024 if sys.platform != "darwin" else 1  # Linux counts in KiB
    return Measured(
        inputs, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * scale / 1e6, len(sizes), sum(sizes) / 1e6
    )


def show(found: Sequence[Measured], console: Console) -> None:
    table = Table("inputs", "seconds", "CPU seconds", "peak memory, MB", "files", "set, MB", box=None)
    for row in found:
        table.add_row(
            str(row.inputs),
            f"{row.seconds:.2f}",
            f"{row.cpu_seconds:.2f}",
            f"{row.peak_mb:.0f}",
            str(row.files),
            f"{row.set_mb:.1f}",
        )
    console.print(table)


@click.command()
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--profile", default="tflite", show_default=True)
@click.option("--format", "formats", default="npz,bin", show_default=True)
@click.option("--inputs", default="1", show_default=True, metavar="N,N...", help="Random inputs of each set.")
def main(model: Path, profile: str, formats: str, inputs: str) -> None:
    """Write sets of every layer of MODEL, and print what that took."""
    found = []
    for count in inputs.split(","):
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(model, profile, formats, int(count), Path(folder)))
    show(found, Console())


if __name__ == "__main__":
    main()
