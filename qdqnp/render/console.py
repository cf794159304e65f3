"""Print for all commands. Whatever is printed is text: no markup, no emoji codes, and what a terminal would obey is
shown escaped (`qdqnp.errors.printable`)."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from qdqnp.api.progress import Progress as Callback
from qdqnp.api.result import json_values
from qdqnp.errors import printable, shorten

T = TypeVar("T")
# A pipe or a file does not have a width to fold a table to: lines stay whole there, for grep and for later reading.
PIPE_WIDTH = 220
# More rows than any network has layers that a person reads.
MOST_ROWS = 2000


class PlainConsole(Console):
    """Shows every string as it is, in one line: rich turns each into a Text by render_str, cells of tables too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        shown, encoding = printable(text), getattr(self.file, "encoding", None) or "utf-8"
        if not shown.isascii():  # here, because what is written wider than it was measured would not fit its column
            shown = shown.encode(encoding, "backslashreplace").decode(encoding)
        return super().render_str(shown, **options | {"markup": False, "emoji": False, "highlight": False})

    def on_broken_pipe(self) -> None:
        """Raise the BrokenPipeError on: rich would end the process with exit code 1, which means a mismatch."""
        raise  # rich calls it while it handles the error


CONSOLE = PlainConsole(width=None if sys.stdout is not None and sys.stdout.isatty() else PIPE_WIDTH)
ERROR_CONSOLE = PlainConsole(stderr=True)


def name(text: str, limit: int = 60) -> str:
    """Shorten a name, or a sentence that quotes one, for a place where a longer one would be in the way."""
    return shorten(printable(text), limit)


def reason(text: str, limit: int = 4000) -> str:
    """Shorten a sentence behind its last whole word: its start says why, and its middle is never left out."""
    shown = printable(text)
    if len(shown) <= limit:
        return shown
    return f"{shown[:limit].rsplit(' ', 1)[0]} ... (--json has the rest)"


def print_sentence(text: str, style: str | None = None) -> None:
    """Print a sentence in whole words on a terminal, and in one line in a pipe or a file, for grep."""
    if text:
        CONSOLE.print(reason(text), style=style, soft_wrap=not CONSOLE.is_terminal)


def lines(texts: Iterable[str]) -> Text:
    """Make a cell of several lines."""
    return Text("\n").join(Text(printable(text)) for text in texts)


def dims(shape: Iterable[Any]) -> str:
    """Show sizes in a table; symbolic sizes are names from a model file."""
    return "x".join("?" if size is None else name(str(size)) for size in shape)


def print_document(text: str) -> None:
    """Print a text of several lines on standard output: JSON, TOML."""
    sys.stdout.write("".join(f"{printable(line)}\n" for line in text.removesuffix("\n").split("\n")))


def print_json(value: Any) -> None:
    """Print JSON on standard output, and nothing else. NaN and infinities, which JSON does not have, become the texts
    "nan", "inf" and "-inf", as in a manifest."""
    try:
        text = json.dumps(value, indent=2, default=json_values, allow_nan=False)
    except ValueError:
        text = json.dumps(json_values(value), indent=2, allow_nan=False)
    print_document(text.replace("\x7f", "\\u007f"))


class _Table(Table):
    """Shows its first MOST_ROWS rows: rich takes a millisecond for each."""

    left_out = 0

    def add_row(self, *cells: Any, **options: Any) -> None:
        if self.row_count < MOST_ROWS:
            super().add_row(*cells, **options)
        else:
            self.left_out += 1

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from super().__rich_console__(console, options)
        if self.left_out:
            yield Text(f"... and {self.left_out} more rows, which --json has")


def table(*columns: str, right: Iterable[str] = ()) -> Table:
    made = _Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def progress(disable: bool = False) -> Progress:
    """Make a progress bar on standard error, which shows where that is a terminal only."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    shown = ERROR_CONSOLE.is_terminal and not disable
    # what is not shown needs no thread, which a limit on memory or processes may not allow
    return Progress(*columns, console=ERROR_CONSOLE, transient=True, disable=not shown, auto_refresh=shown)


def tracked(items: Iterable[T], total: int | None, what: str, show: bool = True) -> Generator[T, None, None]:
    """Yield the items, with a progress bar on standard error where it is a terminal."""
    with progress(disable=not show) as shown:
        yield from shown.track(items, total=total, description=what)


@contextmanager
def bar(what: str, show: bool = True) -> Iterator[Callback]:
    """Give what says how far a call is, shown as a progress bar on standard error where it is a terminal."""
    with progress(disable=not show) as shown:
        task = shown.add_task(what, total=None)

        def update(done: int, total: int | None) -> None:
            shown.update(task, completed=done, total=total)

        yield update
