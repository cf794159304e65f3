"""A small network in a file, a golden set of it, and a device that errs in one layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import qdqnp
from tests.networks import dla

Array = np.ndarray[Any, Any]


@pytest.fixture(scope="package")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("models") / "net.onnx"
    onnx.save(dla(), file)
    return file


@pytest.fixture(scope="package")
def vectors(path: Path) -> Path:
    """A golden set of one input under 'tflite'."""
    folder = path.parent / "vectors"
    qdqnp.golden(path, out=folder, profile="tflite", seed=3)
    return folder


@pytest.fixture(scope="package")
def device(path: Path, vectors: Path) -> dict[str, Array]:
    """The tensors of a device with tflite's arithmetic, whose last Conv adds 1 to a channel."""
    model, given = qdqnp.load(path), qdqnp.golden_sets.read(vectors).feeds()
    tensors = {name: array for name, array in model.trace(given, profile="tflite").items() if array.dtype == np.int8}
    convs = [step for step in model.program("tflite").steps if step.op == "QLinearConv"]
    wrong = tensors[convs[-1].output_names[0]].copy()
    wrong[:, 0] = np.where(wrong[:, 0] < 127, wrong[:, 0] + 1, 126)
    return {**tensors, convs[-1].output_names[0]: wrong}
