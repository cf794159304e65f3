"""Read arrays from text: words for $readmemh, Intel HEX, and the arrays of C files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from qdqnp.quant import Array

#: Bytes of one text file that are read.
MAX_TEXT = 2**28
#: The formats of golden sets that are text with values.
TEXTS = ("hex", "ihex", "c")

_WORDS_HEAD = re.compile(
    r"//\s*(?P<key>\S+): (?P<dtype>\w+) \[(?P<shape>[\d, ]*)\], words of (?P<bits>\d+) bits, "
    r"first element (?P<place>\w+)"
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


# -- words for $readmemh -----------------------------------------------------------------------------------------------
def words(text: str) -> Array:
    """Return what a file of hexadecimal words holds: an array with its dtype, (cases, ...), where the file's first line
    says what that is, as those of golden sets do; else the bytes, uint8 (N,), the lowest of each word first.

    Raises ValueError for anything else.
    """
    head = _WORDS_HEAD.match(text)
    cases = [part for part in re.split(r"// case \d+\n", text) if _COMMENT.sub("", part).strip()]
    if head is None:
        return _word_bytes(text, little=True)
    dtype, little = np.dtype(head["dtype"]), head["place"] == "lowest"
    shape = tuple(int(size) for size in head["shape"].split(",") if size.strip())
    count = int(np.prod(shape, dtype=np.int64))
    found = []
    for part in cases:
        data = _word_bytes(part, little)[: count * dtype.itemsize]
        found.append(data.view(dtype.newbyteorder("<" if little else ">")).astype(dtype).reshape(shape))
    return np.stack(found) if len(found) != 1 else found[0]


def _word_bytes(text: str, little: bool) -> Array:
    tokens = [token.replace("_", "") for token in _COMMENT.sub(" ", text).split() if not token.startswith("@")]
    widths = {len(token) for token in tokens}
    if len(widths) != 1 or next(iter(widths)) % 2:
        raise ValueError(f"words of {sorted(widths)[:3]} digits, where all have one even number of them")
    data = np.frombuffer(bytes.fromhex("".join(tokens)), np.uint8).reshape(len(tokens), -1)
    return np.ascontiguousarray(data[:, ::-1] if little else data).reshape(-1)


# -- Intel HEX ---------------------------------------------------------------------------------------------------------
def intel_hex(text: str) -> dict[int, Array]:
    """Return the bytes that the records hold, by address: uint8 (N,) for each range without a gap.

    Raises ValueError for a record that is damaged.
    """
    pieces: dict[int, bytes] = {}
    base = 0
    for number, line in enumerate(text.split(), 1):
        if not line.startswith(":"):
            raise ValueError(f"line {number}: no record of Intel HEX")
        record = bytes.fromhex(line[1:])
        if len(record) < 5 or len(record) != record[0] + 5 or sum(record) & 0xFF:
            raise ValueError(f"line {number}: a record of another length or checksum")
        kind, data = record[3], record[4:-1]
        if kind == 0:
            pieces[base + int.from_bytes(record[1:3])] = data
        elif kind == 1:
            break
        elif kind in (2, 4):
            base = int.from_bytes(data) << (4 if kind == 2 else 16)
    found: dict[int, list[bytes]] = {}
    end = start = -1
    for address in sorted(pieces):
        if address != end:
            start = address
            found[start] = []
        found[start].append(pieces[address])
        end = address + len(pieces[address])
    return {start: np.frombuffer(b"".join(parts), np.uint8) for start, parts in found.items()}


# -- arrays of C files -------------------------------------------------------------------------------------------------
_C_TYPES: Mapping[str, Any] = {
    **{f"{sign}int{bits}_t": np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}
_C_ARRAY = re.compile(
    rf"^(?P<before>[^;{{}}=\n]*)\b(?P<type>{'|'.join(_C_TYPES)})\s+(?P<name>\w+)\s*(?:\[[^\]\n]*\]\s*)+=\s*\{{(?P<body>[^;]*)\}};",
    re.MULTILINE,
)
_C_LOWEST = re.compile(r"\(-(?:INT64_C\()?(\d+)\)? - 1\)")
_C_WIDE = re.compile(r"INT64_C\((-?\d+)\)")


def c_arrays(text: str) -> Iterator[tuple[str, Array]]:
    """Yield the name and the values, shape (N,), of each array of numbers that a C file defines and others can see.

    Raises ValueError for a value that is no number.
    """
    for found in _C_ARRAY.finditer(_COMMENT.sub(" ", text)):
        if not re.search(r"\bstatic\b", found["before"]):
            yield found["name"], _c_values(found["body"], _C_TYPES[found["type"]])


def _c_values(body: str, dtype: np.dtype[Any]) -> Array:
    body = _C_WIDE.sub(r"\1", _C_LOWEST.sub(lambda found: str(-int(found[1]) - 1), body))
    texts = [text for text in (part.strip() for part in re.sub(r"[{}]", " ", body).split(",")) if text]
    if dtype.kind == "f":
        return np.array([_real(text) for text in texts], dtype)
    try:
        return np.array([int(text.rstrip("uUlL"), 0) for text in texts], dtype)
    except OverflowError as error:
        raise ValueError(f"a number beyond {dtype}") from error


def _real(text: str) -> float:
    plain = text.rstrip("fFlL") if not text.lower().startswith("0x") or "p" in text.lower() else text
    return float.fromhex(plain) if "0x" in plain.lower() else float(plain)


def stored_bytes(kind: str, text: str, name: str) -> bytes:
    """Return the bytes of an array in a text of a golden set, all cases one after the other, little-endian.

        kind: one of TEXTS.
        text: the file's text.
        name: the name of the array in a C file.

    Raises ValueError where the text does not hold one.
    """
    if kind == "ihex":
        return b"".join(data.tobytes() for _, data in sorted(intel_hex(text).items()))
    if kind == "hex":
        array = words(text)
    else:
        arrays = list(c_arrays(text))
        found = [array for called, array in arrays if called == name or len(arrays) == 1]
        if not found:
            raise ValueError(f"no array '{name}'")
        array = found[0]
    return array.astype(array.dtype.newbyteorder("<")).tobytes()
