"""The fuzzer of commands: its files are valid, its mutations change them, and it finds what is planted."""

from __future__ import annotations

import json
import os
import random
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from qdqnp.cli import inspect as inspect_module
from qdqnp.golden_sets.manifest import own_hash
from qdqnp.golden_sets.reading import read as read_golden
from tools.fuzz import commands, fuzz, fuzz_case
from tools.fuzz.command_files import Originals, lay, originals
from tools.fuzz.command_mutate import KINDS, MANIFEST, disturb, forge, mutate_file
from tools.fuzz.commands import DRAWN, Command, CommandRunner, Commands, draw, main
from tools.fuzz.fuzz_case import Finding
from tools.fuzz.fuzz_seeds import seeds

MODELS = seeds()[:50]


@pytest.fixture(scope="module")
def made() -> Originals:
    return originals()


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[CommandRunner]:
    """A runner in this process, without the limits of memory, and with warnings as errors."""
    before, there = signal.getsignal(signal.SIGPROF), Path.cwd()
    fuzz_case.catch_alarm()
    signal.signal(signal.SIGPROF, signal.getsignal(signal.SIGALRM))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield CommandRunner(tmp_path.resolve())
    os.chdir(there)
    signal.signal(signal.SIGPROF, before)


def plain(words: str, made: Originals, *outputs: str) -> Command:
    """A command on the valid files of the first kit."""
    return Command(0, words.split(), {**made.kits[0].files, **made.common}, outputs, False, random.Random(0))


@pytest.mark.parametrize("number", range(len(DRAWN)))
def test_unmutated_commands_mostly_end_well(
    number: int, made: Originals, runner: CommandRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the mutated ones would test nothing."""
    monkeypatch.setattr(commands, "DRAWN", [DRAWN[number]])
    monkeypatch.setattr(commands, "mutate_file", lambda rng, name, data, models: data)
    monkeypatch.setattr(commands, "PROFILES", ("ort",))
    for index in range(2 if DRAWN[number][0] in (commands._probes, commands._stimulate) else 8):
        command = draw(11, index, made, MODELS)
        command.disturbed = False
        assert runner.run(command) is None
    ends = runner.take_tally().reached
    assert sum(count for key, count in ends.items() if key[-1] in "01") >= 1, ends


def test_a_command_depends_on_seed_and_index_alone(made: Originals) -> None:
    first, again = ([draw(3, index, made, MODELS) for index in order] for order in (range(60), reversed(range(60))))
    pairs = list(zip(first, reversed(again), strict=True))
    assert all(one.words == two.words and one.files == two.files for one, two in pairs)
    assert {command.words[0] for command in first} >= {"run", "compare", "golden", "explain", "inspect", "diff"}


@pytest.mark.parametrize("suffix", sorted(KINDS))
def test_mutations_change_files_of_every_kind(suffix: str, made: Originals, seed: int) -> None:
    files = {**made.kits[0].files, **made.common, **made.compiled}
    name = next(name for name in files if name.endswith(f".{suffix}"))
    changed = [mutate_file(random.Random(seed + index), name, files[name], MODELS) for index in range(40)]
    assert sum(data != files[name] for data in changed) > 10 and len(set(changed)) > 10


def test_a_forged_set_is_read(made: Originals, tmp_path: Path) -> None:
    for kit in made.kits[:4]:
        files = dict(kit.files)
        document = json.loads(files[MANIFEST])
        document["versions"]["numpy"] = "0.0"
        files[MANIFEST] = json.dumps(document).encode()
        assert not own_hash(files[MANIFEST])
        forge(files)
        assert own_hash(files[MANIFEST])
        lay(files, tmp_path / kit.name)
        found = read_golden(tmp_path / kit.name / "gold")
        assert all(found.array(tensor) is not None for tensor in found.tensors)


def test_folders_are_disturbed_and_the_victim_is_not(made: Originals, tmp_path: Path, seed: int) -> None:
    (tmp_path / "victim").write_bytes(b"v")
    shapes = set()
    for index in range(30):
        root = tmp_path / str(index)
        lay(made.kits[0].files, root)
        disturb(random.Random(seed + index), root, tmp_path / "victim")
        shapes |= {("link" if p.is_symlink() else "fifo" if p.is_fifo() else "plain") for p in root.rglob("*")}
    assert shapes == {"link", "fifo", "plain"} and (tmp_path / "victim").read_bytes() == b"v"


# -- what is found -----------------------------------------------------------------------------------------------------
def planted(
    monkeypatch: pytest.MonkeyPatch, made: Originals, runner: CommandRunner, fault: Callable[[], Any]
) -> Finding:
    monkeypatch.setattr(inspect_module, "_print", lambda *_: fault())
    finding = runner.run(plain("inspect m.onnx", made))
    assert finding is not None
    return finding


def write(name: str) -> None:
    Path(name).write_bytes(b"x")


def slow() -> None:
    start = time.process_time()
    while time.process_time() < start + 5:
        pass


def leave() -> None:
    raise SystemExit(7)


FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "an exception": (lambda: [][0], "IndexError"),
    "memory": (lambda: (_ for _ in ()).throw(MemoryError()), "MemoryError"),
    "a warning": (lambda: np.float32(3e38) * np.float32(10), "RuntimeWarning"),
    "an exit code": (leave, "LeftError in ?: exit code 7"),
    "a file left behind": (lambda: write("new"), "LeftError in ?: inspect: new"),
    "an input changed": (lambda: write("in.npz"), "LeftError in ?: inspect: in.npz"),
    "a file outside": (lambda: write("../victim"), "LeftError in ?: inspect: victim"),
    "a file that is gone": (lambda: Path("d.npz").unlink(), "LeftError in ?: inspect: d.npz"),
    "a recognizer that failed": (lambda: print("'bias' failed: KeyError: 3"), "LeftError in ?: 'bias' failed"),
    "time": (slow, "TooSlow"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_planted_is_found(
    name: str, made: Originals, runner: CommandRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, expected = FAULTS[name]
    monkeypatch.setattr(commands, "SECONDS", 0.3 if name == "time" else 60)
    assert planted(monkeypatch, made, runner, fault).kind.startswith(expected)


def test_outputs_are_no_findings(made: Originals, runner: CommandRunner) -> None:
    words = "golden m.onnx --input in.npz --profile ort --out out"
    assert runner.run(plain(words, made, "out")) is None
    assert runner.run(plain("compare gold d.npz --junit j.xml --html h.html", made, "j.xml", "h.html")) is None
    assert runner.run(plain("golden m.onnx --input in.npz --out gold --force", made)) is None
    assert runner.take_tally().reached == {"golden 0": 2, "compare 0": 1}


@pytest.mark.parametrize("text", ['{"a": NaN}', "{", ""])
def test_json_that_is_none_is_found(
    text: str, made: Originals, runner: CommandRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qdqnp.cli.inspect.print_json", lambda *_: print(text))
    finding = runner.run(plain("inspect m.onnx --json", made))
    assert finding is not None and "JSON" in finding.kind


def test_a_dead_process_is_found_and_its_files_are_kept(
    made: Originals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fuzz, "BLOCK", 1)
    monkeypatch.setattr(commands, "invoke", lambda words: os.kill(os.getpid(), signal.SIGKILL))
    tally, _ = fuzz.run(Commands(3, tmp_path / "out", made, MODELS), 2, 1, 0, 60)
    assert tally.files == 2 and tally.findings == {"process killed by signal 9": 2}
    assert "qdqnp" in (tmp_path / "out" / "0.txt").read_text()


def test_commands_without_a_finding(made: Originals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The small tier; the numbers of the large one are in SECURITY.md."""
    monkeypatch.setattr(commands, "originals", lambda: made)
    monkeypatch.setattr(commands, "seeds", lambda: MODELS)
    result = CliRunner().invoke(main, ["-n", "120", "--seed", "2026", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert "120 commands" in result.stdout and "0 findings" in result.stdout
    again = CliRunner().invoke(main, ["--only", "5", "--seed", "2026", "--out", str(tmp_path / "out")])
    assert again.exit_code == 0 and "1 commands" in again.stdout, again.output
