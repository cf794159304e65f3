"""Files of the tools: written whole or not at all, and the same bytes for the same contents."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray


def write_bytes(path: Path, data: bytes) -> None:
    """Writes `data` beside `path` and renames it, so that an interrupted run leaves no half of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # mkstemp makes files that only their owner may read.
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_model(path: Path, model: onnx.ModelProto) -> None:
    """Checks the model and writes it; the protobuf's maps are written in a fixed order."""
    onnx.checker.check_model(model, full_check=True)
    write_bytes(path, model.SerializeToString(deterministic=True))


def write_npz(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """Writes an uncompressed .npz: NumPy gives its entries a fixed date, and no version of zlib has a say."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle
    write_bytes(path, buffer.getvalue())
