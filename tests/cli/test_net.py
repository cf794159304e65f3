"""Whatever escapes a command: one line, and an exit code of its own, which is never 1."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result

from qdqnp.cli import COMMANDS, cli, net, schema
from qdqnp.errors import InputError, Problem
from qdqnp.interrupts import leaving_at_once

ROOT = Path(__file__).parents[2]


# -- in this process ---------------------------------------------------------------------------------------------------
def escaping(monkeypatch: pytest.MonkeyPatch, what: Callable[[], Any], *words: str) -> Result:
    """What `qdqnp schema` ends like when `what` is called in its midst."""
    monkeypatch.setattr(schema, "schema_text", lambda: what() or "text")
    return CliRunner().invoke(cli, ["schema", *words])


def raising(error: BaseException) -> Callable[[], Any]:
    def function() -> None:
        raise error

    return function


def endless(depth: int = 0) -> int:
    return endless(depth + 1) + 1


@pytest.mark.parametrize(
    ("what", "code", "line"),
    [
        (raising(ValueError("a\x1b[31m\n[red]")), 3, "internal error: ValueError: a\\x1b[31m\\n[red]; set QDQNP_RE"),
        (raising(KeyError()), 3, "internal error: KeyError; set"),
        (raising(AssertionError("a" * 9999)), 3, "internal error: AssertionError: aaa"),
        (raising(EOFError("an archive")), 3, "internal error: EOFError: an archive; set"),
        (raising(OSError(5, "Input/output error")), 3, "internal error: OSError: [Errno 5] Input/output error"),
        (raising(SystemError("x")), 3, "internal error: SystemError"),
        (raising(GeneratorExit()), 3, "internal error: GeneratorExit"),
        (raising(BaseExceptionGroup("some", [KeyError(1)])), 3, "internal error: ExceptionGroup: some"),
        (endless, 3, "internal error: RecursionError: maximum recursion"),
        (raising(MemoryError()), 3, "error: no memory left; set"),
        (lambda: bytearray(2**60), 3, "error: no memory left; set"),
        (raising(KeyboardInterrupt()), 130, "interrupted"),
        (raising(RuntimeError("can't start new thread")), 3, "error: no memory left for a thread, or too many of"),
        (raising(click.Abort()), 130, "interrupted"),
        (raising(BrokenPipeError(32, "Broken pipe")), 141, ""),
        (raising(OSError(28, "No space left on device")), 2, "error: cannot write the output: No space left on device"),
        (raising(click.FileError("a\x1b", "no\n")), 2, "error: Could not open file 'a\\x1b': no\\n"),
        (raising(click.UsageError("no \x1b[31m\n[red]")), 2, "no \\x1b[31m\\n[red]"),
        (raising(InputError("\x1b", [Problem("at", "a\nb", "\u202e")])), 2, "1b\n  - at: expected a\\nb, got \\u202e"),
        (raising(SystemExit(1)), 1, ""),
        (raising(SystemExit(None)), 0, ""),
    ],
)  # fmt: skip
def test_every_kind_has_its_code_and_line(
    monkeypatch: pytest.MonkeyPatch, what: Callable[[], Any], code: int, line: str
) -> None:
    result = escaping(monkeypatch, what)
    assert result.exit_code == code
    assert line in result.stderr and result.stdout == ""
    assert len(result.stderr) < 600 and all(char.isprintable() or char == "\n" for char in result.stderr)
    if code != 2:
        assert result.stderr.count("\n") == bool(line)


def test_usage_errors_are_those_of_click() -> None:
    result = CliRunner().invoke(cli, ["inspect", "--js\x1bon"], prog_name="qdqnp")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[:3] == ["Usage: qdqnp inspect [OPTIONS] MODEL", "Try 'qdqnp inspect --help' for help.", ""]
    assert lines[3].startswith("Error: No such option") and "--js\\x1bon" in lines[3] and len(lines) == 4
    bare = CliRunner().invoke(cli, [], prog_name="qdqnp")
    assert bare.exit_code == 2 and "Is it right?" in bare.stderr


def test_below_the_net_everything_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "schema_text", raising(ValueError("planted")))
    with pytest.raises(ValueError, match="planted"):
        cli.main(["schema"], standalone_mode=False)


@pytest.mark.parametrize("category", [RuntimeWarning, UserWarning, DeprecationWarning])
def test_no_warning_is_shown(monkeypatch: pytest.MonkeyPatch, category: type[Warning]) -> None:
    def warn() -> None:
        warnings.warn("planted", category, stacklevel=1)
        np.array([1e38], np.float32) * np.float32(1e38)

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        result = escaping(monkeypatch, warn)
    assert (result.exit_code, result.stderr, seen) == (0, "", [])


# -- the report --------------------------------------------------------------------------------------------------------
def test_a_report_is_written_where_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "report.txt"
    monkeypatch.setenv(net.REPORT, str(path))
    result = escaping(monkeypatch, raising(ValueError("plan\x1bted")))
    assert result.exit_code == 3 and result.stderr.rstrip().endswith(f"; the report is in {path}")
    text = path.read_text(encoding="utf-8")
    assert "ValueError: plan\\x1bted" in text and "test_net.py" in text and "numpy 2" in text and "\x1b" not in text
    assert "command: [" in text
    path.write_text("mine")
    again = escaping(monkeypatch, raising(ValueError("other")))
    assert again.exit_code == 3 and "cannot be written" in again.stderr and "other" in again.stderr
    assert path.read_text() == "mine" and [item.name for item in tmp_path.iterdir()] == ["report.txt"]


@pytest.mark.parametrize("path", ["no/such/folder/report.txt", "", ".", "x" * 5000])
def test_a_report_that_cannot_be_written_takes_nothing_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(net.REPORT, path)
    result = escaping(monkeypatch, raising(ValueError("planted")))
    assert result.exit_code == 3
    assert result.stderr.startswith("internal error: ValueError: planted; ") and result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_no_report_of_what_is_not_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(net.REPORT, str(tmp_path / "report.txt"))
    assert escaping(monkeypatch, raising(InputError("bad"))).exit_code == 2
    assert not list(tmp_path.iterdir())


# -- what is documented ------------------------------------------------------------------------------------------------
def test_the_page_and_the_help_list_the_codes() -> None:
    page = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", page, re.M)
    assert {int(code): text for code, text in rows} == net.EXIT_CODES
    text = CliRunner().invoke(cli, ["--help"]).stdout
    for code, meaning in net.EXIT_CODES.items():
        assert f"{code}  {meaning}\n" in text
    assert net.REPORT in page


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_name_documented_codes_only(command: str) -> None:
    found = getattr(import_module(f"qdqnp.cli.{command}"), f"{command}_command")
    about = re.findall(r"Exit code .*", (found.help or "").replace("\n", " "))
    codes = {int(code) for text in about for code in re.findall(r"(?<![\w.])(\d+):", text)}
    assert codes <= net.EXIT_CODES.keys() - {net.INTERNAL, net.INTERRUPTED, net.CLOSED}
    assert about or command in ("profiles", "host", "schema", "operators")


# -- as processes ------------------------------------------------------------------------------------------------------
PLANTED = """
import os, resource, signal, sys, time, warnings
from qdqnp.cli import schema
def planted():
    {body}
    return "text"
schema.schema_text = planted
sys.argv = ["qdqnp", "schema"]
from qdqnp.__main__ import main
main()
"""
LIMITED = "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31)); "
# a shell's job in the background ignores SIGINT, and so would its children
RESTORED = partial(signal.signal, signal.SIGINT, signal.default_int_handler)


def process(*command: str, shell: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python with arguments, or a shell's line in which $PYTHON stands for it."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    words = ["bash", "-c", shell.replace("$PYTHON", sys.executable)] if shell else [sys.executable, *command]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.run(
        words, text=True, errors="backslashreplace", timeout=120, env=environment, preexec_fn=RESTORED, **streams
    )


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ("raise ValueError('planted')", 3, "internal error: ValueError: planted; set QDQNP_REPORT=FILE to have a rep"),
        ("planted()", 3, "internal error: RecursionError: "),
        (f"{LIMITED}bytearray(2**33)", 3, "error: no memory left; set"),
        (f"{LIMITED}list(iter(lambda: bytearray(2**16), 0))", 3, "error: no memory left; set"),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(9)", 130, "interrupted"),
        ("import numpy; numpy.float32(1e38) * numpy.float32(1e38)", 0, ""),
    ],
    ids=["exception", "recursion", "one large block", "many small blocks", "Ctrl-C", "warning"],
)  # fmt: skip
def test_a_process_ends_so(body: str, code: int, line: str) -> None:
    result = process("-c", PLANTED.format(body=body))
    assert result.returncode == code, result.stderr
    assert result.stderr.startswith(line) and result.stderr.count("\n") == bool(line)


def test_warnings_are_shown_to_who_asks_for_them() -> None:
    result = process(
        "-W", "error", "-c", PLANTED.format(body="import numpy; numpy.float32(1e38) * numpy.float32(1e38)")
    )
    assert result.returncode == 3 and "RuntimeWarning: overflow" in result.stderr


def test_two_interrupts() -> None:
    """The second comes while the first is being said, or later."""
    body = "os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(9)"
    again = "import threading; threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n    "
    result = process("-c", PLANTED.format(body=again + body))
    assert result.returncode == 130
    assert "Traceback" not in result.stderr and result.stderr.startswith("interrupted")


IMPORTING = """
import os, signal, sys
class Finder:
    def find_spec(self, name, *_):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)
            raise RuntimeError("a library that does not survive it")
sys.meta_path.insert(0, Finder())
sys.argv = ["qdqnp", "inspect", "--help"]
from qdqnp.__main__ import main
main()
"""


@pytest.mark.parametrize("name", ["click", "qdqnp.cli.net", "numpy", "onnx", "qdqnp.cli.inspect"])
def test_an_interrupt_during_an_import_ends_the_process_at_once(name: str) -> None:
    result = process("-c", IMPORTING.format(name=name))
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "interrupted\n")


def test_an_ignored_interrupt_stays_ignored_and_the_handler_is_restored() -> None:
    kept = signal.getsignal(signal.SIGINT)
    try:
        for handler in (signal.SIG_IGN, signal.default_int_handler):
            signal.signal(signal.SIGINT, handler)
            with leaving_at_once():
                assert (signal.getsignal(signal.SIGINT) == handler) == (handler == signal.SIG_IGN)
            assert signal.getsignal(signal.SIGINT) == handler
    finally:
        signal.signal(signal.SIGINT, kept)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["profiles", "--help", "profiles show ort --json", "schema"])
def test_a_closed_pipe_is_silent(words: str, unbuffered: str) -> None:
    """The reader is gone before the first byte."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        result = process("-m", "qdqnp", *words.split(), stdout=pipe, env={"PYTHONUNBUFFERED": unbuffered})
    assert (result.returncode, result.stderr) == (141, "")


@pytest.mark.parametrize("unbuffered", ["", "PYTHONUNBUFFERED=1 "])
def test_head(unbuffered: str) -> None:
    line = f"{unbuffered}$PYTHON -m qdqnp profiles 2>errors | head -1; echo ${{PIPESTATUS[0]}}; cat errors; rm errors"
    result = process(shell=line)
    first, *rest = result.stdout.splitlines()
    assert first.startswith("profile") and rest in (["0"], ["141"]) and result.stderr == ""


def test_standard_error_may_be_the_closed_pipe() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        assert process("-m", "qdqnp", "inspect", "no such file", stderr=pipe).returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", ["profiles", "--help", "profiles show ort --json", "profiles show ort --toml"])
def test_a_full_disk_is_a_line(words: str, unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        result = process("-m", "qdqnp", *words.split(), stdout=full, env={"PYTHONUNBUFFERED": unbuffered})
        assert result.returncode == 2
        assert result.stderr == "error: cannot write the output: No space left on device\n"
        assert process("-m", "qdqnp", "inspect", "no such file", stderr=full).returncode == 2


@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&- <&-", 0)])
def test_streams_that_are_closed_from_the_start(closed: str, code: int) -> None:
    result = process(shell=f"$PYTHON -m qdqnp schema {closed}")
    assert (result.returncode, result.stderr) == (code, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "ascii:strict"])
def test_output_that_is_not_utf_8(encoding: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('base = "ort"\nsummary = "grün 漢 \\u202e"\n', encoding="utf-8")
    for words in ([], ["--json"], ["--toml"]):
        result = process("-m", "qdqnp", "profiles", "show", str(file), *words, env={"PYTHONIOENCODING": encoding})
        assert (result.returncode, result.stderr) == (0, "")
        assert "gr" in result.stdout and "\u202e" not in result.stdout
    missing = process("-m", "qdqnp", "inspect", "grün 漢", env={"PYTHONIOENCODING": encoding})
    assert missing.returncode == 2 and "Traceback" not in missing.stderr


def test_an_interrupt_that_python_wraps_while_a_class_is_made(capfd: pytest.CaptureFixture[str]) -> None:
    def command() -> None:
        raise RuntimeError("Error calling __set_name__ on 'Field' instance") from KeyboardInterrupt()

    assert net.exit_code(command) == net.INTERRUPTED
    assert capfd.readouterr().err == "interrupted\n"
