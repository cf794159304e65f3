"""Read the checksums that a board printed of its tensors: text, one line for each tensor and case, between other lines.

A line names a tensor (the number in golden_crc.h, a macro of it, the tensor's key, its ONNX name, or its layer's
label), the case where there are several, and the CRC-32, or whether it was equal:

    crc 12 0 1a2b3c4d
    GOLDEN_006_LEVEL2_TREE1_CONV2_OUTPUT_CRC case 1: expected 9f3a0c11, got 0x1a2b3c4d
    case 0: layer level2.tree1.conv2, by arm_convolve_wrapper_s8: CRC-32 1a2b3c4d, expected 9f3a0c11
    006_level2_tree1_conv2_output, case 0: equal

A line that counts how many of all tensors differ says that those without a line were equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qdqnp.diagnosis.dump import SUFFIXES
from qdqnp.diagnosis.dumps.golden_dump import is_set
from qdqnp.files.paths import FILE, FOLDER, below, kind_of
from qdqnp.files.regular import open_inside, open_regular, read_all
from qdqnp.golden_sets import GoldenSet, read
from qdqnp.golden_sets.formats import readers
from qdqnp.golden_sets.options import Options
from qdqnp.golden_sets.tensor import INNER_ROLES, GoldenTensor
from qdqnp.golden_sets.texts import MAX_TEXT, TEXTS

#: Roles of the tensors that a board has checksums of.
ROLES = ("network_input", "output", "network_output")

# What macros begin with where nothing else is said.
PREFIX = Options().prefix
# The format c-crc is four files.
MOST_FILES = 100

_CRC = re.compile(r"(?<![0-9A-Za-z_])(?:0[xX])?([0-9A-Fa-f]{8})(?![0-9A-Za-z_])")
_EXPECTED = re.compile(
    r"(?:expected|want(?:ed)?|golden|should be)\W{0,3}(?:CRC(?:-?32)?\W{0,3})?(?:0[xX])?([0-9A-Fa-f]{8})\b",
    re.IGNORECASE,
)
_CASE = re.compile(r"\b(?:case|input|run)\W{0,3}(\d{1,9})\b", re.IGNORECASE)
_NUMBER = re.compile(r"\b(?:crc|tensor|id)\W{0,3}(\d{1,6})\b(?:\s+(\d{1,9})\b)?", re.IGNORECASE)
_EQUAL = re.compile(r"\b(?:equal|ok|pass(?:ed)?|match(?:es)?)\b", re.IGNORECASE)
_WRONG = re.compile(r"\b(?:differs?|wrong|fail(?:ed|s)?|mismatch(?:es)?|not equal)\b", re.IGNORECASE)
_COUNTED = re.compile(r"\b\d+ of \d+ tensors differ\b")
_TABLE = re.compile(r"sums\[[^\]]*\]\[[^\]]*\]\s*=\s*\{(.*?)\};", re.DOTALL)


@dataclass
class CrcLog:
    """What a board said of its tensors."""

    #: By key of the tensor and case: its CRC-32, or only whether it was equal.
    found: dict[tuple[str, int], int | bool] = field(default_factory=dict)
    #: Whether tensors that are not named were equal.
    whole: bool = False
    #: Lines with a checksum of which the tensor is not known.
    unknown: list[str] = field(default_factory=list)


def checked_tensors(golden: GoldenSet) -> list[GoldenTensor]:
    """Return the tensors of a set that a board has checksums of, in the order of the numbers in golden_crc.h."""
    first: dict[tuple[str, str], GoldenTensor] = {}
    for tensor in golden.tensors:
        if tensor.role not in INNER_ROLES:
            first.setdefault((tensor.name, tensor.layout), tensor)
    chosen = (first[tensor.name, tensor.layout] for tensor in golden.tensors if tensor.role in ROLES)
    return list({tensor.key: tensor for tensor in chosen}.values())


def read_crc_log(path: Path, golden: GoldenSet) -> CrcLog | None:
    """Return what a file, the folder of the format c-crc, or a golden set without values says; None for what names no
    checksum of the set.

    Raises OSError where it cannot be read, GoldenError for a damaged set.
    """
    tensors = checked_tensors(golden)
    if is_set(path):
        other = read(path)
        if any(kind in tensor.files for tensor in other.tensors for kind in (*readers(), *TEXTS)):
            return None
        known = {tensor.key for tensor in tensors}
        crcs = {(t.key, case): crc for t in checked_tensors(other) for case, crc in enumerate(t.crc32)}
        return CrcLog({at: int(crc, 16) for at, crc in crcs.items() if at[0] in known})
    if kind_of(path) == FILE and path.suffix in SUFFIXES:
        return None
    if kind_of(path) == FOLDER:
        return _of_table("\n".join(_text(path, name) for name in _table_files(path)), tensors)
    with open_regular(path) as file:
        data = read_all(file, MAX_TEXT)
    if b"\0" in data[:4096]:
        return None
    prefix = str(golden.manifest.get("options", {}).get("prefix", PREFIX))
    return crc_log(data.decode("utf-8", "replace"), tensors, prefix)


def has_table(folder: Path) -> bool:
    """Tell whether a folder holds the table of checksums in C."""
    return bool(_table_files(folder))


def _table_files(folder: Path) -> list[str]:
    """Return the names of the files of the format c-crc; () where others are among them."""
    try:
        names = [name for name, what in below(folder, MOST_FILES).items() if what == FILE]
    except OSError:
        return []
    right = all(name.endswith((".c", ".h")) for name in names)
    return names if right and any(name.endswith("_crc.c") for name in names) else []


def _text(folder: Path, name: str) -> str:
    with open_inside(folder, name) as file:
        return read_all(file, MAX_TEXT).decode("utf-8", "replace")


def _of_table(text: str, tensors: Sequence[GoldenTensor]) -> CrcLog | None:
    """Return what the table of checksums in C holds, a column for each tensor; None where there is none."""
    table = _TABLE.search(text)
    if table is None:
        return None
    log = CrcLog()
    for case, row in enumerate(re.findall(r"\{([^{}]*)\}", table[1])):
        for number, crc in enumerate(re.findall(r"0x([0-9a-f]{8})u", row)):
            if number < len(tensors):
                log.found[tensors[number].key, case] = int(crc, 16)
            else:
                log.unknown.append(f"number {number}")
    return log


def crc_log(text: str, tensors: Sequence[GoldenTensor], prefix: str = PREFIX) -> CrcLog | None:
    """Return what a log says of tensors; None where it names none of them.

    prefix: what the macros of the set begin with, as `--prefix` said when it was written.
    """
    known, log = _names(tensors, prefix), CrcLog()
    for line in text.splitlines():
        log.whole = log.whole or bool(_COUNTED.search(line))
        crcs = [int(crc, 16) for crc in _CRC.findall(line)]
        verdict = None if crcs else _verdict(line)
        if not crcs and verdict is None:
            continue
        tensor, case = _meant(line, tensors, known, prefix)
        if tensor is None:
            if crcs and re.search(r"crc", line, re.IGNORECASE):
                log.unknown.append(line.strip())
            continue
        number = case if case is not None else _next(log, tensor)
        log.found[tensor.key, number] = verdict if verdict is not None else _got(line, crcs, tensor, number)
    return log if log.found or log.whole or log.unknown else None


def _verdict(line: str) -> bool | None:
    if _COUNTED.search(line) or not (_CASE.search(line) or _NUMBER.search(line)):
        return None
    return False if _WRONG.search(line) else True if _EQUAL.search(line) else None


def _got(line: str, crcs: Sequence[int], tensor: GoldenTensor, case: int) -> int:
    """Return the checksum that the device computed: of two the one that is not said to be expected, or is not what the
    set has."""
    said = _EXPECTED.search(line)
    expected = crcs.index(int(said[1], 16)) if said is not None and len(crcs) > 1 else -1
    left = [crc for place, crc in enumerate(crcs) if place != expected]
    listed = tensor.crc32[case if tensor.varies else 0] if case < len(tensor.crc32) or not tensor.varies else ""
    others = [crc for crc in left if f"{crc:08x}" != listed]
    return (others or left)[-1]


def _next(log: CrcLog, tensor: GoldenTensor) -> int:
    return sum(key == tensor.key for key, _ in log.found)


def _meant(
    line: str, tensors: Sequence[GoldenTensor], known: Mapping[str, GoldenTensor], prefix: str
) -> tuple[GoldenTensor | None, int | None]:
    """Return the tensor and the case that a line is about."""
    said = _CASE.search(line)
    case = int(said[1]) if said else None
    for word in _words(line):
        if _plain(word, prefix) in known:
            return known[_plain(word, prefix)], case
    number = _NUMBER.search(line)
    if number is None or int(number[1]) >= len(tensors):
        return None, case
    if case is None and number[2] is not None and not _CRC.fullmatch(number[2]):
        case = int(number[2])
    return tensors[int(number[1])], case


def _words(line: str) -> Iterator[str]:
    """Yield what may be a name in a line, the longest first: what lies between spaces, quotes, commas and colons."""
    words = re.findall(r"'[^']+'|\"[^\"]+\"|[^\s,;='\"]+", line)
    yield from sorted((word.strip("'\":()[]") for word in words), key=len, reverse=True)


def _names(tensors: Iterable[GoldenTensor], prefix: str) -> dict[str, GoldenTensor]:
    """Return tensors by everything that they may be called; names that two have tell nothing."""
    found: dict[str, GoldenTensor | None] = {}
    for tensor in tensors:
        for text in {_plain(name, prefix) for name in (tensor.key, tensor.name, tensor.layer)} - {""}:
            found[text] = None if text in found else tensor
    return {text: tensor for text, tensor in found.items() if tensor is not None}


def _plain(text: str, prefix: str) -> str:
    """Return the letters and digits of a name, without what macros add; '' for a number."""
    plain, start = (re.sub(r"[^0-9a-z]+", "_", part.lower()).strip("_") for part in (text, prefix))
    for end in ("_crc", "_id", "_output"):
        plain = plain.removesuffix(end)
    plain = plain.removeprefix(f"{start}_").removeprefix("network_")
    return "" if plain.isdigit() else plain
