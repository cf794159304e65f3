"""`qdqnp st`: shows what was compiled, and says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from qdqnp.cli import cli
from qdqnp.st.document import network_json
from tests.st.writing import random_network, write_folder


def run(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.mark.parametrize("seed", range(8))
def test_read_shows_every_layer(tmp_path: Path, seed: int) -> None:
    network = write_folder(tmp_path, random_network(np.random.default_rng(seed)))
    result = run("st", "read", tmp_path)
    assert result.exit_code == 0, result.output
    for layer in (*network.sums, *network.adds, *network.poolings, *network.lookups):
        assert layer.name in result.output
    assert f"compiler {network.compiler}, arithmetic of the profile {network.profile}" in result.output
    document = json.loads(run("st", "read", tmp_path, "--json").output)
    assert document == json.loads(json.dumps(network_json(network)))


def test_read_says_what_is_wrong(tmp_path: Path) -> None:
    result = run("st", "read", tmp_path)
    assert result.exit_code == 2 and "a C file of ST's compiler" in result.output
    assert run("st", "read").exit_code == 2


def test_names_are_shown_as_text(tmp_path: Path) -> None:
    write_folder(tmp_path, random_network(np.random.default_rng(0)))
    path = tmp_path / "network.c"
    path.write_text(
        path.read_text(encoding="utf-8").replace("node=Conv2D_0 ", "node=Conv2D\x1b[2J_0 "), encoding="utf-8"
    )
    result = run("st", "read", tmp_path)
    assert "\x1b" not in result.output and "\\x1b[2J" in result.output
