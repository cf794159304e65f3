"""Mapping files: which entry of a dump is which tensor; `compare --write-mapping` writes one to be corrected."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qdqnp.diagnosis.dump import Dump
from qdqnp.diagnosis.dumps.content import Values
from qdqnp.diagnosis.dumps.storage import form_from
from qdqnp.diagnosis.pairing import Mapped, pair
from qdqnp.diagnosis.targets import DumpTarget
from qdqnp.errors import InputError, Problem, Problems
from qdqnp.files.documents import read_json, read_toml
from qdqnp.files.paths import reason
from qdqnp.numerics.profile_writer import toml_string

MAX_BYTES = 2**21  # some ten thousand tensors


def proposal(
    dump: Dump, targets: Sequence[DumpTarget], cases: int, values: Values | None = None
) -> tuple[dict[str, str], list[str]]:
    """Return what pairing by name, by values, or else by order and shape, finds: ONNX name -> entry name, and the
    entries left over."""
    found = pair(dump, targets, cases, values=values)
    return {paired.target.name: paired.entry.name for paired in found.pairs}, found.unused


def as_text(mapping: Mapping[str, str], unused: Sequence[str], json_format: bool) -> str:
    """Return the file's text: JSON, or TOML with the entries left over as comments. Raises InputError for names that
    TOML does not have."""
    if json_format:
        return json.dumps({"tensors": dict(mapping)}, indent=2) + "\n"
    problems = Problems()
    for text in (*mapping, *mapping.values()):
        if any(0xD800 <= ord(char) <= 0xDFFF for char in text):  # a file's name that is not UTF-8
            problems.add(f"name '{text}'", "UTF-8 for a .toml file", "other bytes", "Rename the file, or write .json.")
    problems.raise_if_any("cannot write a mapping", InputError)
    lines = ["# ONNX tensor = entry of the dump", "[tensors]"]
    lines += [f"{toml_string(name)} = {toml_string(entry)}" for name, entry in mapping.items()]
    lines += ["", *(f"# not used: {toml_string(entry)}" for entry in unused)]
    return "\n".join(lines).rstrip() + "\n"


def read_mapping(path: Path) -> dict[str, Mapped]:
    """Read the mapping of a .toml or .json file: by ONNX name, the name of the entry, or a table with 'entry',
    'address', and what is said of how it is stored ('layout', 'dtype', 'offset', 'values'). Raises InputError."""
    try:
        data: Any = read_json(path, MAX_BYTES) if path.suffix == ".json" else read_toml(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        problem = Problem(f"file {path}", "a readable .toml or .json mapping", reason(error))
        raise InputError("cannot read a mapping", [problem]) from error
    return mapping_from(data.get("tensors") if isinstance(data, dict) else None, f"file {path}")


def mapping_from(tensors: Any, where: str) -> dict[str, Mapped]:
    """Return the mapping of plain values, as the table 'tensors' of a file has them. Raises InputError.

    where: who states them, for messages.
    """
    problems = Problems()
    found: dict[str, Mapped] = {}
    if not isinstance(tensors, Mapping) or not tensors:
        problems.add(where, "a table 'tensors' of ONNX name = entry", "none")
    else:
        found = {name: _mapped(entry, f"{where}, '{name}'", problems) for name, entry in tensors.items()}
        counts = Counter(mapped.entry for mapped in found.values() if mapped.entry and mapped.address is None)
        for entry in sorted(entry for entry, count in counts.items() if count > 1):
            problems.add(where, "each entry for one tensor", f"'{entry}' more than once")
    problems.raise_if_any("cannot read a mapping", InputError)
    return found


_KEYS = ("entry", "address", "layout", "dtype", "offset", "values")


def _mapped(value: Any, where: str, problems: Problems) -> Mapped:
    """Return what one line of a mapping says."""
    if isinstance(value, str):
        return Mapped(value)
    if not isinstance(value, dict) or not {"entry", "address"} & value.keys():
        problems.add(where, "the name of an entry, or a table with 'entry' or 'address'", value)
        return Mapped()
    unknown = sorted(value.keys() - set(_KEYS))
    if unknown:
        problems.add(where, f"of {', '.join(_KEYS)}", ", ".join(map(str, unknown)))
    entry, address = value.get("entry", ""), value.get("address")
    if isinstance(address, str) and re.fullmatch(r"0[xX][0-9a-fA-F_]{1,20}", address):
        address = int(address, 16)
    if not isinstance(entry, str) or not isinstance(address, int | None) or isinstance(address, bool):
        problems.add(where, "the entry's name as a text, and an address such as 0x34200000", value)
        return Mapped()
    return Mapped(entry, form_from(value, where, problems), address)
