"""The folder of a pack: pack.json lists every file with its hash, and each case is a folder with a desc.json.

    pack.json
    ort/QLinearConv/qlinearconv_..._ties/model.onnx  input_x.npy  output_y.npy  desc.json

A pack is read with distrust: files are looked for by their listed names, and must have their hashes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdqnp.errors import InputError, Problem, shorten
from qdqnp.files.documents import parse_json
from qdqnp.files.npy import FAULTS, read_array
from qdqnp.files.paths import reason
from qdqnp.files.regular import read_inside
from qdqnp.limits import MAX_MANIFEST_BYTES
from qdqnp.quant import Array

PACK, DESC, MODEL = "pack.json", "desc.json", "model.onnx"
#: Of pack.json and desc.json; another number is another meaning of their keys.
SCHEMA = 1
#: The largest file of a case that is read.
MAX_CASE_BYTES = 2**26

Document = dict[str, Any]


@dataclass(frozen=True)
class Pack:
    """A pack on disk."""

    #: Its folder.
    folder: Path
    #: The profiles of its cases, with their status.
    profiles: Mapping[str, str]
    #: The paths of the cases' folders in the pack, in its order: profile/operator/name.
    cases: Sequence[str]
    #: sha256 of every file by relative name.
    hashes: Mapping[str, str]

    def of(self, profile: str, operators: Sequence[str] = ()) -> list[str]:
        """Return the cases of a profile, and of these operators where any are named."""
        parts = [(path, path.split("/")) for path in self.cases]
        return [path for path, (one, op, _) in parts if one == profile and (not operators or op in operators)]

    def read(self, name: str) -> bytes:
        """Return the bytes of a file. Raises InputError where it is missing, or not as it was written."""
        wanted = self.hashes.get(name)
        try:
            data = read_inside(self.folder, name, MAX_CASE_BYTES)
        except OSError as error:
            raise _damaged(f"file {name}", "a file of the pack", reason(error)) from error
        if wanted != hashlib.sha256(data).hexdigest():
            raise _damaged(f"file {name}", "the content that pack.json lists", "another")
        return data


@dataclass(frozen=True, eq=False)
class StoredCase:
    """One case on disk."""

    #: Its path in the pack.
    path: str
    #: desc.json.
    desc: Document
    #: Inputs and expected outputs by name.
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]

    @property
    def operator(self) -> str:
        return str(self.path.split("/")[1])


def read_pack(folder: Path) -> Pack:
    """Read pack.json. Raises InputError for a folder that is not a pack of this schema."""
    try:
        document = parse_json(read_inside(folder, PACK, MAX_MANIFEST_BYTES))
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise ValueError(f"no schema {SCHEMA}")
        profiles = {str(name): str(status) for name, status in document["profiles"].items()}
        cases = [str(path) for path in document["cases"]]
        hashes = {str(name): str(told["sha256"]) for name, told in document["files"].items()}
        for path in cases:
            profile, _, _ = path.split("/")
            if profile not in profiles:
                raise ValueError(f"a case of no profile, {shorten(path)}")
    except OSError as error:
        raise _damaged(f"folder {shorten(str(folder))}", f"a conformance pack with {PACK}", reason(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(f"file {PACK}", "the list of a conformance pack", shorten(str(error))) from error
    return Pack(folder, profiles, cases, hashes)


def read_case(pack: Pack, path: str) -> StoredCase:
    """Read one case. Raises InputError where it is not as it was written."""
    try:
        desc = parse_json(pack.read(f"{path}/{DESC}"))
        inputs, outputs = (
            {str(name): _array(pack, path, told) for name, told in desc[key].items()} for key in ("inputs", "outputs")
        )
    except (*FAULTS, AttributeError) as error:
        raise _damaged(f"case {path}", "a case of the pack", shorten(str(error))) from error
    return StoredCase(path, desc, inputs, outputs)


def _array(pack: Pack, path: str, told: Mapping[str, Any]) -> Array:
    data = pack.read(f"{path}/{told['file']}")
    array = read_array(io.BytesIO(data), len(data))
    if [str(array.dtype), list(array.shape)] != [told["dtype"], told["shape"]]:
        raise ValueError(f"{array.dtype}{list(array.shape)} in {told['file']}, not what desc.json says")
    return array


def _damaged(where: str, expected: str, got: str) -> InputError:
    hint = "Make the pack again: qdqnp conformance make --out DIR"
    return InputError("this is no conformance pack, or it has changed", [Problem(where, expected, got, hint)])


def counted(cases: Sequence[str]) -> dict[str, int]:
    """Return how many cases each operator has, by its name."""
    found: dict[str, int] = {}
    for path in cases:
        operator = path.split("/")[1]
        found[operator] = found.get(operator, 0) + 1
    return found


def spread(items: Sequence[Any], most: int | None) -> Iterator[Any]:
    """Yield at most `most` items, evenly spread; all of them for None.

    >>> list(spread("abcdef", 3))
    ['a', 'c', 'e']
    """
    if most is None or len(items) <= most:
        yield from items
        return
    yield from (items[number * len(items) // most] for number in range(most))
