"""Dumps: the tensors that a device sent back, read with distrust.

A dump is a folder of .npy and .bin files, one .npz, or a `*_val_io.npz` as ST Edge AI's `validate` writes it. The
content is not trusted: objects are not unpickled, links are not followed, and no more bytes are read than the caller
allows.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np

from qdqnp.errors import InputError, Problems
from qdqnp.files.npy import FAULTS, read_array, read_header
from qdqnp.limits import MAX_TENSOR_BYTES, readable_bytes
from qdqnp.quant import Array

SUFFIXES = (".npy", ".bin")
# A network has a few hundred tensors; a folder of a million files is not a dump.
MAX_ENTRIES = 20_000
# Names in ST Edge AI's files: original model (m) or device (c), inputs or outputs, numbered from 1.
ST_KEY = re.compile(r"(?P<side>[mc])_(?P<kind>inputs|outputs)_(?P<number>[0-9]{1,4})")


@dataclass(frozen=True, eq=False)
class DumpEntry:
    """One tensor of a dump."""

    #: The path of the file below the folder, or the name of the archive member, without its suffix.
    name: str
    #: The values, or the bytes as uint8 (N,) where the entry is raw.
    array: Array
    #: Whether the entry is bytes without dtype and shape (a .bin file).
    raw: bool = False
    #: 'network_input' or 'network_output' where the format says so, and arrays of rank 4 are channel-last then; else
    #: ''.
    role: str = ""
    #: Index among the entries of the role, from 0.
    number: int = 0


@dataclass(frozen=True, eq=False)
class Dump:
    """The entries of a dump, read."""

    #: The file or folder that was read.
    path: Path
    #: The entries in the order of their names.
    entries: tuple[DumpEntry, ...]
    #: Whether arrays of rank 4 are channel-last by the format.
    channel_last: bool = False
    #: Files of the folder that were not read, because their names are not those of tensors.
    unread: tuple[str, ...] = ()


def read_dump(path: Path, limit: int = MAX_TENSOR_BYTES) -> Dump:
    """Read a dump of at most `limit` bytes, unpacked. Raises InputError that lists every entry that cannot be read."""
    problems = Problems()
    entries: list[DumpEntry] = []
    if not path.exists():
        problems.add(f"dump {path}", "a folder of .npy or .bin files, or an .npz", "no such file or folder")
    elif path.is_dir():
        entries = _folder(path, limit, problems)
    else:
        entries = _file(path, limit, problems)
    if not entries and not problems.found:
        problems.add(f"dump {path}", "tensors in .npy or .bin files, or an .npz", "none")
    problems.raise_if_any("cannot read the dump", InputError)
    unread = _unread(path) if path.is_dir() else ()
    device = [_st_entry(entry) for entry in entries]
    if any(entry.role for entry in device):
        there = [entry for entry in device if entry.role or not _of_the_model(entry)]
        return Dump(path, tuple(there), channel_last=True, unread=unread)
    return Dump(path, tuple(entries), unread=unread)


def _st_entry(entry: DumpEntry) -> DumpEntry:
    """Return an entry with its role, where it is of the device's side of a validate file; any other entry as it is."""
    found = ST_KEY.fullmatch(entry.name)
    if found is None or found["side"] != "c" or int(found["number"]) < 1:
        return entry
    role = {"inputs": "network_input", "outputs": "network_output"}[found["kind"]]
    return DumpEntry(entry.name, entry.array, entry.raw, role, int(found["number"]) - 1)


def _of_the_model(entry: DumpEntry) -> bool:
    """Tell whether an entry is of the other side of a validate file: what the original model made, not the device."""
    found = ST_KEY.fullmatch(entry.name)
    return found is not None and found["side"] == "m"


def _unread(path: Path) -> tuple[str, ...]:
    """List the files of a folder that are no tensors by their names; of many only the first."""
    others = (file for file in path.rglob("*") if file.suffix not in SUFFIXES and file.is_file())
    return tuple(sorted(file.relative_to(path).as_posix() for file in islice(others, MAX_ENTRIES)))


def _folder(path: Path, limit: int, problems: Problems) -> list[DumpEntry]:
    found: list[DumpEntry] = []
    left = limit
    for file in _files(path, problems):
        name = file.relative_to(path).with_suffix("").as_posix()
        size = file.stat().st_size
        if size == 0:
            problems.add(f"file {file}", "a tensor", "an empty file")
        elif size > left:
            problems.add(f"file {file}", f"at most {readable_bytes(limit)} in all", readable_bytes(size))
        else:
            left -= size
            array = _raw(file) if file.suffix == ".bin" else _npy(file, file.open("rb"), size, problems)
            if array is not None:
                found.append(DumpEntry(name, array, file.suffix == ".bin"))
    return found


def _files(path: Path, problems: Problems) -> Iterator[Path]:
    """Yield the regular tensor files below a folder, sorted. Links are refused, because they may lead anywhere."""
    count = 0
    for file in sorted(path.rglob("*")):
        if file.suffix not in SUFFIXES or file.is_dir():
            continue
        count += 1
        if file.is_symlink() or not file.is_file():
            problems.add(f"file {file}", "a regular file", "a link or device")
        elif count > MAX_ENTRIES:
            problems.add(f"folder {path}", f"at most {MAX_ENTRIES} tensors", "more")
            return
        else:
            yield file


def _raw(file: Path) -> Array:
    return np.fromfile(file, np.uint8)


def _file(path: Path, limit: int, problems: Problems) -> list[DumpEntry]:
    try:
        size = path.stat().st_size
        if zipfile.is_zipfile(path):
            return _archive(path, limit, problems)
        if size == 0:
            problems.add(f"file {path}", "a tensor", "an empty file")
        elif size > limit:
            problems.add(f"file {path}", f"at most {readable_bytes(limit)}", readable_bytes(size))
        elif path.suffix == ".bin":
            return [DumpEntry(path.stem, _raw(path), True)]
        else:
            array = _npy(path, path.open("rb"), size, problems)
            return [] if array is None else [DumpEntry(path.stem, array)]
    except (OSError, zipfile.BadZipFile) as error:
        problems.add(f"file {path}", "a readable .npz, .npy or .bin file", error or "a damaged file")
    return []


def _archive(path: Path, limit: int, problems: Problems) -> list[DumpEntry]:
    """Read the members of an .npz. Their unpacked sizes are checked before any member is unpacked."""
    found: list[DumpEntry] = []
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        total = sum(info.file_size for info in members)
        if len(members) > MAX_ENTRIES or total > limit:
            problems.add(
                f"file {path}",
                f"at most {MAX_ENTRIES} members and {readable_bytes(limit)} unpacked",
                f"{len(members)} members, {readable_bytes(total)}",
                "Is it a dump of this model?",
            )
            return found
        for info in members:
            where = f"{path}, member {info.filename}"
            if not info.filename.endswith(".npy"):
                problems.add(where, "an array, named .npy", "another file")
                continue
            try:
                data = archive.read(info)
            except FAULTS as error:
                problems.add(where, "a readable member", error or type(error).__name__)
                continue
            array = _npy(where, io.BytesIO(data), len(data), problems)
            if array is not None:
                found.append(DumpEntry(info.filename.removesuffix(".npy"), array))
    return found


def _npy(where: object, stream: IO[bytes], size: int, problems: Problems) -> Array | None:
    """Read the array of an .npy stream of `size` bytes; its header is checked before anything is allocated."""
    with stream:
        try:
            dtype = read_header(stream).dtype
            if dtype.hasobject or dtype.kind not in "biuf":
                problems.add(f"file {where}", "an array of numbers", f"dtype {dtype}", "Pickles are never loaded.")
                return None
            stream.seek(0)
            array = read_array(stream, size)
        except FAULTS as error:
            problems.add(f"file {where}", "a readable .npy array of numbers", str(error) or "an empty file")
            return None
    if array.size == 0:
        problems.add(f"file {where}", "a tensor", f"no element, shape {list(array.shape)}")
        return None
    return array
