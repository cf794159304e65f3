"""Dumps: what is read, and everything bad that a dump may be."""

from __future__ import annotations

import io
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from qdqnp.diagnosis.dump import read_dump
from qdqnp.errors import InputError

A = np.arange(12, dtype=np.int8).reshape(3, 4)


def refused(path: Path, *words: str) -> None:
    with pytest.raises(InputError) as caught:
        read_dump(path)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=array.dtype.hasobject)
    return stream.getvalue()


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return path


def test_a_folder_of_npy_and_bin_files(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    np.save(tmp_path / "inner" / "b.npy", A)
    A.tofile(tmp_path / "a.bin")
    (tmp_path / "notes.txt").write_text("no tensor")
    found = read_dump(tmp_path).entries
    assert [(e.name, e.raw) for e in found] == [("a", True), ("inner/b", False)]
    assert np.array_equal(found[0].array, A.reshape(-1).view(np.uint8)) and np.array_equal(found[1].array, A)


def test_single_files(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", A)
    np.savez(tmp_path / "y.npz", **{"a/b": A, "c": A[:1]})
    A.tofile(tmp_path / "z.bin")
    assert [e.name for e in read_dump(tmp_path / "x.npy").entries] == ["x"]
    assert [e.name for e in read_dump(tmp_path / "y.npz").entries] == ["a/b", "c"]
    assert read_dump(tmp_path / "z.bin").entries[0].raw


def test_fortran_order_and_version_2_are_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.asfortranarray(A))
    stream = io.BytesIO()
    np.lib.format.write_array(stream, A, version=(2, 0))
    (tmp_path / "y.npy").write_bytes(stream.getvalue())
    assert all(np.array_equal(entry.array, A) for entry in read_dump(tmp_path).entries)


def test_st_validate_files_give_the_devices_side_only(tmp_path: Path) -> None:
    arrays = {f"{side}_{kind}_{n}": A for side in "mc" for kind in ("inputs", "outputs") for n in (1, 2)}
    np.savez(tmp_path / "net_val_io.npz", **arrays)
    found = read_dump(tmp_path / "net_val_io.npz")
    assert found.channel_last
    assert {(e.name, e.role, e.number) for e in found.entries} == {
        ("c_inputs_1", "network_input", 0),
        ("c_inputs_2", "network_input", 1),
        ("c_outputs_1", "network_output", 0),
        ("c_outputs_2", "network_output", 1),
    }


def test_other_members_of_a_validate_file_are_not_lost(tmp_path: Path) -> None:
    np.savez(tmp_path / "net_val_io.npz", m_outputs_1=A, c_outputs_1=A, c_outputs_0=A, conv_1=A)
    found = read_dump(tmp_path / "net_val_io.npz")
    assert {(e.name, e.role) for e in found.entries} == {
        ("c_outputs_1", "network_output"),
        ("c_outputs_0", ""),
        ("conv_1", ""),
    }


def test_what_is_missing_or_empty(tmp_path: Path) -> None:
    refused(tmp_path / "absent", "no such file or folder")
    refused(tmp_path, "tensors in .npy, .bin")
    for name in ("a.npy", "b.bin"):
        (tmp_path / name).write_bytes(b"")
    refused(tmp_path, "a.npy", "b.bin", "an empty file")
    refused(tmp_path / "a.npy", "an empty file")
    np.save(tmp_path / "c.npy", np.zeros((0, 3), np.int8))
    refused(tmp_path / "c.npy", "no element")


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (Path(tmp_path / "exploded"),))  # type: ignore[return-value]

    objects = npy(np.array([Bomb()], dtype=object))
    (tmp_path / "a.npy").write_bytes(objects)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Bomb()))
    archive(tmp_path / "c.npz", {"x.npy": objects})
    refused(tmp_path / "a.npy", "Pickles are never loaded")
    refused(tmp_path / "b.npy", "a readable .npy array")
    refused(tmp_path / "c.npz", "Pickles are never loaded")
    assert not (tmp_path / "exploded").exists()


def test_nothing_of_an_archive_is_unpacked_before_it_is_needed(tmp_path: Path) -> None:
    """A bomb costs its headers; of an array as much as is asked for."""
    bomb = archive(tmp_path / "bomb.npz", {f"x{i}.npy": npy(np.zeros(2**24, np.int8)) for i in range(4)})
    tracemalloc.start()
    entries = read_dump(bomb).entries
    assert len(entries) == 4 and entries[1].stored.part(2**23, 5).tolist() == [0] * 5
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()


def test_a_header_that_promises_more_than_there_is(tmp_path: Path) -> None:
    for shape in ("(1099511627776,)", "(4, 4)", "(2, 2)", "(-1, 12)"):
        text = "{'descr': '|i1', 'fortran_order': False, 'shape': " + shape + ", }"
        header = text.ljust(117) + "\n"
        data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + A.tobytes()
        (tmp_path / "x.npy").write_bytes(data)
        archive(tmp_path / "x.npz", {"x.npy": data})
        refused(tmp_path / "x.npy", "x.npy")
        refused(tmp_path / "x.npz", "x.npy")


@pytest.mark.parametrize("data", [b"x", b"PK\x03\x04broken", b"\x93NUMPY\x01\x00\x10\x00garbage", b"\x93NUMPY\x09\x09"])
def test_damaged_files(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.npy").write_bytes(data)
    refused(tmp_path / "x.npy", "x.npy")


def test_damaged_archives(tmp_path: Path) -> None:
    path = archive(tmp_path / "x.npz", {"a.npy": npy(A), "notes.txt": b"hello"})
    refused(path, "named .npy", "notes.txt")
    good = archive(tmp_path / "y.npz", {"a.npy": npy(np.arange(4000, dtype=np.int16))}).read_bytes()
    (tmp_path / "y.npz").write_bytes(good[:300] + bytes(100) + good[400:])
    with pytest.raises(ValueError, match=r"invalid|Bad CRC|bytes"):
        print(read_dump(tmp_path / "y.npz").entries[0].array)


def test_text_and_complex_numbers_are_no_tensors(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array(["text"]))
    np.save(tmp_path / "b.npy", np.array([1j]))
    refused(tmp_path, "a.npy", "b.npy", "an array of numbers")


def test_links_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.npy"
    np.save(secret, A)
    folder = tmp_path / "dump"
    folder.mkdir()
    (folder / "x.npy").symlink_to(secret)
    refused(folder, "a regular file")


def test_what_cannot_be_read_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", A)
    (tmp_path / "b.npy").write_bytes(b"broken")
    found = read_dump(tmp_path)
    assert [entry.name for entry in found.entries] == ["a"] and "b.npy" in str(found.problems[0])


def test_archives_of_one_case_each_are_stacked(tmp_path: Path) -> None:
    for case in (0, 9, 10):
        np.savez(tmp_path / f"case_{case}.npz", x=A + case)
    np.savez(tmp_path / "constants.npz", w=A)
    found = {entry.name: entry.array for entry in read_dump(tmp_path).entries}
    assert found.keys() == {"x", "w"} and np.array_equal(found["x"], np.stack([A, A + 9, A + 10]))


def test_pieces_are_those_of_the_whole(tmp_path: Path) -> None:
    """In any order, forth and back, of every kind of file."""
    array = np.random.default_rng(0).integers(-128, 128, (7, 5, 3), dtype=np.int16)
    np.save(tmp_path / "c.npy", array)
    np.save(tmp_path / "f.npy", np.asfortranarray(array))
    np.savez(tmp_path / "s.npz", s=array, sf=np.asfortranarray(array))
    np.savez_compressed(tmp_path / "d.npz", d=array, df=np.asfortranarray(array))
    entries = read_dump(tmp_path).entries
    assert len(entries) == 6
    for start, count in ((0, 105), (90, 15), (3, 4), (50, 1), (49, 2), (104, 1)):
        for entry in entries:
            assert entry.stored.part(start, count).tolist() == array.reshape(-1)[start : start + count].tolist()
