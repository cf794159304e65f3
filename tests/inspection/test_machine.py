"""What `qdqnp doctor` says is what the machine is."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from qdqnp.cli import cli
from qdqnp.executor import threads
from qdqnp.inspection import machine as described
from qdqnp.inspection.machine import machine
from qdqnp.numerics import chain
from qdqnp.numerics.chain import FEWEST, TILINGS, tiling_for


def test_versions_and_libraries_are_those_that_are_loaded() -> None:
    found = machine()
    assert found["packages"]["numpy"] == np.__version__
    assert found["cpu"]["cores"] >= 1
    assert [one["threads"] for one in found["blas"]["loaded"]] == [
        one["num_threads"] for one in threads.blas_libraries()
    ]


def test_the_probe_is_the_one_that_products_go_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where BLAS is no chain, neither the description nor a product says so."""
    shape = (32, 64, 256)
    left, right = np.ones((1, *shape[:2]), np.float32), np.ones((1, *shape[1:]), np.float32)
    assert (tiling_for(*shape) is None) == (chain.chained_sums(left, right) is None)
    monkeypatch.setattr(chain, "is_chain", lambda *_: False)
    assert tiling_for(*shape) is None and chain.chained_sums(left, right) is None
    assert set(machine()["float_sums"].values()) == {"one by one: by the definition, slowly"}


def test_a_tiling_is_the_first_that_the_probe_admits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "is_openblas", lambda: True)
    monkeypatch.setattr(chain, "is_chain", lambda rows, terms, columns, margin, *_: margin == TILINGS[1].margin)
    assert tiling_for(32, 64, 256) == TILINGS[1]
    assert tiling_for(1, 1, FEWEST - 1) is None
    monkeypatch.setattr(chain, "is_openblas", lambda: False)
    assert tiling_for(32, 64, 256) is None


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    versions: dict[str, Any] = {}
    monkeypatch.setattr(described, "_version", versions.get)
    monkeypatch.setattr(described, "is_openblas", lambda: False)
    assert [line.split(":")[0] for line in machine()["advice"]] == [
        "float sums in ONNX Runtime's order are slow",
        "BLAS may use as many threads as it likes, which costs time",
        "there is no ONNX Runtime to compare with",
    ]


def test_the_command_prints_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "[red]Haswell")
    plain = CliRunner().invoke(cli, ["doctor"])
    assert plain.exit_code == 0
    assert f"numpy {np.__version__}" in plain.stdout and "environment: OPENBLAS_CORETYPE=[red]Haswell" in plain.stdout
    found = json.loads(CliRunner().invoke(cli, ["doctor", "--json"]).stdout)
    assert found["packages"]["numpy"] == np.__version__ and list(found["float_sums"]) == list(described.PRODUCTS)
