"""Dumps: the tensors that a device sent back, read with distrust.

A dump is a folder of .npy and .bin files, one .npz, a `*_val_io.npz` as ST Edge AI's `validate` writes it, or the
frames that a board wrote one after the other (qdqnp/peers/devices/frames.py). The content is not trusted: objects are
not unpickled, links are not followed, and no more bytes are read than the caller allows.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from qdqnp.diagnosis.stream import is_stream, tensors_of
from qdqnp.errors import InputError, Problems
from qdqnp.files.npy import FAULTS, Arrays, open_arrays
from qdqnp.files.paths import FILE, FOLDER, below, kind_of, reason
from qdqnp.files.regular import open_inside, open_regular
from qdqnp.files.st_keys import st_key
from qdqnp.limits import MAX_MEMBERS, MAX_TENSOR_BYTES, readable_bytes
from qdqnp.peers.devices.frames import MAX_NOISE
from qdqnp.quant import Array

SUFFIXES = (".npy", ".bin")
READABLE = "a readable .npy array of numbers"
# A network has a few hundred tensors; a folder of a million files is not a dump.
MAX_FILES = 5 * MAX_MEMBERS


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
    there = kind_of(path)
    if not there:
        problems.add(f"dump {path}", "a folder of .npy or .bin files, or an .npz", "no such file or folder")
    elif there == FOLDER:
        entries = _folder(path, limit, problems)
    else:
        entries = _file(path, limit, problems)
    if not entries and not problems.found:
        problems.add(f"dump {path}", "tensors in .npy or .bin files, or an .npz", "none")
    problems.raise_if_any("cannot read the dump", InputError)
    unread = _unread(path) if there == FOLDER else ()
    device = [_st_entry(entry) for entry in entries]
    if any(entry.role for entry in device):
        of_the_device = [entry for entry in device if entry.role or not _of_the_model(entry)]
        return Dump(path, tuple(of_the_device), channel_last=True, unread=unread)
    return Dump(path, tuple(entries), unread=unread)


def _st_entry(entry: DumpEntry) -> DumpEntry:
    """Return an entry with its role, where it is of the device's side of a validate file; any other entry as it is."""
    key = st_key(entry.name)
    if key is None or not key.device:
        return entry
    role = {"inputs": "network_input", "outputs": "network_output"}[key.kind]
    return DumpEntry(entry.name, entry.array, entry.raw, role, key.number)


def _of_the_model(entry: DumpEntry) -> bool:
    """Tell whether an entry is of the other side of a validate file: what the original model made, not the device."""
    key = st_key(entry.name)
    return key is not None and not key.device


def _unread(path: Path) -> tuple[str, ...]:
    """List the files of a folder that are no tensors by their names; of many only the first."""
    others = (
        name for name, what in below(path, MAX_FILES).items() if what == FILE and Path(name).suffix not in SUFFIXES
    )
    return tuple(islice(others, MAX_MEMBERS))


def _folder(path: Path, limit: int, problems: Problems) -> list[DumpEntry]:
    found: list[DumpEntry] = []
    left = limit
    for name in _files(path, problems):
        where, raw = f"file {path / name}", name.endswith(".bin")
        try:
            with open_inside(path, name) as file:
                size = os.fstat(file.fileno()).st_size
                if size > left:
                    problems.add(where, f"at most {readable_bytes(limit)} in all", readable_bytes(size))
                    continue
                left -= size
                array = _raw(file, where, problems) if raw else _npy(file, size, where, problems)
        except OSError as error:
            problems.add(where, "a readable file", reason(error))
            continue
        if array is not None:
            found.append(DumpEntry(str(Path(name).with_suffix("").as_posix()), array, raw))
    return found


def _files(path: Path, problems: Problems) -> list[str]:
    """Return the names of the regular tensor files below a folder, sorted. Links are refused, because they may lead
    anywhere."""
    try:
        inside = below(path, MAX_FILES)
    except OSError as error:
        problems.add(f"folder {path}", "a dump", reason(error))
        return []
    tensors = {name: what for name, what in inside.items() if what != FOLDER and Path(name).suffix in SUFFIXES}
    for name in (name for name, what in tensors.items() if what != FILE):
        problems.add(f"file {path / name}", "a regular file", "a link or device")
    if len(tensors) > MAX_MEMBERS:
        problems.add(f"folder {path}", f"at most {MAX_MEMBERS} tensors", "more")
        return []
    return [name for name, what in tensors.items() if what == FILE]


def _file(path: Path, limit: int, problems: Problems) -> list[DumpEntry]:
    where = f"file {path}"
    try:
        if path.suffix == ".bin":
            with open_regular(path) as file:
                size = os.fstat(file.fileno()).st_size
                if size > limit:
                    problems.add(where, f"at most {readable_bytes(limit)}", readable_bytes(size))
                    return []
                array = _raw(file, where, problems)
            return [] if array is None else [DumpEntry(path.stem, array, True)]
        if path.suffix not in (".npy", ".npz"):
            frames = _frames(path, limit, where, problems)
            if frames is not None:
                return frames
        with open_arrays(path, limit) as arrays:
            if arrays.packed:
                return _archive(arrays, path, limit, problems)
            if arrays.unpacked > limit:
                problems.add(where, f"at most {readable_bytes(limit)}", readable_bytes(arrays.unpacked))
                return []
            array = _read(arrays, "", where, problems)
            return [] if array is None else [DumpEntry(path.stem, array)]
    except (OSError, ValueError) as error:
        problems.add(where, "a readable .npz, .npy or .bin file", reason(error))
    return []


def _frames(path: Path, limit: int, where: str, problems: Problems) -> list[DumpEntry] | None:
    """Read a stream of frames; None where the file is none."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(MAX_NOISE)
        if not is_stream(start):
            return None
        if size > limit:
            problems.add(where, f"at most {readable_bytes(limit)}", readable_bytes(size))
            return []
        data = start + file.read()
    try:
        return [DumpEntry(name, array) for name, array in tensors_of(data, where).items()]
    except InputError as error:
        problems.found.extend(error.problems)
        return []


def _archive(arrays: Arrays, path: Path, limit: int, problems: Problems) -> list[DumpEntry]:
    """Read the members of an .npz. Their unpacked sizes are checked before any member is unpacked."""
    if arrays.unpacked > limit:
        expected, got = f"at most {readable_bytes(limit)} unpacked", readable_bytes(arrays.unpacked)
        problems.add(f"file {path}", expected, got, "Is it a dump of this model?")
        return []
    found = ((name, _read(arrays, name, f"file {path}, member {name}.npy", problems)) for name in arrays.names)
    return [DumpEntry(name, array) for name, array in found if array is not None]


def _raw(file: BinaryIO, where: str, problems: Problems) -> Array | None:
    data = file.read()
    if not data:
        problems.add(where, "a tensor", "an empty file")
        return None
    return np.frombuffer(data, np.uint8)


def _npy(file: BinaryIO, size: int, where: str, problems: Problems) -> Array | None:
    """Read an .npy file of `size` bytes."""
    try:
        return _read(Arrays(file, size), "", where, problems)
    except FAULTS as error:
        problems.add(where, READABLE, reason(error))
        return None


def _read(arrays: Arrays, name: str, where: str, problems: Problems) -> Array | None:
    """Read an array of numbers; its header is checked before anything is allocated."""
    try:
        dtype, shape = arrays.header(name).dtype, list(arrays.header(name).shape)
        if dtype.kind not in "biuf":
            problems.add(where, "an array of numbers", f"dtype {dtype}")
        elif 0 in shape:
            problems.add(where, "a tensor", f"no element, shape {shape}")
        else:
            return arrays.read(name)
    except ValueError as error:
        problems.add(where, READABLE, str(error))
    return None
