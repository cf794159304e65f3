"""manifest.json: what a set holds, how it was made, and the hash of every file. It does not hold dates or paths of the
host."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx

from qdqnp.executor.plan import Plan
from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.options import Options
from qdqnp.golden_sets.tensor import Document
from qdqnp.numerics.profile import Profile, rule_names
from qdqnp.numerics.profile_writer import to_document
from qdqnp.ops.geometry.windows import WindowAttributes, axes_for
from qdqnp.ops.given import GivenAttributes
from qdqnp.program import Step
from qdqnp.version import __version__

FORMAT, VERSION = "qdqnp-golden", 1
MANIFEST, MODEL = "manifest.json", "model.onnx"


def profile_document(profile: Profile) -> Document:
    """Describe the profile: every parameter, and how well each rule is known."""
    parameters = to_document(profile)
    statuses = {name: getattr(profile, name).status for name in rule_names()}
    return {"name": profile.name, "status": profile.status, "rules": statuses, "parameters": parameters}


def versions() -> Document:
    return {"qdqnp": __version__, "numpy": np.__version__, "onnx": onnx.__version__}


def model_document(name: str, data: bytes, stored: bool) -> Document:
    """Describe the model.

    name: the model's name.
    data: the model in one file; its sha256 is that of the given file where that does not have external data.
    stored: whether the model is part of the set.
    """
    name = name.encode("utf-8", "backslashreplace").decode()  # a file's name may be no text, JSON's strings are
    return {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "file": MODEL if stored else None}


def layer_documents(plan: Plan, chosen: Collection[int], shapes: Mapping[str, tuple[int, ...]]) -> list[Document]:
    """Describe the captured layers in order.

    plan: the model under a profile.
    chosen: indices of the captured steps.
    shapes: the shape of every tensor by name.
    """
    return [
        {
            "index": index,
            "label": bound.step.label,
            "op": bound.step.op,
            "inputs": list(bound.step.input_names),
            "outputs": list(bound.step.output_names),
            "attributes": attributes_of(bound.step, shapes),
        }
        for index, bound in enumerate(plan.steps)
        if index in chosen
    ]


def attributes_of(step: Step, shapes: Mapping[str, tuple[int, ...]]) -> Document:
    """Return the operator's attributes. Attributes of windows are given as they apply to these shapes, for two axes at
    least: kernel_shape, strides, dilations as (height, width), pads as (top, left, bottom, right), auto_pad resolved.
    Of three axes the depth comes first."""
    attributes = step.attributes
    if isinstance(attributes, GivenAttributes):
        return {name: _plain(value) for name, value in attributes.values.items()}
    fields = {field.name.lstrip("_"): getattr(attributes, field.name) for field in dataclasses.fields(attributes)}
    found = {name: _plain(value) for name, value in fields.items() if value is not None}
    if isinstance(attributes, WindowAttributes):
        names = step.input_names
        kernel = list(attributes.kernel_shape or shapes[names[1]][2:])
        axes = axes_for(attributes, kernel, shapes[names[0]][2:])
        if len(axes) == 1:
            axes, kernel = [(1, 1, 0, 0), *axes], [1, *kernel]
        strides, dilations, before, after = map(list, zip(*axes, strict=True))
        found |= {"kernel_shape": kernel, "strides": strides, "dilations": dilations, "pads": before + after}
        del found["auto_pad"]
    return found


def _plain(value: Any) -> Any:
    """Convert a value to JSON; a value that JSON does not have a number for becomes text."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()  # of one element without axes, the element
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def manifest_lines(document: Document, entries: Iterable[Entry]) -> Iterator[str]:
    """Yield the text of manifest.json piece by piece, one line for each tensor; the last is the hash of the others.

    document: the manifest without checksums.
    entries: the document's tensors in order, for their crc32: of the stored bytes, little-endian, as the zlib module
        computes it.
    """
    found = hashlib.sha256()
    for text in _unsigned_lines(document, entries):
        found.update(text.encode())
        yield text
    yield _signature(found.hexdigest())


def _unsigned_lines(document: Document, entries: Iterable[Entry]) -> Iterator[str]:
    others = {key: value for key, value in document.items() if key != "tensors"}
    yield json.dumps(others, indent=1, allow_nan=False).removesuffix("\n}") + ',\n "tensors": [\n'
    separator = "  "
    for tensor, entry in zip(document["tensors"], entries, strict=True):
        crcs = [f"{crc:08x}" for crc in entry.stored.crcs]
        yield separator + json.dumps({**tensor, "crc32": crcs}, allow_nan=False)
        separator = ",\n  "
    yield "\n ]"


def _signature(digits: str) -> str:
    return f',\n "sha256": "{digits}"\n}}\n'


def own_hash(text: bytes) -> str:
    """Return the sha256 of a manifest's text before its last line, which states it; '' where there is no such line."""
    length = len(_signature("0" * 64))
    found = hashlib.sha256(text[:-length]).hexdigest()
    return found if text[-length:] == _signature(found).encode() else ""


def manifest(
    *,
    model: Document,
    profile: Profile,
    lowering: str,
    seed: int | None,
    inputs: int,
    options: Options,
    layers: list[Document],
    tensors: Iterable[Document],
    files: Document,
    coverage: Mapping[str, Any] | None,
) -> Document:
    found: Document = {
        "format": FORMAT,
        "version": VERSION,
        "model": model,
        "profile": profile_document(profile),
        "lowering": lowering,
        "versions": versions(),
        "seed": seed,
        "inputs": inputs,
        "options": options.as_json(),
        "layers": layers,
        "tensors": list(tensors),
        "files": files,
    }
    if coverage is not None:
        found["coverage"] = dict(coverage)
    return found
