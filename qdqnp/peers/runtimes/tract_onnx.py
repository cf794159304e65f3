"""tract as a runtime. Only this file imports tract."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from qdqnp.files.regular import read_bytes
from qdqnp.limits import MAX_FILE_BYTES
from qdqnp.quant import Array


class TractRuntime:
    """tract, its model optimized as its documentation does it."""

    def __init__(self) -> None:
        import tract

        self._tract: Any = tract
        self.version = f"tract {version('tract')}"

    def run(self, model: Path, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        loaded = self._tract.onnx().load(str(model))
        file = onnx.load_model_from_string(read_bytes(model, MAX_FILE_BYTES))
        outputs = [output.name for output in file.graph.output]  # tract names them by their nodes
        given = [inputs[loaded.input_name(number)] for number in range(loaded.input_count())]
        runnable = loaded.into_model().into_runnable()
        found = runnable.run([np.ascontiguousarray(array) for array in given])
        return {name: np.array(value.to_numpy()) for name, value in zip(outputs, found, strict=True)}


def start(profile: str) -> TractRuntime:
    """Return tract; it has one arithmetic, whatever the profile. Raises ImportError."""
    return TractRuntime()
