"""What a compiled network uses of each memory, of places whose sums are plain to see."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from qdqnp.cli import cli
from qdqnp.st.compiled import CompiledNetwork, TensorPlace
from qdqnp.st.footprint import footprint
from tests.networks import dla
from tests.st.writing import FLASH, RAM, random_network, write_folder


def place(name: str, address: int | None, size: int, epochs: tuple[int, int], role: str = "activation") -> TensorPlace:
    pool = FLASH if role == "parameter" else RAM
    where = None if address is None else pool.base + address
    name_of = "" if address is None else pool.name
    return TensorPlace(
        name, where, size, name_of, (1, size, 1, 1), *epochs, 8, True, "first", 1, 7, 0, (1.0,), (0,), role
    )


def network() -> CompiledNetwork:
    places = (
        place("w", 0, 100, (0, 9), "parameter"),
        place("v", 128, 72, (0, 9), "parameter"),
        place("a", 0, 1000, (0, 2)),
        place("b", 1000, 500, (1, 3)),
        place("c", 800, 400, (2, 2)),  # lies over both
        place("d", 0, 300, (4, -1)),
        place("x", None, 4096, (0, 1), "input"),
    )
    return replace(random_network(np.random.default_rng(0)), places=places)


def test_each_memory_up_to_its_last_tensor() -> None:
    ram, flash = footprint(network())
    assert (ram.name, ram.parameters, ram.activations, ram.size, ram.external) == (RAM.name, 0, 1500, RAM.size, False)
    assert (flash.name, flash.parameters, flash.activations, flash.external) == (FLASH.name, 200, 0, True)
    assert ram.alive == ((0, 1000), (1, 1500), (2, 1500), (4, 300)) and ram.fullest == (1, 1500)
    assert flash.alive == () and flash.fullest == (-1, 0)


def test_what_lives_on_in_another_memory_counts_there() -> None:
    other = replace(place("e", 0, 70, (1, 3)), address=0x100, pool="other")
    tensors = (*network().places, other)
    small, ram, _ = footprint(replace(network(), places=tensors))
    assert small.alive == ((0, 0), (1, 70), (2, 70), (4, 0)) and ram.alive == footprint(network())[0].alive


def test_nothing_has_a_place() -> None:
    assert footprint(replace(network(), places=())) == ()


def test_the_command(tmp_path: Path) -> None:
    write_folder(tmp_path / "st", network())
    (tmp_path / "model.onnx").write_bytes(dla(seed=1).SerializeToString())
    run = ["st", "memory", str(tmp_path / "st")]
    shown = CliRunner().invoke(cli, run)
    assert shown.exit_code == 0
    assert "constants 200 bytes; other tensors 1,500 bytes internal, 0 external" in shown.output
    assert "epoch  runs on" not in shown.output
    lines = CliRunner().invoke(cli, [*run, "--epochs"]).output.splitlines()
    begin = next(at for at, line in enumerate(lines) if "runs on" in line)
    assert lines[begin].split()[-1] == RAM.name and FLASH.name not in lines[begin]
    rows = [line.split() for line in lines[begin + 1 :] if line[:1].isdigit() or line.strip()[:1].isdigit()]
    assert [(row[0], row[-1]) for row in rows] == [("0", "1,000"), ("1", "1,500"), ("2", "1,500"), ("4", "300")]
    done = CliRunner().invoke(cli, [*run, "--model", str(tmp_path / "model.onnx"), "--json"])
    found = json.loads(done.stdout)
    assert [pool["activations"] for pool in found["pools"]] == [1500, 0]
    assert found["model"]["peak"] > 0
