"""Dumps: the tensors that a device sent back, read with distrust, and no more of them at a time than is needed.

A dump is a folder of .npy, .bin, .npz, .hex or .c files, one such file, a `*_val_io.npz` as ST Edge AI's `validate`
writes it, Polygraphy's RunResults as JSON, the frames that a board wrote one after the other
(qdqnp/peers/devices/frames.py), or another golden set. The content is not trusted: objects are not unpickled, links are
not followed, and of an array only its header is read until it is known to be of use.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from qdqnp.diagnosis.dumps.manifest import MAX_BYTES, DumpManifest, document_of, is_golden, manifest_from
from qdqnp.diagnosis.dumps.manifest import NAME as MANIFEST
from qdqnp.diagnosis.dumps.storage import Storage
from qdqnp.diagnosis.dumps.stored import Archive, Held, InFile, Opener, Stacked, Stored
from qdqnp.diagnosis.stream import is_stream, tensors_of
from qdqnp.errors import InputError, Problem, Problems
from qdqnp.files.npy import FAULTS, Arrays, Header
from qdqnp.files.paths import FILE, FOLDER, below, kind_of, reason
from qdqnp.files.regular import open_inside, open_regular, read_all, read_inside
from qdqnp.files.run_results import MAX_BYTES as MAX_RESULTS
from qdqnp.files.run_results import read_run_results
from qdqnp.files.st_keys import st_key
from qdqnp.golden_sets.texts import MAX_TEXT, c_arrays, intel_hex, words
from qdqnp.limits import MAX_MEMBERS, MAX_TENSOR_BYTES
from qdqnp.quant import Array

SUFFIXES = (".npy", ".bin", ".npz", ".hex", ".c")
KINDS = ".npy, .bin, .npz, .hex or .c files"
READABLE = "a readable .npy array of numbers"
# A network has a few hundred tensors; a folder of a million files is not a dump.
MAX_FILES = 5 * MAX_MEMBERS
# Archives of one case each, as those of golden sets.
_CASE = re.compile(r"(?P<start>.*?)(?:case|run|input)?[_-]?(?P<number>\d+)$")
_BYTES = np.dtype(np.uint8)


@dataclass(frozen=True, eq=False)
class DumpEntry:
    """One tensor of a dump."""

    #: The path of the file below the folder, or the name of the archive member, without its suffix.
    name: str
    #: The values, or the bytes as uint8 (N,) where the entry is raw.
    values: Array | Stored
    #: Whether the entry is bytes without dtype and shape (a .bin file).
    raw: bool = False
    #: 'network_input' or 'network_output' where the format says so, and arrays of rank 4 are channel-last then; else
    #: ''.
    role: str = ""
    #: Index among the entries of the role, from 0.
    number: int = 0
    #: How the tensor is stored, as far as the dump itself says.
    form: Storage = field(default_factory=Storage)
    #: The ONNX name of the tensor, where the dump's manifest says it; else ''.
    tensor: str = ""
    #: The address of the first byte, where that is known; else None.
    address: int | None = None

    @property
    def stored(self) -> Stored:
        """Return the values, to be read piece by piece."""
        return self.values if isinstance(self.values, Stored) else Held(self.values)

    @property
    def array(self) -> Array:
        """Return all values. Raises ValueError or OSError where they cannot be read."""
        return self.stored.whole()

    @property
    def words(self) -> str:
        """Return the entry's size in words."""
        return f"{self.stored.nbytes} bytes" if self.raw else f"{self.stored.dtype}{list(self.stored.shape)}"


@dataclass(frozen=True, eq=False)
class Dump:
    """The entries of a dump."""

    #: The file or folder that was read.
    path: Path
    #: The entries in the order of their names.
    entries: tuple[DumpEntry, ...]
    #: Whether arrays of rank 4 are channel-last by the format.
    channel_last: bool = False
    #: Files of the folder that were not read, because their names are not those of tensors.
    unread: tuple[str, ...] = ()
    #: What cannot be read of the dump.
    problems: tuple[Problem, ...] = ()


def read_dump(path: Path, runner: str = "") -> Dump:
    """Open a dump.

    runner: of Polygraphy's RunResults, what the runner's name begins with; '' for the only one.

    Raises InputError where no entry can be read; what else cannot be is listed in the dump.
    """
    problems = Problems()
    entries: list[DumpEntry] = []
    unread: tuple[str, ...] = ()
    there = kind_of(path)
    if not there:
        problems.add(f"dump {path}", f"a folder of {KINDS}, or one of them", "no such file or folder")
    elif there == FOLDER:
        entries, unread = _folder(path, problems)
    else:
        entries = list(_file(path.stem, partial(open_regular, path), path, problems, runner))
    if not entries and not problems.found:
        problems.add(f"dump {path}", f"tensors in {KINDS}", "none")
    if not entries:
        problems.raise_if_any("cannot read the dump", InputError)
    device = [_st_entry(entry) for entry in entries]
    last = any(entry.role for entry in device)
    kept = device if not last else [entry for entry in device if entry.role or not _of_the_model(entry)]
    return Dump(path, tuple(kept), last, unread, tuple(problems.found))


def _st_entry(entry: DumpEntry) -> DumpEntry:
    """Return an entry with its role, where it is of the device's side of a validate file; any other entry as it is."""
    key = st_key(entry.name)
    if key is None or not key.device:
        return entry
    return replace(entry, role={"inputs": "network_input", "outputs": "network_output"}[key.kind], number=key.number)


def _of_the_model(entry: DumpEntry) -> bool:
    """Tell whether an entry is of the other side of a validate file: what the original model made, not the device."""
    key = st_key(entry.name)
    return key is not None and not key.device


# -- folders -----------------------------------------------------------------------------------------------------------
def _folder(path: Path, problems: Problems) -> tuple[list[DumpEntry], tuple[str, ...]]:
    """Return the entries of a folder, and the files in it that are none."""
    try:
        inside = below(path, MAX_FILES)
    except OSError as error:
        problems.add(f"folder {path}", "a dump", reason(error))
        return [], ()
    manifest, known = _manifest(path, problems) if inside.get(MANIFEST) == FILE else (DumpManifest(), False)
    names = _tensor_files(path, inside, problems)
    found: list[DumpEntry] = []
    for names_of_cases in _grouped([name for name in names if name.endswith(".npz")]).values():
        found += _archives(path, names_of_cases, problems)
    for name in (name for name in names if not name.endswith(".npz")):
        stem = Path(name).with_suffix("").as_posix()
        found += _file(stem, partial(open_inside, path, name), path / name, problems)
    others = (name for name, what in inside.items() if what == FILE and Path(name).suffix not in SUFFIXES)
    unread = tuple(
        islice((name for name in others if not (known and name == MANIFEST) and Path(name).suffix != ".h"), MAX_MEMBERS)
    )
    said = [(entry, manifest.of(entry.name)) for entry in sorted(found, key=lambda entry: entry.name)]
    return [replace(entry, form=say.form, tensor=say.tensor) for entry, say in said], unread


def _manifest(path: Path, problems: Problems) -> tuple[DumpManifest, bool]:
    """Return what the folder's manifest says, and whether it is one of a dump."""
    where = f"file {path / MANIFEST}"
    try:
        document = document_of(read_inside(path, MANIFEST, MAX_BYTES))
    except (OSError, ValueError) as error:
        problems.add(where, "a readable manifest", reason(error))
        return DumpManifest(), True
    found = None if is_golden(document) else manifest_from(document, where, problems)
    return (DumpManifest(), False) if found is None else (found, True)


def _tensor_files(path: Path, inside: dict[str, str], problems: Problems) -> list[str]:
    """Return the names of the regular tensor files below a folder, sorted. Links are refused, because they may lead
    anywhere."""
    tensors = {name: what for name, what in inside.items() if what != FOLDER and Path(name).suffix in SUFFIXES}
    for name in (name for name, what in tensors.items() if what != FILE):
        problems.add(f"file {path / name}", "a regular file", "a link or device")
    if len(tensors) > MAX_MEMBERS:
        problems.add(f"folder {path}", f"at most {MAX_MEMBERS} tensors", "more")
        return []
    return [name for name, what in tensors.items() if what == FILE]


def _grouped(names: list[str]) -> dict[str, list[str]]:
    """Return archives by what their names begin with; those of one beginning hold one case each, in the order of the
    numbers that their names end with."""
    found: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        place = _CASE.fullmatch(name.removesuffix(".npz"))
        start, number = (place["start"], int(place["number"][-18:])) if place else (name, 0)
        found.setdefault(start, []).append((number, name))
    return {start: [name for _, name in sorted(numbered)] for start, numbered in found.items()}


def _archives(path: Path, names: list[str], problems: Problems) -> list[DumpEntry]:
    """Return the members of archives that hold one case each: those of all stacked, in the order of the archives."""
    parts: dict[str, list[DumpEntry]] = {}
    for name in names:
        for entry in _file(Path(name).stem, partial(open_inside, path, name), path / name, problems):
            parts.setdefault(entry.name, []).append(entry)
    found = []
    for name, entries in parts.items():
        arrays = [entry.stored for entry in entries]
        kinds = ", ".join(dict.fromkeys(f"{array.dtype}{list(array.shape)}" for array in arrays))
        if len(arrays) != len(names):
            problems.add(f"member {name}", f"one in each of {len(names)} archives", len(arrays))
        elif len({(array.dtype, array.shape) for array in arrays}) > 1:
            problems.add(f"member {name}", "one dtype and shape in all archives", kinds)
        else:
            found.append(entries[0] if len(arrays) == 1 else DumpEntry(name, Stacked(arrays)))
    return found


# -- files -------------------------------------------------------------------------------------------------------------
def _file(name: str, opener: Opener, path: Path, problems: Problems, runner: str = "") -> Iterator[DumpEntry]:
    """Yield the entries of one file.

    name: what its only entry is called.
    opener: opens it.
    path: where it is.
    """
    where = f"file {path}"
    try:
        if path.suffix == ".bin":
            yield from _raw(name, opener, where, problems)
        elif path.suffix == ".hex":
            yield from _hex(name, _text(opener))
        elif path.suffix == ".json":
            yield from _run_results(opener, runner)
        elif path.suffix == ".c":
            for called, array in c_arrays(_text(opener)):
                yield DumpEntry(called.removeprefix("golden_"), array)
        elif path.suffix not in (".npy", ".npz") and is_stream(path):
            yield from (DumpEntry(called, array) for called, array in tensors_of(path, problems).items())
        else:
            yield from _arrays(name, opener, path, problems)
    except FAULTS as error:
        kind = READABLE if path.suffix == ".npy" else f"a readable one of {KINDS}"
        problems.add(where, kind, reason(error))


def _raw(name: str, opener: Opener, where: str, problems: Problems) -> Iterator[DumpEntry]:
    with opener() as file:
        size = os.fstat(file.fileno()).st_size
    if size:
        yield DumpEntry(name, InFile(opener, Header((size,), _BYTES, False, 0)), True, address=address_in(name))
    else:
        problems.add(where, "a tensor", "an empty file")


def _run_results(opener: Opener, runner: str) -> Iterator[DumpEntry]:
    """Yield the tensors of Polygraphy's RunResults; the iterations lie along a new first axis."""
    with opener() as file:
        found = read_run_results(read_all(file, MAX_RESULTS), runner)
    for called, arrays in found.items():
        yield DumpEntry(called, arrays[0] if len(arrays) == 1 else np.stack(arrays), tensor=called)


def _text(opener: Opener) -> str:
    with opener() as file:
        return read_all(file, MAX_TEXT).decode("utf-8", "replace")


def _hex(name: str, text: str) -> Iterator[DumpEntry]:
    if text.lstrip().startswith(":"):
        ranges = intel_hex(text)
        for address, data in ranges.items():
            yield DumpEntry(name if len(ranges) == 1 else f"{name}@{address:#x}", data, True, address=address)
    else:
        array = words(text)
        yield DumpEntry(name, array, array.dtype == _BYTES and array.ndim == 1)


def _arrays(name: str, opener: Opener, path: Path, problems: Problems) -> Iterator[DumpEntry]:
    """Yield the array of an .npy, or the members of an .npz; the first bytes tell which of the two it is."""
    where = f"file {path}"
    file = opener()
    if not _packed(file):
        with file:
            if _numbers(Arrays(file, MAX_TENSOR_BYTES).header(""), where, problems):
                file.seek(0)
                yield DumpEntry(name, InFile(opener, Arrays(file, MAX_TENSOR_BYTES).header("")))
        return
    archive = Archive(path, file)
    for member in archive.arrays.names:
        at = f"{where}, member {member}.npy"
        try:
            if _numbers(archive.arrays.header(member), at, problems):
                yield DumpEntry(member, archive.member(member))
        except ValueError as error:
            problems.add(at, READABLE, str(error))


def _packed(file: BinaryIO) -> bool:
    start = file.read(4)
    file.seek(0)
    return start[:2] == b"PK"


def _numbers(header: Header, where: str, problems: Problems) -> bool:
    """Tell whether an array is of numbers, at least one."""
    if header.dtype.kind not in "biuf" and header.dtype.kind != "V":
        problems.add(where, "an array of numbers", f"dtype {header.dtype}")
    elif 0 in header.shape:
        problems.add(where, "a tensor", f"no element, shape {list(header.shape)}")
    else:
        return True
    return False


_ADDRESS = re.compile(r"(?:^|[^0-9a-z])0x([0-9a-f]{4,16})(?:[^0-9a-z]|$)", re.IGNORECASE)


def address_in(name: str) -> int | None:
    """Return the address that the name of a file states; None where it does not.

    >>> address_in("act@0x34200400") == 0x34200400, address_in("layer10")
    (True, None)
    """
    found = _ADDRESS.search(name)
    return None if found is None else int(found[1], 16)
