"""One small network and its set, shared by the tests of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
import pytest

import qdqnp
from qdqnp.golden_sets import GoldenSet, Options, read, write
from qdqnp.inputs.random_inputs import random_feeds
from tests.networks import dla

CASES = 3


@dataclass(frozen=True)
class Made:
    folder: Path
    found: GoldenSet
    model: qdqnp.Model


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grouped DLA, input float32 (1, 3, 16, 16)."""
    path = tmp_path_factory.mktemp("golden") / "net.onnx"
    onnx.save(dla(group=2), path)
    return path


def make(folder: Path, net: Path, profile: str = "tflite", cases: int = CASES, **options: object) -> Made:
    model = qdqnp.load(net)
    feeds = random_feeds(model.program(profile), cases, seed=4)
    write(folder, net, feeds, cases, profile=profile, seed=4, options=Options(**options))  # type: ignore[arg-type]
    return Made(folder, read(folder), model)


@pytest.fixture(scope="session")
def made(net: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Every layer in the formats that Python reads."""
    return make(tmp_path_factory.mktemp("golden") / "set", net, formats=("npz", "npy", "bin"))
