"""Reads external data: tensors whose bytes lie in other files, all inside the model's folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NoReturn

import onnx

from qdqnp.errors import Problems
from qdqnp.files.regular import open_regular
from qdqnp.limits import MAX_EXTERNAL_BYTES, readable_bytes
from qdqnp.reader.text import read_text

INSIDE = "External data must be regular files in the model's folder or below it."


class _Refused(Exception):  # noqa: N818 - not an error of its own
    """Stops the reading of one tensor, whose problem has been noted."""


class ExternalData:
    """Reads the external tensors of one model."""

    def __init__(self, folder: Path | None, problems: Problems) -> None:
        self._folder = folder
        self._problems = problems
        self._regions: dict[tuple[Path, int, int], bytes] = {}
        self._read_of: dict[Path, int] = {}
        self._total = 0

    def read(self, proto: onnx.TensorProto, size: int, where: str) -> bytes | None:
        """Return the `size` bytes of an external tensor, or None when something is wrong (which is noted)."""
        try:
            return self._read(proto, size, f"{where}, external data")
        except _Refused:
            return None

    def _read(self, proto: onnx.TensorProto, size: int, where: str) -> bytes:
        entries = {
            read_text(e.key, where, self._problems): read_text(e.value, where, self._problems)
            for e in proto.external_data
        }
        if len(entries) != len(proto.external_data):
            self._no(where, "each key once", "a repeated key")
        path = self._inside(entries.get("location", ""), where)
        offset = self._number(entries.get("offset", "0"), "offset", where)
        length = self._number(entries.get("length", str(size)), "length", where)
        if length != size:
            self._no(where, f"a length of {size} bytes for the tensor's type and dims", f"{length} bytes")
        return self._region(path, offset, size, where)

    def _no(self, where: str, expected: str, got: object, hint: str = "") -> NoReturn:
        self._problems.add(where, expected, got, hint)
        raise _Refused

    def _number(self, text: str, key: str, where: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 19):
            self._no(f"{where}, {key}", "a whole number of bytes from 0 up", f"'{text}'")
        return int(text)

    def _inside(self, location: str, where: str) -> Path:
        """Return the real path of `location`, if it is a regular file inside the model's folder."""
        where = f"{where}, location"
        if self._folder is None:
            self._no(
                where,
                "a model with all its data inside",
                f"a reference to '{location}'",
                "Load the model from its path: bytes and ModelProto have no folder.",
            )
        if not location or "\0" in location:
            self._no(where, "a file name", repr(location), INSIDE)
        posix, windows = PurePosixPath(location), PureWindowsPath(location)
        if posix.is_absolute() or windows.anchor or windows.drive:
            self._no(where, "a path relative to the model's folder", f"'{location}'", INSIDE)
        if ".." in posix.parts or ".." in windows.parts:
            self._no(where, "a path without '..'", f"'{location}'", INSIDE)
        try:
            return self._real_file(self._folder / location, location, where)
        except (OSError, RuntimeError) as error:  # RuntimeError means a loop of symbolic links, before Python 3.13
            reason = getattr(error, "strerror", None) or str(error)
            self._no(
                where,
                "a file in the model's folder",
                f"'{location}': {reason}",
                "Copy the model's data files next to it.",
            )

    def _real_file(self, path: Path, location: str, where: str) -> Path:
        assert self._folder is not None
        real = path.resolve(strict=True)
        if not real.is_relative_to(self._folder.resolve(strict=True)):
            self._no(where, "a file inside the model's folder", f"'{location}', a symbolic link that leaves it", INSIDE)
        if not stat.S_ISREG(real.stat().st_mode):
            self._no(where, "a regular file", f"'{location}', a directory, device or pipe", INSIDE)
        return real

    def _region(self, path: Path, offset: int, size: int, where: str) -> bytes:
        key = (path, offset, size)
        if key not in self._regions:
            self._regions[key] = self._load(path, offset, size, where)
        return self._regions[key]

    def _load(self, path: Path, offset: int, size: int, where: str) -> bytes:
        try:
            with open_regular(path, follow=False) as file:  # should it have been exchanged for a link meanwhile
                self._admit(path, offset, size, os.fstat(file.fileno()).st_size, where)
                file.seek(offset)
                data = file.read(size)
        except OSError as error:
            self._no(where, "a readable file", f"'{path.name}': {error.strerror or error}")
        if len(data) != size:
            self._no(where, f"{size} bytes at offset {offset}", f"{len(data)} bytes")
        return data

    def _admit(self, path: Path, offset: int, size: int, available: int, where: str) -> None:
        """Refuse a region that does not exist, or that would take more memory than the files really hold."""
        if offset + size > available:
            self._no(
                where,
                f"offset + length within the {available} bytes of '{path.name}'",
                f"{offset} + {size} = {offset + size}",
                "The data file is cut off, or not this model's.",
            )
        if self._read_of.get(path, 0) + size > available:
            self._no(
                where,
                f"tensors that do not overlap in '{path.name}'",
                "more bytes than the file has",
                "Tensors may share a region only if offset and length are equal.",
            )
        if self._total + size > MAX_EXTERNAL_BYTES:
            self._no(where, f"at most {readable_bytes(MAX_EXTERNAL_BYTES)} of external data", "more")
        self._read_of[path] = self._read_of.get(path, 0) + size
        self._total += size
