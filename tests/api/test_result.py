"""What all results have in common: texts from files are shown harmlessly, and JSON is plain."""

from __future__ import annotations

import builtins
import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import qdqnp
from qdqnp.api.result import MOST_ROWS, Result, json_values


class Told(Result):
    """A result of rows that are given."""

    columns = ("name", "part.value")

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = rows

    def summary(self) -> str:
        return "a \x1b[31m <b>sentence</b>\n"

    def document(self) -> dict[str, Any]:
        return {"layers": self._rows}


def test_names_of_a_file_are_no_markup_and_no_escapes() -> None:
    page = Told([{"name": "<script>\x1b", "part": {"value": float("nan")}}])._repr_html_()
    assert "<script" not in page and "<b>" not in page and "\x1b" not in page
    assert "&lt;script&gt;" in page and "nan" in page
    assert "\x1b" not in repr(Told([])) and "\n" not in repr(Told([]))


def test_a_long_table_is_cut_in_a_notebook_alone() -> None:
    found = Told([{"name": str(number)} for number in range(MOST_ROWS + 5)])
    assert found._repr_html_().count("<tr>") == MOST_ROWS + 1 and "5 more" in found._repr_html_()
    assert len(found.rows()) == MOST_ROWS + 5 and found.rows()[0]["part.value"] is None


def test_json_values() -> None:
    values = {1: np.float32(np.inf), "a": (np.arange(2), np.bool_(True)), "b": None, "c": -float("nan")}
    assert json_values(values) == {"1": "inf", "a": [[0, 1], True], "b": None, "c": "nan"}
    with pytest.raises(TypeError, match="Fraction"):
        json_values(Fraction(1, 3))


def test_without_pandas_a_frame_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "pandas":
            raise ImportError("No module named 'pandas'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(qdqnp.InputError, match="pip install pandas"):
        Told([]).to_frame()


def test_the_log_is_heard_where_it_is_asked_for(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "qdqnp"):
        qdqnp.diff(path, "ort,tflite", random=2)
    said = [record.getMessage() for record in caplog.records]
    assert any("read the model net.onnx" in text for text in said)
    assert "comparing: 2 in all" in said and "comparing: 2 done" in said


def test_the_log_is_silent_else(path: Path, tmp_path: Path) -> None:
    """Also its warnings, which Python prints of loggers without a handler."""
    code = (
        "import sys, logging, qdqnp, qdqnp.api.progress as p; p.LOG.warning('odd'); "
        f"print(qdqnp.diff({str(path)!r}, 'ort,tflite').model)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "net.onnx\n" and done.stderr == ""


def test_importing_qdqnp_imports_neither_numpy_nor_the_front_door() -> None:
    code = (
        "import sys, qdqnp; print([name for name in sys.modules if name.startswith(('numpy', 'onnx', 'qdqnp.api'))]);"
        "import qdqnp.model; print('qdqnp.api' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "False False"]


def test_a_notebook_completes_what_is_imported_later() -> None:
    code = "import sys, qdqnp; print(set(qdqnp.__all__) <= set(dir(qdqnp)), 'qdqnp.api.verify' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
