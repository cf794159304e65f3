"""`qdqnp identify` as a user calls it: golden set and dump on disk, JSON, --fit, exit codes, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import qdqnp
from qdqnp import golden_sets
from qdqnp.cli import cli
from qdqnp.model import Model
from qdqnp.numerics.profile_toml import from_toml, load_profile
from qdqnp.numerics.profiles import PROFILES
from tests.diagnosis.identify.simulated import feeds, network, observe

SEED = 11


@pytest.fixture(scope="module")
def model() -> Model:
    return qdqnp.load(network(SEED))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    folder = tmp_path_factory.mktemp("identify")
    golden_sets.write(folder / "gold", network(SEED).SerializeToString(), inputs(), 3)
    runs = observe(model, "cmsis-nn", inputs())
    np.savez(folder / "dump.npz", **{key: np.stack([run.tensors[key] for run in runs]) for key in runs[0].tensors})
    return folder


def inputs() -> list[dict[str, np.ndarray]]:
    return feeds(np.random.default_rng(SEED), 3)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli, ["identify", *(str(argument) for argument in arguments)])


def test_the_profile_is_named(place: Path) -> None:
    result = run(place / "gold", place / "dump.npz")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[0] == "every code of every operator: tflite, tflm, tflm-2026-08, cmsis-nn"
    assert "equal on everything these layers can meet: tflite, tflm, tflm-2026-08, cmsis-nn" in result.output
    found = json.loads(run(place / "gold", place / "dump.npz", "--json").stdout)
    assert found["everywhere"] == ["tflite", "tflm", "tflm-2026-08", "cmsis-nn"] and found["runs"] == 3
    conv = next(verdict for verdict in found["operators"] if verdict["operator"] == "QLinearConv")
    assert conv["standings"][0]["differing"] == 0 < conv["standings"][1]["differing"]


def test_one_input_of_the_set_and_chosen_profiles(place: Path, model: Model) -> None:
    (place / "one").mkdir()
    for key, array in observe(model, "exact", inputs()[2:])[0].tensors.items():
        np.save(place / "one" / f"{key}.npy", array)
    assert run(place / "gold", place / "one", "--case", 2, "--profiles", "exact").exit_code == 0
    wrong = run(place / "gold", place / "one", "--case", 0, "--profiles", "exact")
    assert wrong.exit_code == 1 and "input_q" in wrong.output and "no arithmetic is involved" in wrong.output
    result = run(place / "gold", place / "one", "--case", 2, "--profiles", "neural-art")
    assert result.exit_code == 1 and "no profile gives every code of" in result.output


def test_fit_writes_a_profile_that_fits(place: Path, model: Model, tmp_path: Path) -> None:
    text = 'base = "neural-art"\n[conv]\ntie = "half-away"\nfirst_tie = "floor"\n[add]\ninner = "half-up"'
    mine = from_toml(text, "mine")
    runs = observe(model, mine, inputs())
    np.savez(tmp_path / "dump.npz", **{key: np.stack([r.tensors[key] for r in runs]) for key in runs[0].tensors})
    assert run(place / "gold", tmp_path / "dump.npz").exit_code == 1
    result = run(place / "gold", tmp_path / "dump.npz", "--fit", tmp_path / "mine.toml")
    assert result.exit_code == 0, result.output
    assert "first_tie=floor" in result.output and "wrote mine.toml" in result.output
    assert load_profile(tmp_path / "mine.toml").conv.inner_tie == mine.conv.inner_tie == "floor"
    again = run(place / "gold", tmp_path / "dump.npz", "--profiles", tmp_path / "mine.toml")
    assert again.exit_code == 0, again.output
    refused = run(place / "gold", tmp_path / "dump.npz", "--fit", tmp_path / "mine.toml")
    assert refused.exit_code == 2 and "--force" in refused.output
    assert run(place / "gold", tmp_path / "dump.npz", "--fit", tmp_path / "mine.toml", "--force").exit_code == 0


def test_the_model_may_lie_beside_the_set(place: Path, tmp_path: Path) -> None:
    data = network(SEED).SerializeToString()
    golden_sets.write(tmp_path / "gold", data, inputs(), 3, options=golden_sets.Options(store_model=False))
    result = run(tmp_path / "gold", place / "dump.npz")
    assert result.exit_code == 2 and "--model" in result.output
    (tmp_path / "net.onnx").write_bytes(data)
    assert run(tmp_path / "gold", place / "dump.npz", "--model", tmp_path / "net.onnx").exit_code == 0


def test_bad_input_exits_with_2(place: Path, tmp_path: Path) -> None:
    for golden_set, dump in (("none", "dump.npz"), ("gold", "none"), ("gold", "gold/manifest.json")):
        assert run(place / golden_set, place / dump).exit_code == 2
    np.savez(tmp_path / "nan.npz", y=np.array([np.nan]))
    assert run(place / "gold", tmp_path / "nan.npz").exit_code == 2
    assert run(place / "gold", place / "dump.npz", "--profiles", "nobody").exit_code == 2
    assert run(place / "gold", place / "dump.npz", "--fit", tmp_path / "no" / "folder.toml").exit_code == 2


def test_profiles_are_those_that_come_with_qdqnp(place: Path) -> None:
    found = json.loads(run(place / "gold", place / "dump.npz", "--json").stdout)
    for verdict in found["operators"]:
        named = {name for standing in verdict["standings"] for name in standing["profiles"]} | set(verdict["undefined"])
        assert named == set(PROFILES)
