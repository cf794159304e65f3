"""Arrays of unknown origin: nothing is allocated that a file only promises, and only what is asked for is unpacked."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qdqnp.errors import InputError
from qdqnp.files import npy
from qdqnp.files.npy import npy_bytes, npz_bytes, open_arrays, read_header
from qdqnp.inputs.files import read_feeds
from qdqnp.limits import MAX_MEMBERS
from tests.inputs.test_files import program

A = np.arange(6, dtype=np.int8).reshape(2, 3)
ONE = program(x=(np.float32, [1, 4]))


def header(text: str, version: int = 1) -> bytes:
    data = text.encode("latin1").ljust(117) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(data)) + data


def archive(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "w", method) as made:
            for name, data in members.items():
                made.writestr(name, data)
    return path


def refused(path: Path, message: str | None = None) -> None:
    with pytest.raises(ValueError, match=message), open_arrays(path) as arrays:
        for name in arrays.names:
            arrays.read(name)


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    arrays = {"a": A, "b/c": A.T, "empty": np.zeros((0, 3)), "one": np.array(2.5), "big": A.astype(">i2")}
    np.savez(tmp_path / "x.npz", **arrays)
    (tmp_path / "y.npz").write_bytes(npz_bytes(arrays))
    for name in ("x.npz", "y.npz"):
        with open_arrays(tmp_path / name) as found:
            assert found.names == tuple(arrays) and found.header("b/c").shape == (3, 2)
            for key, array in arrays.items():
                assert found.read(key).dtype == array.dtype and np.array_equal(found.read(key), array)
    np.save(tmp_path / "z.npy", np.asfortranarray(A))
    with open_arrays(tmp_path / "z.npy") as found:
        assert not found.packed and np.array_equal(found.read(""), A)


def test_what_python_2_wrote_is_read_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(
        header("{'descr': '|i1', 'fortran_order': False, 'shape': (2L, 3L), }") + A.tobytes()
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_arrays(tmp_path / "x.npy") as found:
            assert np.array_equal(found.read(""), A)


def test_an_npy_that_ends_like_an_archive_is_an_npy(tmp_path: Path) -> None:
    codes = np.frombuffer(b"PK\5\6" + bytes(18), np.uint8)
    np.save(tmp_path / "x.npy", codes)
    with open_arrays(tmp_path / "x.npy") as found:
        assert np.array_equal(found.read(""), codes)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_compressions_are_refused_by_name(tmp_path: Path, method: int) -> None:
    """A member of LZMA says itself how much memory unpacking it takes."""
    refused(archive(tmp_path / "x.npz", {"x.npy": npy_bytes(A)}, method), f"method {method}")


def changed(path: Path, change: Callable[[bytearray, int, int], None]) -> Path:
    """Change an archive of one stored member, given where its local and its central header begin."""
    data = bytearray(archive(path, {"x.npy": npy_bytes(A)}, zipfile.ZIP_STORED).read_bytes())
    change(data, 0, data.index(b"PK\1\2"))
    path.write_bytes(data)
    return path


def encrypted(data: bytearray, local: int, central: int) -> None:
    data[local + 6] |= 1
    data[central + 8] |= 1


def of_a_later_version(data: bytearray, local: int, central: int) -> None:
    data[central + 6] = 99


def strangely_compressed(data: bytearray, local: int, central: int) -> None:
    data[local + 8] = data[central + 10] = 97


def with_a_name_that_is_no_text(data: bytearray, local: int, central: int) -> None:
    data[local + 7] |= 8
    data[central + 9] |= 8
    data[local + 30] = data[central + 46] = 0xFF


def of_a_wrong_checksum(data: bytearray, local: int, central: int) -> None:
    data[local + 14] ^= 1
    data[central + 16] ^= 1


def larger_than_it_is(data: bytearray, local: int, central: int) -> None:
    for place in (local + 18, local + 22, central + 20, central + 24):
        data[place : place + 4] = struct.pack("<I", 2**31)


def of_two_sizes(data: bytearray, local: int, central: int) -> None:
    data[central + 24 : central + 28] = struct.pack("<I", 2**31)


def with_a_long_list(data: bytearray, local: int, central: int) -> None:
    end = data.index(b"PK\5\6")
    data[end + 12 : end + 16] = struct.pack("<I", 2**31)


def elsewhere(data: bytearray, local: int, central: int) -> None:
    data[central + 42 : central + 46] = struct.pack("<I", 2**31)


DAMAGED = [
    *(encrypted, of_a_later_version, strangely_compressed, with_a_name_that_is_no_text, of_a_wrong_checksum),
    *(larger_than_it_is, of_two_sizes, with_a_long_list, elsewhere),
]


@pytest.mark.parametrize("change", DAMAGED)
def test_damaged_archives(tmp_path: Path, change: Callable[[bytearray, int, int], None]) -> None:
    refused(changed(tmp_path / "x.npz", change))


def test_members_that_are_there_twice_or_are_no_arrays(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(tmp_path / "x.npz", "w") as made:
            made.writestr("x.npy", npy_bytes(A))
            made.writestr("x.npy", npy_bytes(A))
    refused(tmp_path / "x.npz", "a name that two members have")
    for name in ("inner.npz", "folder/", "x.npy.txt", "x"):
        refused(archive(tmp_path / "x.npz", {name: npz_bytes({"x": A})}), "more than arrays")
    refused(archive(tmp_path / "x.npz", {"x.npy": npz_bytes({"x": A})}), "magic")


def test_members_that_share_their_bytes(tmp_path: Path) -> None:
    """A bomb of one compressed block that many members are."""
    block = archive(tmp_path / "x.npz", {"x0.npy": npy_bytes(np.zeros(2**20, np.int8))}).read_bytes()
    start, end = block.index(b"PK\1\2"), block.index(b"PK\5\6")
    entries = b"".join(block[start:end].replace(b"x0.npy", b"x%d.npy" % index) for index in range(10))
    tail = bytearray(block[end:])
    tail[8:12] = struct.pack("<HH", 10, 10)
    tail[12:20] = struct.pack("<II", len(entries), start)
    (tmp_path / "x.npz").write_bytes(block[:start] + entries + tail)
    refused(tmp_path / "x.npz", "overlap")


def test_a_member_inside_another_is_refused_whatever_their_sizes(tmp_path: Path) -> None:
    """One array whose elements are another member, and a third one, so that the file is longer than all of them."""
    inner = archive(tmp_path / "inner.npz", {"y.npy": npy_bytes(A)}, zipfile.ZIP_STORED).read_bytes()
    inner = inner[: inner.index(b"PK\x01\x02")]
    outer = npy_bytes(np.frombuffer(inner, np.int8))
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as made:
        made.writestr("x.npy", outer)
        made.writestr("z.npy", npy_bytes(np.zeros(1000, np.int8)))
        member = zipfile.ZipInfo("y.npy")
        member.file_size = member.compress_size = len(npy_bytes(A))
        member.CRC = zlib.crc32(npy_bytes(A))
        member.header_offset = 30 + len("x.npy") + outer.index(inner)
        made.filelist.append(member)
    refused(tmp_path / "x.npz", "overlap")


def test_many_members(tmp_path: Path) -> None:
    refused(archive(tmp_path / "x.npz", {f"{index}.npy": b"" for index in range(MAX_MEMBERS + 1)}), "members")


def bomb(path: Path, size: int, name: str = "x.npy", more: dict[str, bytes] | None = None) -> Path:
    """Zeros: an archive of a thousandth of their size."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for other, data in (more or {}).items():
            made.writestr(other, data)
        with made.open(name, "w", force_zip64=True) as file:
            file.write(header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': (1, {size // 4}), }}"))
            for _ in range(size // 2**20):
                file.write(bytes(2**20))
    return path


def test_a_bomb_is_refused_by_what_its_file_may_unpack_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npy, "UNPACKED", 2**20)
    refused(bomb(tmp_path / "x.npz", 2**21), "unpacked, where at most")
    np.savez(tmp_path / "x.npz", x=np.zeros(2**22, np.int8))  # what is not packed may be larger
    with open_arrays(tmp_path / "x.npz") as found:
        assert found.read("x").nbytes == 2**22


def test_what_a_model_does_not_need_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb beside the input does no harm, and one in its place does not have its shape."""
    monkeypatch.setattr(npy, "UNPACKED", 2**20)
    size = 2**21
    x = np.arange(4, dtype=np.float32)[np.newaxis]
    (feeds,) = read_feeds(bomb(tmp_path / "x.npz", size, "other.npy", {"x.npy": npy_bytes(x)}), ONE)
    assert np.array_equal(feeds["x"], x)
    with pytest.raises(InputError, match=r"the shape \[1, 4\]"):
        list(read_feeds(bomb(tmp_path / "y.npz", size), ONE))


@pytest.mark.parametrize(
    "data",
    [
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1),
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535,
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1, " * 3000 + "), }"),
        header("{'descr': '|S0', 'fortran_order': False, 'shape': (4,), }"),
        header("{'descr': '|V0', 'fortran_order': False, 'shape': (99999999999999,), }"),
        header("{'descr': [('a', '<f4')] * 10**9, 'fortran_order': False, 'shape': (), }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': " + "(" * 90 + ")" * 90 + ", }"),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -4), }") + bytes(16),
        header("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 99999999999999999999), }"),
        header("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }") + bytes(8),
        header("\0" * 100),
    ],
)
def test_headers_that_lie(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(data)
    refused(tmp_path / "x.npy")
    refused(archive(tmp_path / "x.npz", {"x.npy": data}))


def test_a_header_leaves_the_stream_at_the_elements() -> None:
    stream = io.BytesIO(npy_bytes(A))
    found = read_header(stream)
    assert found.start == stream.tell() and stream.read() == A.tobytes() and found.nbytes == A.nbytes


COST = """
import resource, sys
from pathlib import Path
from qdqnp.files.npy import open_arrays
resource.setrlimit(resource.RLIMIT_AS, (3 * 2**28, 3 * 2**28))
try:
    with open_arrays(Path(sys.argv[1])) as arrays:
        arrays.read(arrays.names[0])
except ValueError as error:
    assert str(error) != "MemoryError", error
    sys.exit(3)
"""


@pytest.mark.parametrize("name", ["header", "dictionary"])
def test_what_it_costs(tmp_path: Path, name: str) -> None:
    """In a process with 768 MiB of address space, and refused for another reason than that memory ran out."""
    path = tmp_path / "x"
    if name == "header":
        path.write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31))
    else:  # of LZMA, of 4 GiB
        data = bytearray(archive(path, {"x.npy": npy_bytes(A)}, zipfile.ZIP_LZMA).read_bytes())
        at = 30 + len("x.npy") + 5
        data[at : at + 4] = b"\xff" * 4
        data[14:18] = struct.pack("<I", zlib.crc32(b""))
        path.write_bytes(data)
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # each thread has 40 MB of address space
    command = [sys.executable, "-c", COST, str(path)]
    assert subprocess.run(command, timeout=100, env=environment).returncode == 3
