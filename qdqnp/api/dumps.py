"""What a device sent back: files, or arrays that are in memory already."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from qdqnp.api.arguments import AnyPath
from qdqnp.diagnosis.dump import Dump, DumpEntry
from qdqnp.diagnosis.dumps.storage import Storage, form_from
from qdqnp.diagnosis.mapping import mapping_from, read_mapping
from qdqnp.diagnosis.pairing import Mapped
from qdqnp.element_types import plain
from qdqnp.errors import InputError, Problems, shorten
from qdqnp.quant import Array

#: A file or a folder, or arrays by name: a Trace is one.
AnyDump: TypeAlias = "AnyPath | Mapping[str, Array]"
#: A .toml or .json file, or its table: by ONNX name, the name of the entry, or a table of what is known of it.
AnyMapping: TypeAlias = "AnyPath | Mapping[str, str | Mapping[str, Any]]"
#: The name of arrays that are no file.
ARRAYS = "arrays"


def dump_of(dump: AnyDump) -> Path | Dump:
    """Return where a dump is, or the dump that arrays are. Raises InputError for what is no array of numbers.

    >>> dump_of({"conv1": np.zeros((1, 4), np.int8)}).entries[0].words
    'int8[1, 4]'
    """
    if not isinstance(dump, Mapping):
        return Path(dump)
    problems = Problems()
    entries = []
    for name in sorted(dump):
        array = plain(np.asarray(dump[name]))
        if array.dtype.kind not in "biuf":
            problems.add(f"array '{shorten(name)}'", "numbers", array.dtype)
        entries.append(DumpEntry(name, array))
    if not entries:
        problems.add("dump", "at least one array", "none")
    problems.raise_if_any("cannot read the dump", InputError)
    return Dump(Path(ARRAYS), tuple(entries))


def mapping_of(mapping: AnyMapping | None) -> dict[str, Mapped] | None:
    """Return which entry of a dump is which tensor, of a file or of plain values. Raises InputError."""
    if mapping is None:
        return None
    return mapping_from(mapping, "mapping") if isinstance(mapping, Mapping) else read_mapping(Path(mapping))


def form_of(layout: str | None, dtype: str | None, offset: int | None, values: str | None) -> Storage:
    """Return how a dump is stored, as far as it is said. Raises InputError for what is no such thing."""
    problems = Problems()
    said = {"layout": layout, "dtype": dtype, "offset": offset, "values": values}
    form = form_from(said, "option", problems)
    problems.raise_if_any("the dump cannot be stored so", InputError)
    return form
