"""Tables on the terminal."""

from __future__ import annotations

import io

import pytest

from qdqnp.render import console
from qdqnp.render.console import PlainConsole, table


def shown(rows: int) -> list[str]:
    made = table("number", "square")
    for number in range(rows):
        made.add_row(str(number), str(number * number))
    file = io.StringIO()
    PlainConsole(file=file, width=80).print(made)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_long_table_says_how_many_rows_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "MOST_ROWS", 3)
    assert shown(3) == ["number  square", "0       0", "1       1", "2       4"]
    assert shown(5) == [*shown(3), "... and 2 more rows, which --json has"]
