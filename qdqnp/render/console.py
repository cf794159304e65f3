"""Print for all commands: consoles, escaped names, JSON, progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

import click
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from qdqnp.errors import shorten

T = TypeVar("T")
# A pipe or a file does not have a width to fold a table to: lines stay whole there, for grep and for later reading.
PIPE_WIDTH = 220
CONSOLE = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
ERROR_CONSOLE = Console(stderr=True)


def name(text: str, limit: int = 60) -> str:
    """Make a name from a model file safe to print: without markup and control characters, and shortened."""
    return escape(printable(shorten(text, limit)).replace("\n", "?"))


def printable(text: str) -> str:
    """Replace the control characters in a text of several lines by '?': names in messages come from files, and a
    terminal obeys them."""
    return "".join(char if char.isprintable() or char == "\n" else "?" for char in text)


def sentence(text: str) -> str:
    """Make a sentence that may quote names from a model file safe to print; only excessive length is shortened."""
    return escape("".join(char if char.isprintable() else "?" for char in shorten(text, 400)))


def dims(shape: Iterable[Any]) -> str:
    """Show sizes in a table; symbolic sizes are names from a model file."""
    return "x".join("?" if size is None else name(str(size)) for size in shape)


def print_json(value: Any) -> None:
    """Print JSON on standard output, and nothing else."""
    click.echo(json.dumps(value, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"no JSON for {type(value).__name__}")


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def tracked(items: Iterable[T], total: int | None, what: str, show: bool = True) -> Generator[T, None, None]:
    """Yield the items, with a progress bar on standard error where it is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=ERROR_CONSOLE, transient=True, disable=not show or not ERROR_CONSOLE.is_terminal
    ) as progress:
        yield from progress.track(items, total=total, description=what)
