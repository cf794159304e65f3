"""Write the tools' files: whole or not at all, in folders that are made, the same bytes for the same contents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
from numpy.typing import NDArray

from qdqnp.files import atomic, npy


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file. Raises QdqnpError for what the file system refuses."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(atomic.target(path, "a file", force=True), data)


def write_model(path: Path, model: onnx.ModelProto) -> None:
    """Check the model and write it; the protobuf's maps are written in a fixed order."""
    onnx.checker.check_model(model, full_check=True)
    write_bytes(path, model.SerializeToString(deterministic=True))


def write_npz(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """Write an uncompressed .npz, whose entries have a fixed date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    npy.write_npz(atomic.target(path, "a file", force=True), arrays)
