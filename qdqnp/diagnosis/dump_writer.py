"""Write a dump: a folder of .npy files that `compare` and `identify` read, whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from qdqnp.diagnosis.mapping import as_text
from qdqnp.files.folder import Kind, new_folder, require_free
from qdqnp.files.npy import npy_bytes
from qdqnp.quant import Array

LIMIT_BYTES, MAPPING = 4 * 2**30, "mapping.toml"
DUMP = Kind("the dump", "Run fewer inputs, or let the device show fewer tensors.")
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")


def write_dump(out: Path, tensors: Mapping[str, Sequence[Array]]) -> bool:
    """Write one file for each tensor, with several runs stacked along a new first axis.

    A file is named after its tensor, with '/' as folders. Where some name is not a safe file name, all files are
    numbered, and mapping.toml says which file is which tensor.

    Returns whether the files are numbered. Raises InputError where something is in the way, QdqnpError for more than
    LIMIT_BYTES bytes and for what the file system refuses.
    """
    require_free(out, DUMP)
    names = _file_names(list(tensors))
    with new_folder(out, DUMP, LIMIT_BYTES) as folder:
        for name, arrays in tensors.items():
            folder.append(f"{names[name]}.npy", npy_bytes(arrays[0] if len(arrays) == 1 else np.stack(arrays)))
        mapped = any(name != file for name, file in names.items())
        if mapped:
            folder.append(MAPPING, as_text(names, [], json_format=False).encode("utf-8", "backslashreplace"))
    return mapped


def _file_names(tensors: Sequence[str]) -> dict[str, str]:
    parts = [part for name in tensors for part in name.split("/")]
    folded = {name.lower() for name in tensors}  # file systems may not tell 'A' from 'a'
    nested = {"/".join(name.lower().split("/")[:depth]) for name in tensors for depth in range(1, name.count("/") + 1)}
    good = all(_PART.fullmatch(part) for part in parts) and len(folded) == len(tensors)
    if good and not {f"{name}.npy" for name in folded} & nested:
        return {name: name for name in tensors}
    return {name: f"tensor_{index:05d}" for index, name in enumerate(tensors)}
