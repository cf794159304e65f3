"""c-crc: write a table of checksums in C, for boards without room for the values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qdqnp.golden.catalog import Entry
from qdqnp.golden.formats import Writer
from qdqnp.golden.names import in_comment
from qdqnp.golden.tensor import Document
from qdqnp.golden.writers.c_text import c_type, integer, macro, shipped
from qdqnp.quant import Array
from qdqnp.version import __version__


class CrcWriter(Writer, name="c-crc"):
    """Writes the checksums of the inputs of the network and of the outputs of every layer."""

    # The tensors that a device has in its buffers: only these can be checked by a checksum.
    roles = ("network_input", "output", "network_output")

    def add(self, entry: Entry, stored: Array, case: int) -> None:
        pass

    def finish(self, entries: Mapping[str, Entry], layers: list[Document]) -> None:
        chosen = list(dict.fromkeys(e.stored for e in entries.values() if e.tensor.role in self.roles))
        for name in ("qdqnp_check.h", "qdqnp_check.c"):
            self._append(name, shipped(name))
        self._append("golden_crc.h", self._header(chosen))
        self._append("golden_crc.c", self._table(chosen))

    def place(self, entry: Entry) -> dict[str, Any]:
        return {"file": "c-crc/golden_crc.c"} if entry.tensor.role in self.roles else {}

    def _append(self, name: str, text: str) -> None:
        self._folder.append(f"c-crc/{name}", text.encode("ascii"))

    def _header(self, chosen: list[Entry]) -> str:
        text = (
            f"/* CRC-32 of golden tensors, made by qdqnp {__version__}: little-endian bytes, as zlib computes it. */\n"
        )
        text += '#ifndef GOLDEN_CRC_H\n#define GOLDEN_CRC_H\n\n#include "qdqnp_check.h"\n\n'
        text += f"#define GOLDEN_CRC_CASES {self._cases}\n#define GOLDEN_CRC_TENSORS {len(chosen)}\n\n"
        for index, entry in enumerate(chosen):
            text += f"#define {macro(entry.tensor.key)}_CRC {index} /* {in_comment(entry.tensor.name)} */\n"
        text += "\n/* Compare a buffer with one case (input of the network) of a tensor and report; 0 where equal. */\n"
        text += (
            "uint32_t golden_crc_check(uint32_t tensor, uint32_t case_index, const void *got, qdqnp_report report,\n"
        )
        text += "                          void *context);\n\n#endif\n"
        return text

    def _table(self, chosen: list[Entry]) -> str:
        text = '#include "golden_crc.h"\n\nstatic const uint32_t counts[GOLDEN_CRC_TENSORS] = {\n'
        counts = [math.prod(entry.tensor.shape) for entry in chosen]
        text += "".join(f"    {integer(count)},\n" for count in counts)
        text += "};\n\nstatic const uint8_t types[GOLDEN_CRC_TENSORS] = {\n"
        text += "".join(f"    {c_type(entry)[1]},\n" for entry in chosen)
        text += "};\n\nstatic const uint32_t sums[GOLDEN_CRC_CASES][GOLDEN_CRC_TENSORS] = {\n"
        for case in range(self._cases):
            row = ", ".join(f"0x{e.crcs[case if e.tensor.varies else 0]:08x}u" for e in chosen)
            text += f"    {{{row}}},\n"
        text += "};\n\nuint32_t golden_crc_check(uint32_t tensor, uint32_t case_index, const void *got,\n"
        text += "                          qdqnp_report report, void *context)\n{\n"
        text += "    return qdqnp_check_crc(sums[case_index][tensor], tensor, case_index, got, counts[tensor],\n"
        return text + "                           types[tensor], report, context);\n}\n"
