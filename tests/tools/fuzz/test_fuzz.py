"""The fuzzer finds what is planted, goes on behind it, and repeats itself."""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner
from google.protobuf.message import DecodeError

from qdqnp.ops.registry import operators
from tools.fuzz import fuzz, fuzz_case
from tools.fuzz.fuzz import Settings, main, run
from tools.fuzz.fuzz_mutate import MUTATIONS, mutate_bytes, splice
from tools.fuzz.fuzz_seeds import seeds

SEEDS = seeds()
PROFILES = ("ort", "tflite", "exact")


def settings(out: Path, profiles: tuple[str, ...] = PROFILES) -> Settings:
    return Settings(3, profiles, out, SEEDS)


def test_the_seeds_hold_every_operator() -> None:
    assert {(node.domain, node.op_type) for model in SEEDS for node in model.graph.node} >= operators().keys()


def test_a_file_depends_on_seed_and_index_alone(tmp_path: Path) -> None:
    first, again = ([settings(tmp_path).case(index) for index in order] for order in (range(200), reversed(range(200))))
    assert [case.data for case in first] == [case.data for case in reversed(again)]
    assert [case.profile for case in first] == [case.profile for case in reversed(again)]
    assert len({case.data for case in first}) > 190
    assert len({case.profile for case in first}) == 3


@pytest.mark.parametrize("mutation", sorted({mutation.__name__ for mutation in MUTATIONS}))
def test_every_mutation_changes_models(mutation: str, seed: int) -> None:
    function = next(item for item in MUTATIONS if item.__name__ == mutation)
    changed = 0
    for index in range(240):
        rng = random.Random(seed + index)
        model = onnx.ModelProto()
        model.CopyFrom(SEEDS[index * 7 % len(SEEDS)])
        before = model.SerializeToString(deterministic=True)
        function(rng, model, SEEDS[0]) if function is splice else function(rng, model)
        changed += model.SerializeToString(deterministic=True) != before
    assert changed > 1


def test_mutated_bytes_differ_and_mostly_still_parse(seed: int) -> None:
    data = SEEDS[0].SerializeToString()
    parsed = 0
    for index in range(200):
        found = mutate_bytes(random.Random(seed + index), data)
        try:
            onnx.ModelProto().ParseFromString(found)
        except (DecodeError, UnicodeDecodeError):
            continue
        parsed += found != data
    assert 5 < parsed < 200, parsed


def test_the_command(tmp_path: Path) -> None:
    arguments = ["-n", "400", "--jobs", "2", "--seed", "1", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "| files | 400 |" in result.stdout and "| findings | 0 |" in result.stdout
    for stage in ("load", "inspect", "run"):
        assert f"| {stage} gave a result | 0 |" not in result.stdout
    assert not (tmp_path / "out").exists()


def planted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: Any, files: int = 150) -> fuzz_case.Tally:
    """A run in which every load of a model with a Relu does something else."""

    def load(source: Any) -> Any:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        if b"Relu" in data:
            fault()
        return real(source)

    real = fuzz_case.load
    monkeypatch.setattr(fuzz_case, "load", load)
    tally, _ = run(settings(tmp_path / "out"), files, jobs=2, first=0)
    return tally


def raising() -> None:
    raise ValueError("planted")


def test_an_exception_is_found_kept_and_made_smaller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tally = planted(monkeypatch, tmp_path, raising)
    assert tally.files == 150
    assert tally.findings["ValueError: planted"] > 3
    texts = sorted((tmp_path / "out").glob("*.txt"))
    assert 1 < len(texts) <= 2 * fuzz.KEPT
    for text in texts:
        assert "planted" in text.read_text() and "raising" in text.read_text()
        assert b"Relu" in text.with_suffix(".onnx").read_bytes()
    cases = {int(text.stem): text.with_suffix(".onnx").stat().st_size for text in texts}
    assert all(size <= len(settings(tmp_path).case(index).data) for index, size in cases.items())
    assert min(cases.values()) < 60


def test_a_touched_file_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fuzz, "shrink", lambda case, *_: case)
    tally = planted(monkeypatch, tmp_path, lambda: Path(os.devnull).read_bytes())
    assert set(tally.findings) == {"TouchedError: open '/dev/null' 'r'"}


def test_memory_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fuzz, "shrink", lambda case, *_: case)
    tally = planted(monkeypatch, tmp_path, lambda: bytearray(3 * 2**30))
    assert [kind.split(":")[0] for kind in tally.findings] == ["MemoryError"]


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not say what address space a process has")
def test_address_space_of_the_parent_does_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On a machine with many processors it has much."""
    with mmap.mmap(-1, 3 * 2**30, mmap.MAP_PRIVATE, mmap.PROT_READ):
        assert fuzz_case.address_space() > 3 * 2**30
        tally = planted(monkeypatch, tmp_path, lambda: bytearray(2**20), files=20)
    assert tally.files == 20 and not tally.findings


def test_time_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fuzz, "shrink", lambda case, *_: case)
    monkeypatch.setattr(fuzz_case, "SECONDS", 0.05)
    tally = planted(monkeypatch, tmp_path, lambda: time.sleep(5), files=40)
    assert tally.files == 40
    assert any(kind.startswith("TooSlow") for kind in tally.findings)


def test_a_dead_process_is_found_and_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fuzz, "BLOCK", 1)
    tally = planted(monkeypatch, tmp_path, lambda: os.kill(os.getpid(), signal.SIGKILL), files=40)
    assert tally.files == 40
    assert set(tally.findings) == {"process killed by signal 9"}
    assert len(list((tmp_path / "out").glob("*.onnx"))) == tally.findings["process killed by signal 9"]


def test_a_hung_process_is_found_and_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A signal handler waits for C code to return; the parent does not."""
    monkeypatch.setattr(fuzz, "BLOCK", 1)
    monkeypatch.setattr(fuzz, "SECONDS", 0)
    monkeypatch.setattr(fuzz, "GRACE", 1)

    def hang() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(60)

    tally = planted(monkeypatch, tmp_path, hang, files=20)
    assert tally.files == 20
    assert set(tally.findings) == {"no answer for 1 s"}


def test_one_file_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fuzz, "limit_process", lambda: None)  # it is for good, and this process goes on
    result = CliRunner().invoke(main, ["--only", "7", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
