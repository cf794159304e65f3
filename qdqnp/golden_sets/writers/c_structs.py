"""The parameters of a layer as one typed struct, beside its macros."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.tensor import Document
from qdqnp.golden_sets.writers.c_names import CNames
from qdqnp.golden_sets.writers.c_text import SIDES, TYPES, real

#: Arrays of a layer's arithmetic, by name, that the struct points to.
ARRAYS = ("weight", "bias", "multiplier", "shift", "output_shift", "multipliers", "shifts", "output_shifts")


def layer_struct(names: CNames, layer: Document, entries: Sequence[Entry], numbers: Mapping[str, int]) -> str:
    """Return the type of a layer's struct, and the struct: the window, scales and zero points, the parameters that are
    one number, and pointers to the arrays. It is const and static, so that no file defines it a second time.

    names: the names of the set.
    layer: the layer.
    entries: its tensors.
    numbers: the parameters that are one number, by key.
    """
    own = names.layer(layer["index"])
    fields: list[tuple[str, str]] = []
    for name, sides in SIDES.items():
        value = layer["attributes"].get(name)
        if isinstance(value, list) and len(value) == len(sides):
            fields += [(f"int32_t {side.lower()}", str(number)) for side, number in zip(sides, value, strict=True)]
    group = layer["attributes"].get("group")
    if isinstance(group, int):
        fields.append(("int32_t group", str(group)))
    for entry in entries:
        tensor = entry.tensor
        part = names.symbol(tensor).removeprefix(f"{own}_")
        if tensor.key in numbers:
            fields.append((f"int64_t {part}" if tensor.dtype == "int64" else f"int32_t {part}", names.macro(tensor)))
            continue
        if isinstance(tensor.scale, float) and tensor.role in ("input", "weight", "output"):
            fields.append((f"float {part}_scale", f"{real(tensor.scale, tensor.key)}f"))
            fields.append((f"int32_t {part}_zero_point", str(tensor.zero_point)))
        if part in ARRAYS and tensor.role in ("weight", "bias", "parameter"):
            fields.append((f"const {TYPES[str(tensor.dtype)][0]} *{part}", names.symbol(tensor)))
    fields = list(dict(fields).items())  # of two of one name the later
    if not fields:
        return ""
    text = (
        f"\n/* The parameters of layer {re.sub(r'[^A-Za-z0-9_.:-]', '_', layer['label'])[:60]}. */\ntypedef struct {{\n"
    )
    text += "".join(f"    {declared};\n" for declared, _ in fields)
    values = ",\n    ".join(value for _, value in fields)
    text += f"}} {own}_params_t;\n#define {own.upper()}_PARAMS {{ \\\n    "
    return text + values.replace(",\n", ", \\\n") + " \\\n}\n"
