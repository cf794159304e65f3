"""Mutate the files that commands read, for tools/fuzz/commands.py: models, arrays, archives, JSON, TOML, pictures, and
the folders that they lie in."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx

from tools.fuzz.fuzz_mutate import (
    FLOATS,
    INTEGERS,
    change_attribute,
    change_data,
    change_size,
    mutate_bytes,
    mutate_model,
    scales,
)

Rng = random.Random
MANIFEST, MODEL = "gold/manifest.json", "gold/model.onnx"
TEXTS = ("", "x", "0", "-1", "ort", "tflite", "../victim", "/etc/passwd", "a" * 5000, "\0", "\x1b[31m", "\u202e",
         "[red]x", "gold", "m.onnx", "float32", "int8", "NaN", "inf", "ü", "nchw", "{case}", "%s", "a/b", "layer:0",
         ".", "..")  # fmt: skip
SHAPES = ("()", "(0,)", "(1,)", "(-1,)", "(2, 3)", "(10**9, 10**9)", "(1000000000,)", "(4294967296, 4294967296)",
          "(1.5,)", "(True,)", "(1, 1, 1, 1, 1)", "3", "None", "'x'", "(1,) * 40", "(2L,)", "(" * 300)  # fmt: skip
DTYPES = ("'|i1'", "'|u1'", "'<f4'", "'>f4'", "'<f8'", "'<f2'", "'<i8'", "'>i4'", "'|b1'", "'<c8'", "'|O'", "'<U4'",
          "'|V4'", "'|S3'", "[('a', '<f4')]", "'<M8[ns]'", "'|V0'", "'<g'", "'?'", "1", "None",
          "'(2,2)f4'")  # fmt: skip
HEADERS = (("shape", SHAPES), ("descr", DTYPES), ("fortran_order", ("True", "False", "1", "None", "'x'")))
KEYS = ("x", "kind", "name", "rounding", "base", '""')
LINES = ("[conv]", "[[x]]", "[a.b.c]", "x = 1", "[", 'kind = "float-scale"', "a.b = 1", "a." * 60 + "a = 1",
         "x = " + "[" * 1500, 'base = "ort"')  # fmt: skip
TOML_VALUES = ("1", "-1", "0", "1.5", "nan", "inf", "-inf", "1e308", "9223372036854775807", "-9223372036854775808",
               "99999999999999999999999", "true", "''", "'x'", '"\\u0000"', "[]", "[1, 2, 3]", "[[]]", "{}", "{a = 1}",
               "2000-01-01", "07:32:00", '"ort"', '"tflite"', '"half-even"', '"half-up"', '"floor"', "[1, 'a']", "31",
               "32", "63", "64", "65", "256", "1e-45", "0.0")  # fmt: skip


def mutate_file(rng: Rng, name: str, data: bytes, models: Sequence[Any]) -> bytes:
    """Return a file's mutated contents; what is done depends on its suffix, and one time in eight is done to bytes."""
    if rng.random() < 0.12:
        return mutate_bytes(rng, data)
    try:
        return KINDS.get(name.rpartition(".")[2], _anything)(rng, data, models)
    except Exception:  # it was mutated before, and is no file of its kind any more
        return mutate_bytes(rng, data)


def _anything(rng: Rng, data: bytes, models: Sequence[Any]) -> bytes:
    way = rng.randrange(5)
    if way == 0:
        return data[: rng.randrange(len(data) + 1)]
    if way == 1:
        return data + rng.randbytes(rng.choice((1, 4, 100)))
    if way == 2:
        return b""
    return mutate_bytes(rng, data)


# -- models ------------------------------------------------------------------------------------------------------------
def _model(rng: Rng, data: bytes, models: Sequence[Any]) -> bytes:
    model = onnx.ModelProto()
    model.ParseFromString(data)
    if rng.random() < 0.5:
        rng.choice((change_data, scales, change_attribute, change_size))(rng, model)  # most of which still load
    else:
        mutate_model(rng, model, models)
    return model.SerializeToString()


# -- arrays ------------------------------------------------------------------------------------------------------------
def _npy(rng: Rng, data: bytes, models: Sequence[Any] = ()) -> bytes:
    """Another header over the same elements, other elements under the same header, or one element more or less."""
    length = 10 + int.from_bytes(data[8:10], "little")
    header, elements = data[:length], data[length:]
    way = rng.randrange(10)
    if way >= 4 and elements:
        return header + _odd_elements(rng, elements)
    if way < 2:
        text = header[10:].decode("latin-1")
        for _ in range(rng.choice((1, 1, 2))):
            key, values = rng.choice(HEADERS)
            text = re.sub(rf"'{key}': (\([^)]*\)|[^,}}]*)", lambda _: f"'{key}': {rng.choice(values)}", text)  # noqa: B023
        body = text.encode("latin-1")
        stated = len(body) if rng.random() < 0.9 else rng.choice((0, 65535, len(body) + 1))
        header = data[:6] + rng.choice((b"\x01\0", b"\x01\0", b"\x01\0", b"\x02\0", b"\x03\0"))
        return header + struct.pack("<H" if header[6] == 1 else "<I", stated) + body + elements
    if way == 2:
        return header + elements[: rng.randrange(len(elements) + 1)]
    return header + elements + rng.randbytes(rng.choice((1, 4, 8)))


def _odd_elements(rng: Rng, elements: bytes) -> bytes:
    """NaN, infinities, extremes and random bits where elements of four bytes stand; or everything is one byte."""
    if rng.random() < 0.2:
        return bytes([rng.choice((0, 1, 127, 128, 255))]) * len(elements)
    found = bytearray(elements)
    for _ in range(rng.choice((1, 2, 8, 64))):
        at = rng.randrange(len(found)) & ~3
        value = struct.pack("<f", rng.choice(FLOATS)) if rng.random() < 0.7 else rng.randbytes(4)
        found[at : at + 4] = value[: len(found) - at]
    return bytes(found)


def _bin(rng: Rng, data: bytes, models: Sequence[Any]) -> bytes:
    return _odd_elements(rng, data) if data and rng.random() < 0.5 else _anything(rng, data, models)


def _npz(rng: Rng, data: bytes, models: Sequence[Any]) -> bytes:
    """Change, rename, drop, double and add members, or how they are packed."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    packing = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED))
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        way, at = rng.randrange(16), rng.randrange(max(len(members), 1))
        if not members:
            break
        name, body = members[at]
        if way < 10:
            members[at] = (name, _npy(rng, body))
        elif way == 10:
            members[at] = (rng.choice((*TEXTS, name + "x", name.upper(), "../" + name)) + ".npy", body)
        elif way == 11:
            del members[at]
        elif way == 12:
            members.append((name if rng.random() < 0.3 else f"more{at}.npy", body))
        elif way == 13:
            other = rng.choice(members)[1]
            members[at] = (name, other)
        elif way == 14:
            packing = rng.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED))
        elif rng.random() < 0.3:
            members[at] = (name, body + bytes(2**22))  # unpacks to a thousand times its size
        else:
            rng.shuffle(members)
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w") as archive:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, body in members:
            info = zipfile.ZipInfo(name or "x", (1980, 1, 1, 0, 0, 0))
            with contextlib.suppress(UnicodeEncodeError):
                archive.writestr(info, body, packing)
    packed = made.getvalue()
    return mutate_bytes(rng, packed) if rng.random() < 0.08 else packed


# -- documents ---------------------------------------------------------------------------------------------------------
def _json(rng: Rng, data: bytes, models: Sequence[Any]) -> bytes:
    document = json.loads(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        document = change_document(rng, document)
    text = json.dumps(document, indent=1)
    if rng.random() < 0.05:
        text = rng.choice(
            ("[" * 5000, '{"a":' * 500, text + text, text.replace("1", "1" * 5000, 1), "NaN", '"\\ud800"')
        )
    return text.encode()


def change_document(rng: Rng, document: Any) -> Any:
    """Return a document with one value somewhere in it changed, dropped, doubled or put elsewhere."""
    holder, key = _place(rng, document)
    if holder is None:
        return _value(rng)
    way = rng.randrange(8)
    if way < 4:
        holder[key] = _value(rng, holder[key])
    elif way == 4:
        del holder[key]
    elif way == 5 and isinstance(holder, dict):
        holder[rng.choice((*TEXTS, "files", "shape", "name"))] = holder.pop(key)
    elif way == 6 and isinstance(holder, list):
        holder.insert(key, holder[key])
    else:
        other, place = _place(rng, document)
        if other is not None and not isinstance(other[place], dict | list):
            holder[key] = other[place]
    return document


def _place(rng: Rng, document: Any) -> tuple[Any, Any]:
    """Return a list or table somewhere in a document, and one of its keys; deep places as often as shallow ones."""
    holder, key = None, None
    value = document
    while isinstance(value, dict | list) and value:
        holder = value
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        value = value[key]
        if rng.random() < 0.15:
            break
    return holder, key


def _value(rng: Rng, old: Any = None) -> Any:
    if isinstance(old, str) and rng.random() < 0.3:
        return rng.choice((old + "x", old[:-1], old.upper(), old * 2, old[::-1]))
    if isinstance(old, int) and rng.random() < 0.5:
        return rng.choice((old + 1, old - 1, -old, old * 2, old * 1000, float(old)))
    values = (None, True, False, [], {}, [[]], [None], {"": 0}, [1, 2, 3], {"a": {"b": []}})
    return rng.choice((rng.choice(values), rng.choice(INTEGERS), rng.choice(FLOATS), rng.choice(TEXTS)))


def _toml(rng: Rng, data: bytes, models: Sequence[Any]) -> bytes:
    """Change the document line by line: other values, other keys, lines dropped, doubled, exchanged."""
    lines = data.decode("utf-8").splitlines()
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not lines:
            break
        at, way = rng.randrange(len(lines)), rng.randrange(10)
        key, equals, _ = lines[at].partition(" = ")
        if way < 5 and equals:
            lines[at] = f"{key} = {rng.choice(TOML_VALUES)}"
        elif way == 5:
            del lines[at]
        elif way == 6:
            lines.insert(rng.randrange(len(lines) + 1), lines[at])
        elif way == 7:
            lines.insert(at, rng.choice(LINES))
        elif way == 8:
            lines[at] = mutate_bytes(rng, lines[at].encode()).decode("utf-8", "replace")
        elif equals:
            lines[at] = f"{rng.choice(KEYS)} = {rng.choice(TOML_VALUES)}"
    return "\n".join(lines).encode()


# -- pictures ----------------------------------------------------------------------------------------------------------
def _picture(rng: Rng, data: bytes, models: Sequence[Any]) -> bytes:
    """Mutate bytes, mostly of the header; of PNG the checksum is made again, so that the decoder gets to see it."""
    at = rng.choice((0, 0, len(data) // 4, len(data) // 2))
    size = rng.choice((32, 64, 256))
    found = data[:at] + mutate_bytes(rng, data[at : at + size]) + data[at + size :]
    if found[:4] == b"\x89PNG" and len(found) > 33 and rng.random() < 0.8:
        size = struct.pack(">II", *(rng.choice((0, 1, 9, 12, 5000, 60000, 2**31 - 1)) for _ in range(2)))
        chunk = b"IHDR" + (size if rng.random() < 0.5 else found[16:24]) + found[24:29]
        found = found[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + found[33:]
    return found


C_VALUES = ("0", "-1", "1", "31", "47", "255", "65535", "65536", "4294967295", "99999999999999999999", "0x7fffffffUL",
            "0xffffffffffffffffULL", "1.5", "NULL", "x", "{0}", "{1, 2", "}", "(", "a + 1", "{(unsigned char *)(0UL)}",
            '"text"', "{" * 20, "1 " * 100)  # fmt: skip
C_LINES = ("/*", "*/", "#if 0", "static const T a = {", "};", '"', "/* kind=Conv node=x */", "/* kind= node= */",
           "/* Unit= 10 [CONV_ACC_V2 0] */", "/* scheduling epoch=99999999999 */", "{", "}", ";", "\x1b[31m", "\0",
           "static const LL_Convacc_InitTypeDef x_init1 = {0};")  # fmt: skip


def _c(rng: Rng, data: bytes, models: Sequence[Any]) -> bytes:
    """Change the text line by line: other values of fields, names, lines dropped, doubled, put elsewhere."""
    lines = data.decode("utf-8", "replace").splitlines()
    for _ in range(rng.choice((1, 1, 2, 4))):
        if not lines:
            break
        at, way = rng.randrange(len(lines)), rng.randrange(10)
        key, equals, _ = lines[at].partition(" = ")
        if way < 5 and equals and not lines[at].endswith("{"):
            lines[at] = f"{key} = {rng.choice(C_VALUES)},"
        elif way == 5:
            del lines[at]
        elif way == 6:
            begin = rng.randrange(len(lines) + 1)
            lines[begin:begin] = lines[at : at + rng.choice((1, 1, 30))]
        elif way == 7:
            lines.insert(at, rng.choice(C_LINES))
        elif way == 8:
            lines[at] = lines[at].replace(rng.choice(("Conv", "_", "node", "0", "init", "off_bias")), rng.choice(TEXTS))
        else:
            lines[at] = mutate_bytes(rng, lines[at].encode()).decode("utf-8", "replace")
    return "\n".join(lines).encode("utf-8", "replace")


KINDS: dict[str, Callable[[Rng, bytes, Sequence[Any]], bytes]] = {
    "onnx": _model,
    "npy": _npy,
    "npz": _npz,
    "bin": _bin,
    "json": _json,
    "toml": _toml,
    "c": _c,
    "raw": _anything,
    **dict.fromkeys(("png", "bmp", "gif", "jpeg", "ppm", "tiff", "webp"), _picture),
}


# -- golden sets -------------------------------------------------------------------------------------------------------
def forge(files: dict[str, bytes]) -> None:
    """Make the manifest of a golden set tell the sizes and checksums of its files as they are now, so that what was
    mutated is read, and not refused at the door. A manifest that is too damaged for it stays as it is."""
    try:
        document = json.loads(files[MANIFEST])
        document.pop("sha256", None)
        if MODEL in files:
            document["model"]["sha256"] = hashlib.sha256(files[MODEL]).hexdigest()
        for name, listed in document["files"].items():
            data = files.get(f"gold/{name}")
            if data is not None:
                listed.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for tensor in document["tensors"]:
            if len(tensor["crc32"]) == 1:
                with contextlib.suppress(Exception):
                    tensor["crc32"] = [f"{zlib.crc32(_stored(files, tensor['files'])):08x}"]
        text = json.dumps(document, indent=1, allow_nan=False).removesuffix("\n}")
        digits = hashlib.sha256(text.encode()).hexdigest()
        files[MANIFEST] = f'{text},\n "sha256": "{digits}"\n}}\n'.encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return


def _stored(files: dict[str, bytes], places: Any) -> bytes:
    """Return the bytes of a golden tensor's elements, in whichever format it is there."""
    kind, place = next(iter(places.items()))
    data = files[f"gold/{place['file']}".replace("{case}", "00000")]
    if kind == "npz":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = archive.read(f"{place['member']}.npy")
    return data if kind == "bin" else data[10 + int.from_bytes(data[8:10], "little") :]


# -- folders -----------------------------------------------------------------------------------------------------------
def disturb(rng: Rng, root: Path, victim: Path) -> None:
    """Put something else in the place of one file or folder: nothing, a folder, a link, a pipe, an empty file."""
    places = sorted(path for path in root.rglob("*") if not path.is_symlink())
    if not places:
        return
    place, way = rng.choice(places), rng.randrange(8)
    moved = place.with_name(place.name + ".old")
    if way == 0:
        place.with_name(
            rng.choice(("extra.npy", "extra.bin", ".hidden", "x.txt", "\udcff.npy", "a\nb.npy"))
        ).write_bytes(place.read_bytes() if place.is_file() else b"")
        return
    place.rename(moved)
    if way == 1:
        place.mkdir()
    elif way == 2:
        place.symlink_to(moved)
    elif way == 3:
        place.symlink_to(victim)
    elif way == 4:
        os.mkfifo(place)
    elif way == 5:
        place.write_bytes(b"")
    elif way == 6:
        place.symlink_to(place)
