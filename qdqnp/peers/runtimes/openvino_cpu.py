"""OpenVINO's CPU plugin as a runtime. Only this file imports openvino."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from qdqnp.quant import Array

#: Nothing is narrowed to bfloat16, and no activation is quantized while it runs.
_EXACT = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}


class OpenVinoRuntime:
    """OpenVINO, one thread, without what makes numbers less exact by intent."""

    def __init__(self) -> None:
        import openvino

        self._core: Any = openvino.Core()
        self.version = f"openvino {openvino.__version__}"

    def run(self, model: Path, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        options = {"INFERENCE_NUM_THREADS": 1, **_EXACT}
        compiled = self._core.compile_model(self._core.read_model(str(model)), "CPU", options)
        found = compiled(dict(inputs))
        return {port.get_any_name(): np.array(found[port]) for port in compiled.outputs}


def start(profile: str) -> OpenVinoRuntime:
    """Return the CPU plugin; it has one arithmetic, whatever the profile. Raises ImportError."""
    return OpenVinoRuntime()
