"""onnx's ReferenceEvaluator as a runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from qdqnp.quant import Array


class ReferenceRuntime:
    """The evaluator that onnx has beside its specification."""

    version = f"onnx {onnx.__version__}"

    def run(self, model: Path, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        evaluator = ReferenceEvaluator(str(model))
        found = evaluator.run(None, dict(inputs))
        return {name: np.asarray(array) for name, array in zip(evaluator.output_names, found, strict=True)}


def start(profile: str) -> ReferenceRuntime:
    """Return the evaluator; it has one arithmetic, whatever the profile."""
    return ReferenceRuntime()
