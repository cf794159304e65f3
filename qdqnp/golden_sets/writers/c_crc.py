"""c-crc: write a table of checksums in C, for boards without room for the values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.formats import Writer
from qdqnp.golden_sets.names import in_comment
from qdqnp.golden_sets.tensor import Document
from qdqnp.golden_sets.writers.c_names import CHECKED, CNames, numbered_entries, require_different
from qdqnp.golden_sets.writers.c_text import CPLUSPLUS_END, CPLUSPLUS_START, c_type, integer, shipped
from qdqnp.quant import Array
from qdqnp.version import __version__


class CrcWriter(Writer, name="c-crc"):
    """Writes the checksums of the inputs of the network and of the outputs of every layer."""

    roles = CHECKED

    def add(self, entry: Entry, stored: Array, case: int) -> None:
        pass

    def finish(self, entries: Mapping[str, Entry], layers: list[Document]) -> None:
        prefix = self._settings.prefix
        known = {entry.stored for entry in entries.values() if entry.tensor.role in self.roles}
        chosen = [entry for entry in numbered_entries(entries.values()) if entry in known]
        for name in ("qdqnp_check.h", "qdqnp_check.c"):
            self._append(name, shipped(name))
        header = self._header(entries, chosen)
        require_different(header, f"c-crc/{prefix}_crc.h")
        self._append(f"{prefix}_crc.h", header)
        self._append(f"{prefix}_crc.c", self._table(chosen))

    def place(self, entry: Entry) -> dict[str, Any]:
        return {"file": f"c-crc/{self._settings.prefix}_crc.c"} if entry.tensor.role in self.roles else {}

    def _append(self, name: str, text: str) -> None:
        self._folder.append(f"c-crc/{name}", text.encode("ascii"))

    def _header(self, entries: Mapping[str, Entry], chosen: list[Entry]) -> str:
        names = CNames(self._settings.prefix, self.layer_names)
        prefix, macro = names.prefix, names.prefix.upper()
        text = (
            f"/* CRC-32 of golden tensors, made by qdqnp {__version__}: little-endian bytes, as zlib computes it. */\n"
        )
        text += f'#ifndef {macro}_CRC_H\n#define {macro}_CRC_H\n\n#include "qdqnp_check.h"\n\n'
        text += f"#define {macro}_CRC_CASES {self._cases}\n#define {macro}_CRC_TENSORS {len(chosen)}\n\n"
        numbers = {entry: index for index, entry in enumerate(chosen)}
        for entry in entries.values():
            if entry.tensor.role in self.roles:
                number, comment = numbers[entry.stored], in_comment(entry.tensor.name)
                text += f"#define {names.macro(entry.tensor)}_ID {number}\n/* {comment} */\n"
        text += "\n" + CPLUSPLUS_START
        text += "\n/* Compare a buffer with one case (input of the network) of a tensor and report; 0 where equal. */\n"
        text += f"uint32_t {prefix}_crc_check(uint32_t tensor, uint32_t case_index, const void *got,\n"
        text += f"{' ' * (len(prefix) + 20)}qdqnp_report report, void *context);\n"
        return text + CPLUSPLUS_END + "\n#endif\n"

    def _table(self, chosen: list[Entry]) -> str:
        prefix, macro = self._settings.prefix, self._settings.prefix.upper()
        text = f'#include "{prefix}_crc.h"\n\nstatic const uint32_t counts[{macro}_CRC_TENSORS] = {{\n'
        counts = [math.prod(entry.tensor.shape) for entry in chosen]
        text += "".join(f"    {integer(count)},\n" for count in counts)
        text += f"}};\n\nstatic const uint8_t types[{macro}_CRC_TENSORS] = {{\n"
        text += "".join(f"    {c_type(entry)[1]},\n" for entry in chosen)
        text += f"}};\n\nstatic const uint32_t sums[{macro}_CRC_CASES][{macro}_CRC_TENSORS] = {{\n"
        for case in range(self._cases):
            row = ", ".join(f"0x{e.crcs[case if e.tensor.varies else 0]:08x}u" for e in chosen)
            text += f"    {{{row}}},\n"
        text += f"}};\n\nuint32_t {prefix}_crc_check(uint32_t tensor, uint32_t case_index, const void *got,\n"
        text += f"{' ' * (len(prefix) + 20)}qdqnp_report report, void *context)\n{{\n"
        text += "    return qdqnp_check_crc(sums[case_index][tensor], tensor, case_index, got, counts[tensor],\n"
        return text + "                           types[tensor], report, context);\n}\n"
