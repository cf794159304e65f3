"""`--workers`, `--scheduler` and `--results` of commands: the same output, Ctrl-C, and what does not go together."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result

from qdqnp.cli import cli
from qdqnp.engine import cluster
from tests.networks import dla

ROOT = Path(__file__).parents[2]
PROFILES = ("--profiles", "ort,tflite")
# a shell's job in the background ignores SIGINT, and so would its children
RESTORED = partial(signal.signal, signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("models") / "net.onnx"
    onnx.save(dla(), file)
    return file


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def hashes(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def living(group: int) -> list[str]:
    """Processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, of = path.read_text().rpartition(")")[2].split()[:3]
            found += [path.parent.name] if int(of) == group and state != "Z" else []
    return found


def test_a_report_is_the_same_bytes_for_any_number_of_workers(path: Path, tmp_path: Path) -> None:
    words = ("diff", path, *PROFILES, "--random", "4", "--json")
    first = run(*words)
    assert first.exit_code == 0, first.output
    assert run(*words, "--workers", "2", "--results", tmp_path / "kept").stdout == first.stdout
    assert len(list((tmp_path / "kept").iterdir())) == 4
    assert run(*words, "--results", tmp_path / "kept").stdout == first.stdout
    more = run("diff", path, *PROFILES, "--random", "5", "--json", "--results", tmp_path / "kept")
    assert more.stdout == run("diff", path, *PROFILES, "--random", "5", "--json").stdout != first.stdout
    assert len(list((tmp_path / "kept").iterdir())) == 5


def test_sets_are_the_same_bytes_for_any_number_of_workers(path: Path, tmp_path: Path) -> None:
    """Of golden and stimulate, with what a folder of results has of both."""
    commands = {
        "golden": ("golden", path, "--random", "3", "--profile", "tflite", "--roles", "output"),
        "stimulate": ("stimulate", path, "--count", "1", "--steps", "4"),
    }
    for name, words in commands.items():
        for where in ((), ("--workers", "2", "--results", tmp_path / "kept")):
            result = run(*words, *where, "--out", tmp_path / f"{name}{len(where)}")
            assert result.exit_code == 0, result.output
        one, two = (hashes(tmp_path / f"{name}{count}") for count in (0, 4))
        assert one == two and len(one) > 3
    assert len(list((tmp_path / "kept").iterdir())) >= 2 + 5 + 1 + 4


def test_ctrl_c_ends_the_command_and_the_next_run_goes_on(path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    words = ["diff", str(path), *PROFILES, "--random", "400", "--json", "--workers", "2", "--results", str(kept)]
    process = subprocess.Popen(
        [sys.executable, "-m", "qdqnp", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=RESTORED,
    )
    end = time.monotonic() + 60
    while not kept.exists() or len(list(kept.glob("*.json"))) < 5:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the command and to its workers
    out, said = process.communicate(timeout=60)
    assert (process.returncode, out, said) == (130, b"", b"interrupted\n")
    while living(process.pid):
        assert time.monotonic() < end + 30
        time.sleep(0.02)
    done = {file: file.stat().st_mtime_ns for file in kept.iterdir()}
    assert 5 <= len(done) < 400 and all(file.suffix == ".json" for file in done)
    few = ("diff", path, *PROFILES, "--random", str(len(done) + 3), "--json")
    again = run(*few, "--results", kept)
    assert again.exit_code == 0 and again.stdout == run(*few).stdout
    assert {file: file.stat().st_mtime_ns for file in done} == done  # what was finished was not done again


def test_a_scheduler_that_is_not_reached_is_a_clear_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "PATIENCE_SECONDS", 0.5)
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{held.getsockname()[1]}"
        result = run("diff", path, *PROFILES, "--random", "2", "--scheduler", address)
    assert result.exit_code == 2
    assert "the scheduler is not reached" in result.stderr and address in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--workers", "0"), "0 is not in the range"),
        (("--workers", "2", "--scheduler", "tcp://127.0.0.1:1"), "not with --scheduler"),
        (("--results", "{path}"), "cannot keep results"),
        (("--results", "a\0b"), "cannot keep results"),
    ],
)
def test_what_does_not_go_together_is_bad_usage(path: Path, words: tuple[str, ...], message: str) -> None:
    result = run("diff", path, *PROFILES, *(word.format(path=path) for word in words))
    assert result.exit_code == 2 and message in result.stderr


@pytest.mark.parametrize("words", [("--workers", "2"), ("--scheduler", "x"), ("--results", "x")])
def test_a_proof_runs_nothing(path: Path, words: tuple[str, ...]) -> None:
    result = run("diff", path, *PROFILES, "--prove", *words)
    assert result.exit_code == 2 and "--prove runs nothing" in result.stderr
