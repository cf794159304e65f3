"""Draw the README's picture: what `qdqnp demo` prints here, without its middle, as an SVG."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from tools.models.files import write_bytes

HEAD, TAIL = 22, 10


def shortened(lines: list[str]) -> list[str]:
    """Return the first and last lines of the report. What follows the report names paths of this machine and is left
    out."""
    report = lines[: lines.index("Next:")] if "Next:" in lines else lines
    while report and not report[-1]:
        report = report[:-1]
    left = len(report) - HEAD - TAIL
    return report if left < 2 else [*report[:HEAD], f"... {left} more layers ...", *report[-TAIL:]]


def drawn(lines: list[str]) -> str:
    """Draw the lines as a terminal window."""
    width = max(len(line) for line in lines) + 2
    console = Console(record=True, width=width, file=io.StringIO())
    for line in lines:
        console.print(Text(line, style="bold green" if line.startswith("equal:") else ""))
    return console.export_svg(title="qdqnp demo", unique_id="demo")


@click.command()
@click.argument("output", type=click.Path(dir_okay=False, path_type=Path), default=Path("docs/images/demo.svg"))
def main(output: Path) -> None:
    """Run the demo and write its picture to OUTPUT."""
    done = subprocess.run([sys.executable, "-m", "qdqnp", "demo"], capture_output=True, text=True, check=True)
    write_bytes(output, drawn(shortened(done.stdout.splitlines())).encode())


if __name__ == "__main__":
    main()
