"""Sets that are not whole, not unchanged, or lie: each is refused, with everything that is wrong listed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qdqnp.errors import GoldenError, InputError
from qdqnp.files.npy import npy_bytes
from qdqnp.golden_sets import read
from tests.golden_sets.conftest import Made, make


@pytest.fixture(scope="module")
def whole(net: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("reading") / "set"
    return make(folder, net, cases=2, formats=("npz", "npy", "bin"), layers=("QLinearAdd",))


@pytest.fixture
def folder(whole: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole.folder, tmp_path / "set"))


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads((folder / "manifest.json").read_text())
    change(document)
    (folder / "manifest.json").write_text(json.dumps(document))


def relist(folder: Path, name: str) -> None:
    """Give a changed file the size and hash that it has now: an attacker can, too."""
    data = (folder / name).read_bytes()
    entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit(folder, lambda document: document["files"].update({name: entry}))


def problems(folder: Path) -> list[str]:
    with pytest.raises(GoldenError) as error:
        read(folder)
    return [str(problem) for problem in error.value.problems]


def test_every_damaged_file_is_listed(folder: Path) -> None:
    changed, short, gone, linked = sorted(folder.glob("bin/*.bin"))[:4]
    data = bytearray(changed.read_bytes())
    data[0] ^= 1
    changed.write_bytes(data)
    short.write_bytes(short.read_bytes()[:-1])
    gone.unlink()
    linked.rename(folder / "elsewhere")
    linked.symlink_to(folder / "elsewhere")
    found = problems(folder)
    assert len(found) == 4
    for path, text in ((changed, "has changed"), (short, "bytes"), (gone, "No such file"), (linked, "a link")):
        assert any(f"file bin/{path.name}" in line and text in line for line in found)


def test_every_fault_of_the_manifest_is_listed(folder: Path) -> None:
    def change(document: dict[str, Any]) -> None:
        document["version"] = 2
        document["tensors"][1]["role"] = "nothing"
        del document["tensors"][2]["scale"]
        document["extra"] = 1

    edit(folder, change)
    found = problems(folder)
    assert len(found) == 4
    for where in ("manifest.version", "manifest.tensors[1].role", "manifest.tensors[2].scale", "manifest.extra"):
        assert any(line.startswith(where) for line in found)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t, d: t.update(axes=[0, 0, 1, 2]), "permute"),
        (lambda t, d: t.update(axes=[0]), "permute"),
        (lambda t, d: t.update(shape=[2**40, 2**40]), "bytes"),
        (lambda t, d: t.update(shape=[1] * 33), "32 axes"),
        (lambda t, d: t.update(crc32=t["crc32"][:1]), "2 CRC-32 values"),
        (lambda t, d: t.update(key=d["tensors"][0]["key"].upper()), "key of its own"),
        (lambda t, d: t["files"]["bin"].update(file="bin/other.bin"), "a file of the set"),
        (lambda t, d: t["files"]["npz"].update(file="npz/case_{case}{case}.npz"), "a file of the set"),
        (lambda t, d: d["files"].pop("model.onnx"), "model's sha256"),
        (lambda t, d: d["model"].update(sha256="0" * 64), "model's sha256"),
    ],
)
def test_entries_that_do_not_fit_one_another(folder: Path, change: Callable[..., Any], expected: str) -> None:
    edit(folder, lambda document: change(document["tensors"][1], document))
    assert any(expected in line for line in problems(folder))


@pytest.mark.parametrize("text", ["", "{", "[1", '{"a": NaN}', "[" * 100_000, "\xff", "1" * 5000, "null"])
def test_what_is_no_json(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(GoldenError):
        read(folder)


def test_where_there_is_no_set(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "a\0b"):
        with pytest.raises((InputError, GoldenError), match="cannot read the golden set"):
            read(path)


def test_a_manifest_too_large_to_read(folder: Path) -> None:
    os.truncate(folder / "manifest.json", 2**30)
    with pytest.raises(InputError, match="at most"):
        read(folder)


# -- files whose hashes are right but whose contents are not --------------------------------------------------------
def only(folder: Path, kind: str) -> str:
    """Make `kind` the only place of the second tensor, and give its file's name."""
    edit(folder, lambda d: d["tensors"][1].update(files={kind: d["tensors"][1]["files"][kind]}))
    document = json.loads((folder / "manifest.json").read_text())
    return str(document["tensors"][1]["files"][kind]["file"]).replace("{case}", "00000")


@pytest.mark.parametrize("kind", ["bin", "npy", "npz"])
def test_other_values_do_not_have_the_listed_checksum(folder: Path, kind: str) -> None:
    name = only(folder, kind)
    edit(folder, lambda d: d["tensors"][1].update(crc32=["00000000", "00000000"]))
    found = read(folder)
    with pytest.raises(GoldenError, match=r"CRC-32 00000000"):
        found.array(found.tensors[1])
    assert name


@pytest.mark.parametrize("kind", ["bin", "npy"])
def test_files_that_are_too_short(folder: Path, kind: str) -> None:
    name = only(folder, kind)
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    relist(folder, name)
    found = read(folder)
    with pytest.raises(GoldenError, match="damaged"):
        found.array(found.tensors[1], 1)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3, np.int8),
        np.zeros(3, ">i4"),
        np.asfortranarray(np.zeros((2, 1, 3, 16, 16), np.float32)),
        np.array([None]),
    ],
    ids=["shape", "order of bytes", "Fortran order", "objects"],
)
def test_arrays_of_another_kind(folder: Path, array: np.ndarray) -> None:
    name = only(folder, "npy")
    np.save(folder / name, array, allow_pickle=True)
    relist(folder, name)
    found = read(folder)
    with pytest.raises(GoldenError, match="damaged"):
        found.array(found.tensors[1])


def test_an_archive_that_unpacks_to_too_much(folder: Path) -> None:
    """A member of 64 MiB of zeros in a few KB."""
    name = only(folder, "npz")
    member = json.loads((folder / "manifest.json").read_text())["tensors"][1]["files"]["npz"]["member"]
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{member}.npy", npy_bytes(np.zeros(2**26, np.int8)))
    relist(folder, name)
    found = read(folder)
    with pytest.raises(GoldenError, match="67108864"):
        found.array(found.tensors[1])


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"x" * 100])
def test_archives_that_are_none(folder: Path, data: bytes) -> None:
    name = only(folder, "npz")
    (folder / name).write_bytes(data)
    relist(folder, name)
    found = read(folder)
    with pytest.raises(GoldenError, match="damaged"):
        found.array(found.tensors[1])


@pytest.mark.parametrize("kind", ["hex", "ihex", "c"])
def test_text_is_read_back(net: Path, tmp_path: Path, kind: str) -> None:
    found = make(tmp_path / "set", net, cases=2, formats=(kind, "npz")).found
    for tensor in found.tensors:
        for case in range(2):
            alone = replace(tensor, files={kind: tensor.files[kind]})
            assert np.array_equal(found.array(alone, case), found.array(tensor, case)), tensor.key


def test_checksums_alone_are_no_arrays(net: Path, tmp_path: Path) -> None:
    found = make(tmp_path / "set", net, cases=1, formats=("c-crc",), layers=("QLinearAdd",)).found
    with pytest.raises(GoldenError, match="no arrays for Python"):
        found.array(found.tensors[0])
