"""How benchmarks show what they found: tables for the terminal and for Markdown, and what the times depend on."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from qdqnp.peers.ort.peer import host
from tools.models.files import write_bytes


@dataclass(frozen=True)
class Table:
    """A table of text, for the terminal and for Markdown."""

    #: Titles of the columns.
    columns: Sequence[str]
    #: The cells of each row.
    rows: Sequence[Sequence[str]]
    #: How many columns at the left are not numbers.
    texts: int = 1

    def markdown(self) -> str:
        rule = ["---" if index < self.texts else "---:" for index in range(len(self.columns))]
        lines = [self.columns, rule, *self.rows]
        return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)

    def show(self) -> None:
        """Show the table: on a terminal with its columns lined up; elsewhere as Markdown, which a narrow pipe cannot
        fold."""
        if not sys.stdout.isatty():
            click.echo(self.markdown())
            return
        table = RichTable()
        for index, column in enumerate(self.columns):
            table.add_column(column, justify="left" if index < self.texts else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*map(escape, row))
        Console().print(table)


def write_results(result: Mapping[str, Any], markdown: str, json_path: Path | None, markdown_path: Path | None) -> None:
    """Write the files that were asked for."""
    if json_path:
        write_bytes(json_path, (json.dumps(result, indent=2) + "\n").encode())
    if markdown_path:
        write_bytes(markdown_path, markdown.encode())


def load_average() -> str:
    """Return the load of the machine in the last minute; to be asked before measuring, which adds to it."""
    if not hasattr(os, "getloadavg"):
        return "unknown on this system"
    return f"{os.getloadavg()[0]:.2f}; other work makes times longer, above all those of several threads"


def host_facts(load_before: str) -> dict[str, str]:
    """Return what the times depend on besides the models."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    peer = host()
    return {
        "CPU": f"{_cpu_name()}, {os.cpu_count()} logical cores",
        "instructions": peer["cpu"],
        "Python": platform.python_version(),
        "NumPy": f"{np.__version__}, BLAS: {blas['name']} {blas['version']}, kernel {blas_kernel()}",
        "onnxruntime": peer["onnxruntime"],
        "load average before": load_before,
    }


def blas_kernel() -> str:
    """Return which of its kernels OpenBLAS has chosen; 'not known' of another BLAS."""
    name = "openblas_get_corename"
    maps = Path("/proc/self/maps")
    lines = maps.read_text(encoding="utf-8", errors="replace").splitlines() if maps.exists() else []
    for path in sorted({line.split()[-1] for line in lines if "openblas" in line}):
        library = ctypes.CDLL(path)
        for symbol in (f"scipy_{name}64_", f"scipy_{name}", f"{name}64_", name):
            if hasattr(library, symbol):
                asked = getattr(library, symbol)
                asked.restype = ctypes.c_char_p
                return str(asked().decode())
    return "not known"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def report(
    facts: Mapping[str, str], table: Table, results: Sequence[Mapping[str, Any]], remarks: Sequence[str] = ()
) -> str:
    """Return the table with all that belongs to it, as Markdown."""
    notes = {
        f"{timing['label']}: {result['model']}: {timing['note']}": None
        for result in results
        for timing in result["candidates"]
        if timing["note"]
    }
    equal = sum(result["equal_elements"] for result in results)
    lines = [*(f"{key}: {value}" for key, value in facts.items()), *remarks, *notes]
    if equal:
        equality = f"all {equal} output elements of qdqnp and ONNX Runtime, int8 allowed, were equal bit for bit"
        lines.append(f"Before timing, {equality}.")
    return table.markdown() + "\n" + "".join(f"- {line}\n" for line in lines)


def publish(
    table: Table,
    results: Sequence[Mapping[str, Any]],
    load_before: str,
    json_path: Path | None,
    markdown_path: Path | None,
    remarks: Sequence[str] = (),
) -> None:
    """Show the table and what belongs to it, and write the files that were asked for."""
    facts = host_facts(load_before)
    markdown = report(facts, table, results, remarks)
    table.show()
    click.echo(markdown.removeprefix(table.markdown()).lstrip())
    write_results({"host": facts, "results": list(results)}, markdown, json_path, markdown_path)
