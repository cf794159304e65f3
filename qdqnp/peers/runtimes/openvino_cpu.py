"""OpenVINO's CPU plugin as a runtime. Only this file imports openvino."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qdqnp.quant import Array

#: Options of each kind. 'exact': nothing is narrowed to bfloat16, and no activation is quantized while it runs.
KINDS: Mapping[str, Mapping[str, Any]] = {
    "exact": {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0},
    "default": {},
}


class OpenVinoRuntime:
    """OpenVINO, one thread.

    kind: one of KINDS.
    """

    def __init__(self, kind: str) -> None:
        # Its Python package reports its use to its maker, from a process that it leaves behind; without this module it
        # does not.
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
        import openvino

        self._core: Any = openvino.Core()
        self._options = {"INFERENCE_NUM_THREADS": 1, **KINDS[kind]}
        self.version = f"openvino {openvino.__version__}"

    def run(self, model: Path, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        compiled = self._core.compile_model(self._core.read_model(str(model)), "CPU", self._options)
        found = compiled(dict(inputs))
        return {port.get_any_name(): np.array(found[port]) for port in compiled.outputs}


def start(kind: str) -> OpenVinoRuntime:
    """Return the CPU plugin with the options of a kind. Raises ImportError."""
    return OpenVinoRuntime(kind)
