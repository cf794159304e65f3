"""Read arrays from .npy and .npz files of unknown origin: without pickles, and nothing larger than what the file
holds."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from qdqnp.errors import InputError, Problem
from qdqnp.files.npy import FAULTS, read_array
from qdqnp.limits import MAX_TENSOR_BYTES
from qdqnp.quant import Array


def load_arrays(path: Path) -> dict[str, Array]:
    """Return the file's arrays by name; the array of an .npy has the name ''. The first bytes tell which of the two it
    is.

    Raises InputError.
    """
    try:
        if not zipfile.is_zipfile(path):
            return {"": np.load(path, mmap_mode="r", allow_pickle=False)}
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_members(members, path)
            return {info.filename.removesuffix(".npy"): _member(archive, info) for info in members}
    except FAULTS as error:
        problem = Problem(f"file {path}", "a readable .npy or .npz file of numbers", str(error) or "an empty file")
        raise InputError("cannot read an input file", [problem]) from error


def _check_members(members: list[zipfile.ZipInfo], path: Path) -> None:
    others = [info.filename for info in members if not info.filename.endswith(".npy")]
    if others:
        problem = Problem(f"file {path.name}", "arrays only (members named .npy)", f"members {others[:5]}")
        raise InputError("an input file holds more than arrays", [problem])
    size = sum(info.file_size for info in members)
    if size > MAX_TENSOR_BYTES:
        problem = Problem(f"file {path.name}", f"at most {MAX_TENSOR_BYTES} bytes unpacked", f"{size}")
        raise InputError("an input file is too large", [problem])


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with archive.open(info) as file:
        return read_array(file, info.file_size)
