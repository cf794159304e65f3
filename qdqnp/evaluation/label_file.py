"""Read which class each picture has from a file of lines: a picture and its class."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from qdqnp.errors import InputError, Problem, Problems
from qdqnp.files.paths import reason
from qdqnp.files.regular import read_bytes
from qdqnp.limits import MAX_TEXT_BYTES

#: What the first field of a first line is called that is no picture.
HEADS = ("file", "filename", "file_name", "name", "image", "image_name", "img", "path", "picture", "id")
#: Names of label files that are taken from a folder of pictures by themselves.
BESIDE = ("labels.csv", "labels.txt")


def read_label_file(path: Path, class_names: Sequence[str] | None) -> dict[str, int]:
    """Return the class of each picture, by the name that the file states, '/' between folders.

        path: a text file in UTF-8. Each line is a picture's name, a comma, semicolon, tab or blanks, and its class: a
            number from 0, or one of the class names. A first line such as `file,class` is a head. Names with blanks
            or commas are in quotes where these separate.
        class_names: the names of the classes, in order; None where there are none.

    Raises InputError that lists every line that is none, every class that is none, and pictures that are there twice.

    >>> Path("labels.csv").write_text("file,class\\na.png,1\\nb.png,0\\n")
    27
    >>> read_label_file(Path("labels.csv"), None)
    {'a.png': 1, 'b.png': 0}
    """
    try:
        text = read_bytes(path, MAX_TEXT_BYTES).decode("utf-8-sig")
        rows = _rows(text)
    except (OSError, ValueError, csv.Error) as error:
        expected = "a readable text file in UTF-8, a picture and its class on each line"
        raise InputError("cannot read the labels", [Problem(f"file {path}", expected, reason(error))]) from error
    known = {name: number for number, name in enumerate(class_names or ())}
    found: dict[str, int] = {}
    problems = Problems()
    for line, fields in rows:
        where = f"line {line} of {path.name}"
        if len(fields) != 2:
            problems.add(where, "a picture and its class", f"{len(fields)} fields: {fields}")
            continue
        name, stated = fields[0].replace("\\", "/").removeprefix("./"), fields[1]
        number = known.get(stated, _number(stated))
        if number is None:
            expected = "a class: a number from 0" + (", or a class name" if known else "")
            problems.add(where, expected, f"'{stated}'", "" if known else "Names of classes need --class-names.")
        elif name in found:
            problems.add(where, "each picture once", f"'{name}' again")
        else:
            found[name] = number
    problems.raise_if_any("the labels are not valid", InputError)
    return found


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Return the number and the fields of each line, without empty lines and the head."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    separator = next((sign for sign in ",;\t" if sign in first), "")
    lines = text.splitlines()
    if separator:
        parsed = list(csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True))
        if len(parsed) != len(lines):
            raise ValueError("a quoted name that goes on in the next line")
    else:  # the class is the last word: names may have blanks
        parsed = [line.strip().rsplit(None, 1) for line in lines]
    rows = [(number, [field.strip() for field in fields]) for number, fields in enumerate(parsed, 1)]
    rows = [(number, fields) for number, fields in rows if any(fields)]
    if rows and rows[0][1][0].lower() in HEADS:
        del rows[0]
    if not rows:
        raise ValueError("no line with a label")
    return rows


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
