"""Which file of a folder is what: those that `stedgeai generate` leaves, told by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qdqnp.errors import InputError, Problems
from qdqnp.files.documents import read_json
from qdqnp.files.paths import names_in, reason
from qdqnp.files.regular import read_bytes
from qdqnp.st.structures import MAX_SOURCE_BYTES

#: Files of a folder that are looked at; ST's have some twenty.
MAX_FILES = 10_000
#: Bytes of one pool's content, of all, and of a JSON file: flash chips of the boards have 128 MiB.
MAX_CONTENT_BYTES = 2**27
MAX_ALL_BYTES = 2**28
MAX_JSON_BYTES = 2**26

_RAW = re.compile(r"(?:.*_)?atonbuf\.(\w+)\.raw")
# What a C file of the compiler has, and no other of the folder.
_OURS = re.compile(r"LL_ATON_EpochBlockItems|LL_(?:Conv|Arith|Pool|Activ)acc_InitTypeDef|ec_trace_start_epoch")

# What the C file of a network has that the epoch controller runs.
_BLOB = re.compile(r"\b_ec_blob_\w")


@dataclass
class Files:
    """The files of a compiled network."""

    #: The C files, by path: the network's own, and the trace of the epoch controller.
    sources: dict[str, str] = field(default_factory=dict)
    #: What pools hold, by the pool's name.
    contents: dict[str, bytes] = field(default_factory=dict)
    #: The documents, None without one: `*_c_info.json`, `*_Q.json`.
    info: Any = None
    quantization: Any = None
    #: The compiled graph, `*_OE_*.onnx`.
    graph: Path | None = None


def files_of(folders: Sequence[Path]) -> Files:
    """Return the files of a compiled network in one folder or more: st_ai_output, and neural_art__* of st_ai_ws.

    Of what lies in several folders, that in the first counts. Raises InputError, which lists every file that cannot be
    read, and what is missing.
    """
    problems, found = Problems(), Files()
    named: dict[str, list[Path]] = {}
    for folder in folders:
        for path in _listed(folder, problems):
            named.setdefault(_kind(path.name), []).append(path)
    _sources(named.get("c", []), found, problems)
    left = MAX_ALL_BYTES
    for path in named.get("raw", []):
        left -= _content(path, left, found, problems)
    found.info = _json(named.get("info", []), problems)
    found.quantization = _json(named.get("quantization", []), problems)
    found.graph = next(iter(named.get("graph", [])), None)
    where = ", ".join(map(str, folders))
    if not found.sources and not problems.found:
        hint = "Give the folder that `stedgeai generate` wrote: st_ai_output, or neural_art__NAME of st_ai_ws."
        problems.add(f"folder {where}", "a C file of ST's compiler (network.c, *_blob_trace.c)", "none", hint)
    problems.raise_if_any(f"not a compiled network: {where}", InputError)
    return found


def _kind(name: str) -> str:
    if name.endswith(".c"):
        return "c"
    if _RAW.fullmatch(name):
        return "raw"
    if name.endswith("c_info.json"):
        return "info"
    if name.endswith("_Q.json"):
        return "quantization"
    return "graph" if "_OE_" in name and name.endswith(".onnx") else ""


def _listed(folder: Path, problems: Problems) -> list[Path]:
    try:
        names = names_in(folder)
    except InputError as error:
        problems.found.extend(error.problems)
        return []
    if len(names) > MAX_FILES:
        problems.add(f"folder {folder}", f"at most {MAX_FILES} files", str(len(names)))
        return []
    return [folder / name for name in names]


def _sources(paths: Iterable[Path], found: Files, problems: Problems) -> None:
    """Take the network's C file, and the trace of the same network, where there is one."""
    networks: dict[str, str] = {}
    for path in paths:
        try:
            text = read_bytes(path, MAX_SOURCE_BYTES).decode("utf-8", "replace")
        except OSError as error:
            problems.add(f"file {path}", "a C file that can be read", reason(error))
            continue
        if _OURS.search(text):
            networks.setdefault(path.name, text)
    own = [name for name in networks if not name.endswith("_blob_trace.c")]
    traces = [name for name in networks if name.endswith("_blob_trace.c")]
    for names in (own, traces):
        if len(names) > 1:
            hint = "Give a folder of one network."
            problems.add("C files of networks", "one", ", ".join(sorted(names)), hint)
    found.sources = {name: networks[name] for name in (*own[:1], *traces[:1])}
    if not traces and any(_BLOB.search(networks[name]) for name in own):
        hint = "It lies in neural_art__NAME of st_ai_ws: give that folder too."
        problems.add("folder", "*_blob_trace.c, because the epoch controller runs the network", "no such file", hint)


def _content(path: Path, left: int, found: Files, problems: Problems) -> int:
    """Read what a pool holds, and return its size."""
    match = _RAW.fullmatch(path.name)
    assert match is not None
    try:
        data = read_bytes(path, min(MAX_CONTENT_BYTES, left))
    except OSError as error:
        problems.add(f"file {path}", "the content of a memory that can be read", reason(error))
        return 0
    if data:
        found.contents.setdefault(match[1], data)
    return len(data)


def _json(paths: Sequence[Path], problems: Problems) -> Any:
    for path in paths[:1]:
        try:
            return read_json(path, MAX_JSON_BYTES)
        except (OSError, ValueError) as error:
            problems.add(f"file {path}", "a JSON document", reason(error))
    return None
