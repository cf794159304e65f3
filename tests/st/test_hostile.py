"""Folders that lie: numbers without measure, names that are code, paths or no text, more than any network has."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from qdqnp.cli import cli
from qdqnp.st import places, structures
from tests.st.board import BUILD
from tests.st.writing import random_network, write_folder

INFO, QUANTIZATION = "network_c_info.json", "net_OE_3_3_0_Q.json"
NAMES = (
    '*/ #error "x"',
    "/*",
    "x\\\n#error",
    'x" }; int evil(void) { return 1; } /*',
    "??/\n#error",
    "../../etc/passwd",
    "/etc/passwd",
    "\ud800",
    "\u202e\x1b[2J[red]",
    "\0",
    "é" * 200,
    "x" * 100_000,
    "",
)
NUMBERS = (-1, 2**31, 2**32, 2**40 - 1, 2**63, 10**400, 1e308, "inf", "nan", None, True, "7", [], {}, 0.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_folder(tmp_path / "st", random_network(np.random.default_rng(3)))
    return tmp_path / "st"


def ends_well(folder: Path) -> list[int]:
    """Run every command; each is done or says what is wrong, and nothing but its output is written."""
    hook, profile = folder.parent / "hook.c", folder.parent / "mine.toml"
    before = sorted(path for path in folder.parent.rglob("*") if path not in (hook, profile))
    codes = []
    for words in (
        ["read", folder, "--out", profile, "--force"],
        ["read", folder, "--json"],
        ["memory", folder, "--epochs"],
        ["memory", folder, "--json"],
        ["dump-hook", folder, "--out", hook, "--force"],
    ):
        done = CliRunner().invoke(cli, ["st", *map(str, words)])
        assert done.exit_code in (0, 2), (words, done.exception, done.output)
        assert done.exception is None or isinstance(done.exception, SystemExit), (words, repr(done.exception))
        codes.append(done.exit_code)
    assert sorted(path for path in folder.parent.rglob("*") if path not in (hook, profile)) == before
    if codes[-1] == 0 and shutil.which("gcc"):
        made = subprocess.run([*BUILD, "-c", "-o", os.devnull, hook], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
    return codes


def edited(path: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON document; 'inf' and 'nan' stand for what JSON has no numbers for."""
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    text = json.dumps(document).replace('"inf"', "1e999").replace('"nan"', "NaN")
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: str(value)[:8])
def test_numbers_of_a_buffer(folder: Path, value: object) -> None:
    text = (folder / INFO).read_text(encoding="utf-8")
    row = json.loads(text)["buffers"][0]
    for field, inner in row.items():
        for key, old in inner.items() if isinstance(inner, dict) else [("", inner)]:
            new = [value] * len(old) if isinstance(old, list) else value
            changed = {**row, field: {**inner, key: new} if key else new}
            (folder / INFO).write_text(text, encoding="utf-8")
            edited(folder / INFO, lambda document, changed=changed: document["buffers"].__setitem__(0, changed))
            ends_well(folder)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_of_buffers(folder: Path, name: str) -> None:
    def change(document: Any) -> None:
        for row in document["buffers"]:
            row["name"] = name

    edited(folder / INFO, change)
    ends_well(folder)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_of_nodes_are_no_paths(folder: Path, name: str) -> None:
    edited(folder / QUANTIZATION, lambda document: document.setdefault("nodes", {}).update({name: {"names": [name]}}))
    assert ends_well(folder)[0] == (2 if name == "\ud800" else 0)  # which is no JSON text


@pytest.mark.parametrize("name", ["x\udcff_OE_1.onnx", '*_OE_"];x.onnx', "x\n_OE_.onnx"])
def test_names_of_files(folder: Path, name: str) -> None:
    for path in folder.glob("*_OE_*.onnx"):
        path.unlink()
    try:
        (folder / name).write_bytes(b"")
    except OSError:
        pytest.skip("no such names here")
    assert ends_well(folder)[0] == 0


def test_a_document_in_itself_a_hundred_thousand_times(folder: Path) -> None:
    (folder / INFO).write_text("[" * 100_000, encoding="utf-8")
    assert set(ends_well(folder)) == {2}


def test_pools_that_lead_to_themselves(folder: Path) -> None:
    def change(document: Any) -> None:
        pool = document["memory_pools"][0]
        document["memory_pools"] = [{**pool, "id": number, "parent_id": number} for number in range(50)] * 2

    edited(folder / INFO, change)
    ends_well(folder)


def test_macros_are_not_expanded(folder: Path) -> None:
    """Each stands for ten of the one before: nothing is put in its place."""
    bomb = "\n".join(f"#define A{n} {' '.join([f'A{n - 1}'] * 10)}" for n in range(1, 60))
    path = folder / "network.c"
    text = f"{bomb}\nstatic const LL_Convacc_InitTypeDef A60_init1 = {{ .simd = A59 }};\n"
    path.write_text(text + path.read_text(encoding="utf-8"), encoding="utf-8")
    started = time.process_time()
    ends_well(folder)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "piece",
    [
        "/* " + "x" * 4_000_000 + " */",
        "static const LL_Convacc_InitTypeDef " + "x" * 4_000_000 + " = {0};",
        "static const LL_Convacc_InitTypeDef x = {" + "-" * 4_000_000 + "1};",
        "static const LL_Convacc_InitTypeDef x = {0x" + "f" * 4_000_000 + "};",
        "static const LL_Convacc_InitTypeDef x = {" + "9" * 4_000_000 + "};",
        "/* kind=Conv node=" + "_ca_pipe_1" * 400_000 + " */",
    ],
    ids=range(6),
)
def test_a_line_of_four_million_characters(folder: Path, piece: str) -> None:
    path = folder / "network.c"
    path.write_text(piece + "\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    started = time.process_time()
    ends_well(folder)
    assert time.process_time() - started < 20


def test_a_million_structures_are_refused(folder: Path) -> None:
    path = folder / "network.c"
    many = "static const LL_Poolacc_InitTypeDef a_init1 = {0};\n" * 600_000  # 30 MB, the largest file is 32
    path.write_text(many + path.read_text(encoding="utf-8"), encoding="utf-8")
    started = time.process_time()
    done = CliRunner().invoke(cli, ["st", "read", str(folder)])
    assert done.exit_code == 2 and f"at most {structures.MAX_STRUCTURES} structures" in done.output
    assert time.process_time() - started < 20


def test_more_tensors_than_a_network_has_are_refused(folder: Path) -> None:
    def change(document: Any) -> None:
        row = document["buffers"][0]
        document["buffers"] = [{**row, "name": f"t{number}"} for number in range(places.MAX_TENSORS + 1)]

    edited(folder / INFO, change)
    done = CliRunner().invoke(cli, ["st", "read", str(folder)])
    assert done.exit_code == 2 and f"at most {places.MAX_TENSORS}" in done.output
