"""TOML and JSON of unknown origin: what is too large, too deep or too long is refused before it costs anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qdqnp.diagnosis.mapping import read_mapping
from qdqnp.errors import InputError, ProfileError
from qdqnp.files.documents import MAX_DEPTH, parse_json, parse_toml, read_json, read_toml
from qdqnp.inputs.pictures import read_preprocessing
from qdqnp.numerics.profile_toml import load_profile

PARTS = 25_000
BAD_TOML = {
    "dotted key": ".".join("a" * PARTS) + " = 1",
    "dotted key with spaces": " . ".join("a" * PARTS) + " = 1",
    "dotted key in quotes": ".".join(['"a"'] * PARTS) + " = 1",
    "dotted key in apostrophes": ".".join(["'a.b'"] * PARTS) + " = 1",
    "dotted table": "[" + ".".join("a" * PARTS) + "]",
    "dotted list": "[[" + ".".join("a" * PARTS) + "]]",
    "dotted in an inline table": "x = {" + ".".join("a" * PARTS) + " = 1}",
    "deep lists": "a = " + "[" * 5000 + "]" * 5000,
    "deep tables": "a = " + "{a = " * 5000 + "1" + "}" * 5000,
    "deep, but not too deep for the parser": "a = " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
    "tables in keys": "[" + "a." * 20 + "a]\n" + "b." * 20 + "b = 1",
    "many digits": "a = " + "9" * 5000,
    "many hexadecimal digits": "a = 0x" + "f" * 100_000,
    "more than 64 bits": "a = -9223372036854775809",
    "no TOML": "a = = 1",
    "unfinished": 'a = "',
}


@pytest.mark.parametrize("name", BAD_TOML)
def test_toml_that_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError):
        parse_toml(BAD_TOML[name])
    for file, read, error in (
        ("device.toml", load_profile, ProfileError),
        ("mapping.toml", read_mapping, InputError),
        ("preprocessing.toml", read_preprocessing, InputError),
    ):
        (tmp_path / file).write_text(BAD_TOML[name])
        with pytest.raises(error) as caught:
            read(tmp_path / file)
        assert len(str(caught.value)) < 1000


def test_toml_that_is_read() -> None:
    text = ".".join("a" * MAX_DEPTH) + " = 1\nb = 'many. dots. in. a. text, 1.2.3'\n# a.b.c\nd = -9223372036854775808"
    assert parse_toml(text)["d"] == -(2**63)
    assert parse_toml('x."a.b".c = 0.5 # ...') == {"x": {"a.b": {"c": 0.5}}}


BAD_JSON = {
    "deep lists": "[" * 100_000,
    "deep, but not too deep for the parser": "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2),
    "deep tables": '{"a": ' * 500 + "1" + "}" * 500,
    "many digits": '{"a": ' + "9" * 5000 + "}",
    "more than 64 bits": '{"a": 18446744073709551616}',
    "no number": '{"a": NaN}',
    "a lone surrogate": '{"a": "\\ud800"}',
    "a lone surrogate as a key": '{"\\udfff": 1}',
    "many lists": "[" + "[]," * 2**20 + "1]",
    "many tables": "[" + "{}," * 2**20 + "1]",
    "no JSON": "{",
    "nothing": "",
}


@pytest.mark.parametrize("name", BAD_JSON)
def test_json_that_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError):
        parse_json(BAD_JSON[name].encode())
    (tmp_path / "mapping.json").write_text(BAD_JSON[name])
    with pytest.raises(InputError, match="cannot read a mapping"):
        read_mapping(tmp_path / "mapping.json")


def test_json_that_is_read() -> None:
    document = {"a": [2**64 - 1, -(2**63), 0.5, None, True], "\u2264 \U0001f600": "\U0001f600"}
    assert parse_json(json.dumps(document).encode()) == document
    for encoding in ("utf-16", "utf-32", "utf-8-sig", "latin-1"):
        with pytest.raises(ValueError):
            parse_json(json.dumps(document | {"\xff": 1}, ensure_ascii=False).encode(encoding, "replace"))


@pytest.mark.parametrize("read", [read_toml, read_json])
def test_large_files_are_not_read(tmp_path: Path, read: object) -> None:
    (tmp_path / "x").write_bytes(b"")
    os.truncate(tmp_path / "x", 2**40)
    with pytest.raises(OSError, match="at most 1048576"):
        read(tmp_path / "x")  # type: ignore[operator]


@pytest.mark.parametrize("name", ["dotted key", "dotted table", "deep lists", "many hexadecimal digits"])
def test_what_it_costs(tmp_path: Path, name: str) -> None:
    """In a process with 512 MiB of address space: a key of 25,000 parts took 2.5 GiB."""
    (tmp_path / "x.toml").write_text(BAD_TOML[name])
    code = (
        "import resource, sys; from pathlib import Path; from qdqnp.files.documents import read_toml\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))\n"
        "try: read_toml(Path(sys.argv[1]))\nexcept ValueError: sys.exit(3)"
    )
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, str(tmp_path / "x.toml")]
    assert subprocess.run(command, timeout=60, env=environment).returncode == 3
