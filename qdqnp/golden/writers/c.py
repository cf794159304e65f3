"""c: write an array for each tensor, golden.h that describes them all, a table for qdqnp_check, and a host main."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdqnp.files.folder import Folder
from qdqnp.golden.catalog import Entry
from qdqnp.golden.formats import Settings, Writer
from qdqnp.golden.names import in_comment, step_key
from qdqnp.golden.tensor import Document
from qdqnp.golden.writers.c_text import (
    attribute_macros,
    c_type,
    define,
    macro,
    shipped,
    symbol,
    tensor_macros,
    values,
)
from qdqnp.quant import Array
from qdqnp.version import __version__

GUARD = """/* Golden vectors, made by qdqnp {version}. An array holds the cases (inputs of the network) one by one. */
#ifndef GOLDEN_H
#define GOLDEN_H

#include "qdqnp_check.h"

/* In front of every array: define it yourself for another compiler. */
#ifndef GOLDEN_DATA
{data}#endif

#define GOLDEN_CASES {cases}
"""
ATTRIBUTES = """#if defined(__GNUC__) || defined(__CC_ARM) || defined(__ICCARM__)
#define GOLDEN_DATA __attribute__(({attributes}))
#else
#error "define GOLDEN_DATA as this compiler's words for {attributes_text}"
#endif
"""


class CWriter(Writer, name="c"):
    """Writes one .c file for each tensor, as CMSIS-NN's tests have them, so that a test takes only what it needs."""

    def __init__(self, folder: Folder, settings: Settings, cases: int) -> None:
        super().__init__(folder, settings, cases)
        self._numbers: dict[str, int] = {}  # values of parameters that are one number

    def add(self, entry: Entry, stored: Array, case: int) -> None:
        name = self._file(entry)
        if case == 0:
            cases = "GOLDEN_CASES * " if entry.tensor.varies else ""
            size = f"[{cases}{macro(entry.tensor.key)}_SIZE]" if stored.size else "[1]"
            head = f'#include "golden.h"\n\nGOLDEN_DATA const {c_type(entry)[0]} {symbol(entry)}{size} = {{\n'
            self._append(name, head)
            single = stored.size == 1 and not entry.tensor.varies
            if entry.tensor.role == "parameter" and single and stored.dtype.kind in "iu":
                self._numbers[entry.tensor.key] = int(stored.reshape(-1)[0])
        self._append(name, values(stored, f"tensor '{entry.tensor.key}'") if stored.size else "    0,\n")
        if case == self._cases - 1 or not entry.tensor.varies:
            self._append(name, "};\n")

    def finish(self, entries: Mapping[str, Entry], layers: list[Document]) -> None:
        for name in ("qdqnp_check.h", "qdqnp_check.c", "main.c"):
            self._append(f"c/{name}", shipped(name))
        own = [entry for entry in entries.values() if entry.same_as is None]
        self._append("c/golden.h", self._header(entries, own, layers))
        self._append("c/golden.c", table(own))

    def place(self, entry: Entry) -> dict[str, Any]:
        return {"file": self._file(entry.stored), "symbol": symbol(entry.stored)}

    def _append(self, name: str, text: str) -> None:
        self._folder.append(name, text.encode("ascii"))

    @staticmethod
    def _file(entry: Entry) -> str:
        return f"c/golden_{entry.tensor.key}.c"

    # -- golden.h ----------------------------------------------------------------------------------------------------
    def _header(self, entries: Mapping[str, Entry], own: list[Entry], layers: list[Document]) -> str:
        text = GUARD.format(version=__version__, data=self._attributes(), cases=self._cases)
        text += f"#define GOLDEN_TENSORS {len(own)}\n"
        waiting = {layer["index"]: layer for layer in layers}
        numbers = {entry.tensor.key: index for index, entry in enumerate(own)}
        for entry in entries.values():
            layer = waiting.pop(entry.tensor.index, None)
            if layer is not None:
                text += f"\n/* layer {in_comment(layer['label'])}, {in_comment(layer['op'])} */\n"
                text += attribute_macros(macro(step_key(layer["index"], layer["label"])), layer)
            text += self._declaration(entry, numbers)
        table_text = "\n/* Every array once, in the order of their ..._ID. */\n"
        table_text += "extern const qdqnp_tensor golden_tensors[GOLDEN_TENSORS];\n"
        return text + table_text + "\n#endif\n"

    def _attributes(self) -> str:
        chosen = [f"aligned({self._settings.alignment})"] if self._settings.alignment else []
        chosen += [f'section("{self._settings.section}")'] if self._settings.section else []
        if not chosen:
            return "#define GOLDEN_DATA\n"
        words = ", ".join(chosen)
        return ATTRIBUTES.format(attributes=words, attributes_text=words.replace('"', "'"))

    def _declaration(self, entry: Entry, numbers: Mapping[str, int]) -> str:
        name, base = macro(entry.tensor.key), entry.stored
        sizes = "x".join(map(str, entry.tensor.stored_shape)) or "one number"
        kind = f"{entry.tensor.role}, {entry.tensor.dtype}, {entry.tensor.layout} {sizes}"
        text = f"\n/* {in_comment(entry.tensor.stage or entry.tensor.name)}: {kind} */\n"
        text += tensor_macros(entry)
        text += f"#define {name}_ID {numbers[base.tensor.key]}\n"
        if entry.tensor.key in self._numbers:
            text += define(name, self._numbers[entry.tensor.key], name)
        if entry.same_as is not None:
            return text + f"#define {symbol(entry)} {symbol(base)}\n"
        cases = "GOLDEN_CASES * " if entry.tensor.varies else ""
        size = f"{cases}{name}_SIZE" if 0 not in entry.tensor.shape else "1"
        return text + f"extern GOLDEN_DATA const {c_type(entry)[0]} {symbol(entry)}[{size}];\n"


def table(own: list[Entry]) -> str:
    """Return golden.c: every array with its checksums."""
    text = '#include "golden.h"\n\n'
    for entry in own:
        crcs = ", ".join(f"0x{crc:08x}u" for crc in entry.crcs)
        text += f"static const uint32_t crc_{entry.tensor.key}[] = {{{crcs}}};\n"
    text += "\nconst qdqnp_tensor golden_tensors[GOLDEN_TENSORS] = {\n"
    for entry in own:
        key, cases = entry.tensor.key, "GOLDEN_CASES" if entry.tensor.varies else "1"
        count = f"{macro(key)}_SIZE"
        text += f'    {{"{key}", {symbol(entry)}, crc_{key}, {count}, {cases}, {c_type(entry)[1]}}},\n'
    return text + "};\n"
