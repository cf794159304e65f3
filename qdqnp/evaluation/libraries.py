"""The libraries beside NumPy on which an evaluation's figures depend: Pillow decodes, ONNX Runtime computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from qdqnp.engine.worker import other_versions
from qdqnp.errors import QdqnpError
from qdqnp.evaluation.columns import OpenColumn
from qdqnp.inputs.pictures import pillow
from qdqnp.peers.ort.session import import_onnxruntime


def libraries_of(columns: Iterable[OpenColumn]) -> Mapping[str, str]:
    """Return the releases here of what the columns need: Pillow for pictures, onnxruntime for sessions; without those
    that are not installed."""
    found = {}
    columns = list(columns)
    if any(column.preprocessing is not None for column in columns):
        found["pillow"] = _release(pillow)
    if any(column.session for column in columns):
        found["onnxruntime"] = _release(import_onnxruntime)
    return {name: release for name, release in found.items() if release is not None}


def check_libraries(wanted: Mapping[str, str], columns: Iterable[OpenColumn]) -> None:
    """Raise EngineError where the releases here are others than those of who sent the work."""
    here = libraries_of(columns)
    if dict(wanted) != dict(here):
        raise other_versions(here, ours=wanted)


def _release(imported: Callable[[], Any]) -> str | None:
    try:
        return str(imported().__version__)
    except QdqnpError:
        return None
