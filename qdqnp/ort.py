"""The names of onnxruntime that a script uses: `import qdqnp.ort as ort` in the place of `import onnxruntime as ort`.

>>> import qdqnp.ort as ort
>>> options = ort.SessionOptions()
>>> options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
>>> ort.get_available_providers()
['QdqnpExecutionProvider']
"""

from __future__ import annotations

from enum import IntEnum
from types import SimpleNamespace
from typing import Any

from qdqnp.api.session import PROVIDER, InferenceSession, MissingInputError, ModelMetadata, NodeArg
from qdqnp.version import __version__

__all__ = [
    "ExecutionMode",
    "GraphOptimizationLevel",
    "InferenceSession",
    "MissingInputError",
    "ModelMetadata",
    "NodeArg",
    "RunOptions",
    "SessionOptions",
    "__version__",
    "get_all_providers",
    "get_available_providers",
    "get_device",
    "set_default_logger_severity",
]


class GraphOptimizationLevel(IntEnum):
    """How far a session rewrites the graph; here the profile says it."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(IntEnum):
    """In which order a session computes; here nothing depends on it."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class SessionOptions(SimpleNamespace):
    """Options of a session: every one may be set, and none changes a result here. `profile` says what is computed."""

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Accept an option by its name."""

    def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
        """Accept a size: sizes are those of the arrays here."""


class RunOptions(SimpleNamespace):
    """Options of a run: every one may be set, and none changes a result here."""


def get_available_providers() -> list[str]:
    """Return the one provider that there is here."""
    return [PROVIDER]


def get_all_providers() -> list[str]:
    """Return the one provider that there is here."""
    return [PROVIDER]


def get_device() -> str:
    """Return where is computed."""
    return "CPU"


def set_default_logger_severity(severity: Any) -> None:
    """Accept how much onnxruntime would say: here the logger "qdqnp" decides."""
