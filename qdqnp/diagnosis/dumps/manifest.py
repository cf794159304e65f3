"""manifest.json in the folder of a dump: which file is which tensor, and how it is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qdqnp.diagnosis.dumps.storage import Storage, form_from
from qdqnp.errors import Problems, shorten
from qdqnp.files.documents import parse_json
from qdqnp.golden_sets.manifest import FORMAT
from qdqnp.limits import MAX_MANIFEST_BYTES, MAX_MEMBERS

NAME = "manifest.json"
#: Bytes of the file.
MAX_BYTES = MAX_MANIFEST_BYTES
_OF_ALL = ("layout", "dtype", "offset", "values")
_OF_ONE = (*_OF_ALL, "entry", "file", "tensor", "address", "shape", "comment")


@dataclass(frozen=True)
class Said:
    """What a manifest says of one entry."""

    #: How it is stored.
    form: Storage = field(default_factory=Storage)
    #: The ONNX name of its tensor; '' where that is not said.
    tensor: str = ""


@dataclass(frozen=True)
class DumpManifest:
    """What a manifest says of a dump."""

    #: How entries are stored of which nothing else is said.
    form: Storage = field(default_factory=Storage)
    #: By name of the entry.
    entries: Mapping[str, Said] = field(default_factory=dict)

    def of(self, entry: str) -> Said:
        """Return what is said of an entry, all that is said of all entries included."""
        said = self.entries.get(entry, Said())
        return Said(said.form.over(self.form), said.tensor)


def is_golden(document: Any) -> bool:
    """Tell whether a manifest is that of a golden set."""
    return isinstance(document, dict) and document.get("format") == FORMAT


def document_of(data: bytes) -> Any:
    """Return what a manifest holds. Raises ValueError where it is no JSON."""
    return parse_json(data)


def manifest_from(document: Any, where: str, problems: Problems) -> DumpManifest | None:
    """Return what a manifest says; None where it is of something else than a dump.

    document: 'layout', 'dtype', 'offset' and 'values' of all entries, and 'tensors': a list of tables, one for each
        file, with 'entry' or 'file', with 'tensor', the ONNX name, and the same four; or these tables by ONNX name.
    """
    if not isinstance(document, dict) or not {"tensors", *_OF_ALL} & document.keys():
        return None
    listed: Any = document.get("tensors", [])
    if isinstance(listed, dict):
        listed = [
            {"tensor": name, **(table if isinstance(table, dict) else {"entry": table})}
            for name, table in listed.items()
        ]
    if not isinstance(listed, list) or len(listed) > MAX_MEMBERS or not all(isinstance(one, dict) for one in listed):
        problems.add(f"{where}, tensors", f"a list of at most {MAX_MEMBERS} tables, or tables by ONNX name", "other")
        return None
    entries: dict[str, Said] = {}
    for number, table in enumerate(listed):
        at = f"{where}, tensors[{number}]"
        name = entry_name(table.get("entry", table.get("file")))
        tensor = table.get("tensor", "")
        if not name or not isinstance(tensor, str):
            problems.add(at, "'entry' or 'file', and 'tensor', as texts", shorten(str(table), 80))
            continue
        unknown = sorted(table.keys() - set(_OF_ONE))
        if unknown:
            problems.add(at, f"of {', '.join(_OF_ONE)}", ", ".join(map(str, unknown)))
        if name in entries:
            problems.add(at, "each entry once", f"'{name}' again")
        entries[name] = Said(form_from(table, at, problems), tensor)
    return DumpManifest(form_from(document, where, problems), entries)


def entry_name(file: Any) -> str:
    """Return the name of the entry of a file: its path without the suffix; '' for what is no text."""
    if not isinstance(file, str):
        return ""
    stem, dot, suffix = file.rpartition(".")
    return stem if dot and suffix in ("npy", "bin", "npz", "hex") else file
