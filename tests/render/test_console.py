"""Tables on the terminal."""

from __future__ import annotations

import io
import json
import threading

import numpy as np
import pytest

from qdqnp.render import console
from qdqnp.render.console import PlainConsole, print_json, table, tracked


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


def test_json_is_json_with_nan_and_infinities_too(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = np.float32([np.nan, np.inf, -np.inf, 0.5])
    print_json({"a": numbers, "b": [float("nan"), 1, None, True, "x"], "c": {"d": (np.float64("inf"), np.int8(3))}})
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert document["a"] == ["nan", "inf", "-inf", 0.5]
    assert document["b"] == ["nan", 1, None, True, "x"] and document["c"] == {"d": ["inf", 3]}


def test_a_bar_that_is_not_shown_takes_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert list(tracked(range(3), 3, "files")) == [0, 1, 2]
