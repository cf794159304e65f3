"""c: write a file of arrays for each layer, a header that describes them, a table for qdqnp_check, a host main."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qdqnp.files.folder import Folder
from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.formats import Settings, Writer
from qdqnp.golden_sets.names import in_comment
from qdqnp.golden_sets.tensor import Document
from qdqnp.golden_sets.writers.c_names import CNames, numbered_entries, require_different
from qdqnp.golden_sets.writers.c_skeletons import skeleton
from qdqnp.golden_sets.writers.c_structs import layer_struct
from qdqnp.golden_sets.writers.c_text import (
    CPLUSPLUS_END,
    CPLUSPLUS_START,
    attribute_macros,
    c_type,
    define,
    shipped,
    tensor_macros,
    values,
)
from qdqnp.quant import Array
from qdqnp.version import __version__

GUARD = """/* Golden vectors, made by qdqnp {version}. An array holds the cases (inputs of the network) one by one. */
#ifndef {macro}_H
#define {macro}_H

#include "qdqnp_check.h"

/* In front of every array: define it yourself for another compiler. */
#ifndef {macro}_DATA
{data}#endif

#define {macro}_CASES {cases}
"""
ATTRIBUTES = """#if defined(__GNUC__) || defined(__CC_ARM) || defined(__ICCARM__)
#define {macro}_DATA __attribute__(({attributes}))
#else
#error "define {macro}_DATA as this compiler's words for {attributes_text}"
#endif
"""


class CWriter(Writer, name="c"):
    """Writes one .c file for each layer, so that a test takes only what it needs."""

    def __init__(self, folder: Folder, settings: Settings, cases: int) -> None:
        super().__init__(folder, settings, cases)
        self._numbers: dict[str, int] = {}  # values of parameters that are one number
        self._parts: dict[str, list[str]] = {}  # the arrays of each file, which grow side by side

    @property
    def _names(self) -> CNames:
        return CNames(self._settings.prefix, self.layer_names)

    def add(self, entry: Entry, stored: Array, case: int) -> None:
        names, tensor = self._names, entry.tensor
        part = f"c/{tensor.key}.part"
        if case == 0:
            self._parts.setdefault(f"c/{names.file(tensor)}", []).append(part)
            head = f"\n{names.prefix.upper()}_DATA const {c_type(entry)[0]} {self._array(entry)} = {{\n"
            self._append(part, head)
            single = stored.size == 1 and not tensor.varies
            if tensor.role == "parameter" and single and stored.dtype.kind in "iu":
                self._numbers[tensor.key] = int(stored.reshape(-1)[0])
        self._append(part, values(stored, f"tensor '{tensor.key}'") if stored.size else "    0,\n")
        if case == self._cases - 1 or not tensor.varies:
            self._append(part, "};\n")

    def _array(self, entry: Entry) -> str:
        names, tensor = self._names, entry.tensor
        cases = f"{names.prefix.upper()}_CASES * " if tensor.varies else ""
        size = f"{cases}{names.macro(tensor)}_SIZE" if 0 not in tensor.shape else "1"
        return f"{names.symbol(tensor)}[{size}]"

    def finish(self, entries: Mapping[str, Entry], layers: list[Document]) -> None:
        prefix = self._settings.prefix
        own = numbered_entries(entries.values())
        for name, parts in self._parts.items():
            self._append(name, f'#include "{prefix}.h"\n')
            self._folder.join(name, parts)
        for name in ("qdqnp_check.h", "qdqnp_check.c", "main.c"):
            self._append(f"c/{name}", shipped(name, prefix))
        header = self._header(entries, own, layers)
        require_different(header, f"c/{prefix}.h")
        self._append(f"c/{prefix}.h", header)
        self._append(f"c/{prefix}.c", self._table(own))
        found: dict[str, str] = {}
        for chosen in self._settings.skeletons:
            found |= skeleton(chosen, prefix, self._outputs(entries))
        for name, text in found.items():
            self._append(f"c/{name}", text)

    def _outputs(self, entries: Mapping[str, Entry]) -> list[tuple[str, str]]:
        """Return (layer's name, macros of its output) of each layer."""
        outputs = [entry.tensor for entry in entries.values() if entry.tensor.role == "output"]
        return [(self.layer_names[t.index], self._names.macro(t)) for t in outputs if t.index is not None]

    def place(self, entry: Entry) -> dict[str, Any]:
        tensor = entry.stored.tensor
        return {"file": f"c/{self._names.file(tensor)}", "symbol": self._names.symbol(tensor)}

    def _append(self, name: str, text: str) -> None:
        self._folder.append(name, text.encode("ascii"))

    # -- the header --------------------------------------------------------------------------------------------------
    def _header(self, entries: Mapping[str, Entry], own: list[Entry], layers: list[Document]) -> str:
        prefix = self._settings.prefix
        macro = prefix.upper()
        text = GUARD.format(version=__version__, macro=macro, data=self._attributes(), cases=self._cases)
        text += f"#define {macro}_TENSORS {len(own)}\n\n" + CPLUSPLUS_START
        waiting = {layer["index"]: layer for layer in layers}
        numbers = {entry.tensor.key: index for index, entry in enumerate(own)}
        parts: dict[int, list[Entry]] = {}
        for entry in entries.values():
            index = entry.tensor.index
            layer = waiting.pop(index, None) if index is not None else None
            if layer is not None:
                text += f"\n/* layer {in_comment(layer['label'])}, {in_comment(layer['op'])} */\n"
                text += attribute_macros(self._names.layer(layer["index"]).upper(), layer)
            if index is not None:
                parts.setdefault(index, []).append(entry)
            text += self._declaration(entry, numbers)
        for layer in layers:
            text += layer_struct(self._names, layer, parts.get(layer["index"], []), self._numbers)
        text += f"\n/* Every array once, in the order of their ..._ID. */\nextern const qdqnp_tensor {prefix}_tensors"
        largest = max((e.tensor.nbytes for e in entries.values() if e.tensor.role == "output"), default=1)
        text += f"[{macro}_TENSORS];\n\n/* Bytes of the largest output of a layer. */\n"
        return text + f"#define {macro}_LARGEST_OUTPUT {max(largest, 1)}\n" + CPLUSPLUS_END + "\n#endif\n"

    def _attributes(self) -> str:
        macro = self._settings.prefix.upper()
        chosen = [f"aligned({self._settings.alignment})"] if self._settings.alignment else []
        chosen += [f'section("{self._settings.section}")'] if self._settings.section else []
        if not chosen:
            return f"#define {macro}_DATA\n"
        words = ", ".join(chosen)
        return ATTRIBUTES.format(macro=macro, attributes=words, attributes_text=words.replace('"', "'"))

    def _declaration(self, entry: Entry, numbers: Mapping[str, int]) -> str:
        names, tensor, base = self._names, entry.tensor, entry.stored
        name = names.macro(tensor)
        sizes = "x".join(map(str, tensor.stored_shape)) or "one number"
        kind = f"{tensor.role}, {tensor.dtype}, {tensor.layout} {sizes}"
        text = f"\n/* {in_comment(tensor.stage or tensor.name)}: {kind} */\n"
        text += tensor_macros(tensor, name)
        text += f"#define {name}_ID {numbers[base.tensor.key]}\n"
        if tensor.key in self._numbers:
            text += define(name, self._numbers[tensor.key], name)
        if entry.same_as is not None:
            return text + f"#define {names.symbol(tensor)} {names.symbol(base.tensor)}\n"
        return text + f"extern {names.prefix.upper()}_DATA const {c_type(entry)[0]} {self._array(entry)};\n"

    def _table(self, own: list[Entry]) -> str:
        """Return every array with its checksums."""
        prefix = self._settings.prefix
        text = f'#include "{prefix}.h"\n\n'
        for entry in own:
            crcs = ", ".join(f"0x{crc:08x}u" for crc in entry.crcs)
            name = self._names.symbol(entry.tensor).removeprefix(f"{prefix}_")
            text += f"static const uint32_t crc_{name}[] = {{{crcs}}};\n"
        text += f"\nconst qdqnp_tensor {prefix}_tensors[{prefix.upper()}_TENSORS] = {{\n"
        for entry in own:
            tensor, cases = entry.tensor, f"{prefix.upper()}_CASES" if entry.tensor.varies else "1"
            count = f"{self._names.macro(tensor)}_SIZE"
            symbol = self._names.symbol(tensor)
            own_name = symbol.removeprefix(f"{prefix}_")
            text += f'    {{"{own_name}", {symbol}, crc_{own_name}, {count}, {cases}, {c_type(entry)[1]}}},\n'
        return text + "};\n"
