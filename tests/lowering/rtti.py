"""Names of C++ classes in a shared library by their base class: what `typeid` knows, read from the ELF file.

The type information of a class with one base is three pointers: to a table, to its name, to the type information of
its base. In a library they are relocations (R_X86_64_RELATIVE) that name their targets.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path

RELA, RELATIVE, NOBITS = 4, 8, 8


@dataclass(frozen=True)
class Section:
    """kind, address, offset and size as the section header of the ELF file has them."""

    kind: int
    address: int
    offset: int
    size: int


class Library:
    """An ELF file of x86-64."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        start, (count,) = struct.unpack_from("<Q", self.data, 40)[0], struct.unpack_from("<H", self.data, 60)
        headers = (struct.unpack_from("<IIQQQQ", self.data, start + 64 * at) for at in range(count))
        self.sections = [Section(kind, address, offset, size) for _, kind, _, address, offset, size in headers]
        self.pointers: dict[int, int] = {}
        self.users: dict[int, list[int]] = {}
        for section in self.sections:
            if section.kind == RELA:
                self._relocations(section)

    def _relocations(self, section: Section) -> None:
        for place, info, target in struct.iter_unpack(
            "<QQQ", self.data[section.offset : section.offset + section.size]
        ):
            if info & 0xFFFFFFFF == RELATIVE:
                self.pointers[place] = target
                self.users.setdefault(target, []).append(place)

    def _text(self, address: int) -> str:
        for section in self.sections:
            if section.kind != NOBITS and section.address and 0 <= address - section.address < section.size:
                start = address - section.address + section.offset
                return self.data[start : self.data.index(b"\0", start)].decode("latin-1")
        return ""

    def _address(self, text: str) -> int:
        at = self.data.index(b"\0" + text.encode() + b"\0") + 1
        section = next(s for s in self.sections if s.kind != NOBITS and 0 <= at - s.offset < s.size)
        return at - section.offset + section.address

    def derived(self, mangled: str) -> set[str]:
        """Plain names of all classes derived from one, directly or not."""
        found: set[str] = set()
        pending = [place - 8 for place in self.users[self._address(mangled)]]
        while pending:
            for place in self.users.get(pending.pop(), ()):
                name = self._text(self.pointers.get(place - 8, -1))  # this pointer to the base follows that to the name
                if name.startswith("N") and name.endswith("E"):
                    found.add(_plain(name))
                    pending.append(place - 16)
        return found


def _plain(mangled: str) -> str:
    """The last part of a nested name such as N11onnxruntime9PadFusionE."""
    rest, part = mangled[1:], ""
    while (match := re.match(r"(\d+)", rest)) is not None:
        size = int(match.group())
        part, rest = rest[match.end() : match.end() + size], rest[match.end() + size :]
    return part
