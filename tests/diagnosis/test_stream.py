"""Streams of frames are dumps: several runs, other lines between the frames, and every fault by its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qdqnp.diagnosis.dump import read_dump
from qdqnp.errors import InputError
from qdqnp.peers.devices.frames import DONE, ERROR, TENSOR, Frame, encode

A, B = np.arange(6, dtype=np.int8).reshape(2, 3), np.float32([1.5])
OVER = encode(Frame(DONE))


def tensor(name: str, array: np.ndarray) -> bytes:
    return encode(Frame(TENSOR, name, array))


def dump(tmp_path: Path, data: bytes) -> dict[str, np.ndarray]:
    (tmp_path / "board.log").write_bytes(data)
    return {entry.name: entry.array for entry in read_dump(tmp_path / "board.log").entries}


def faults(tmp_path: Path, data: bytes) -> list[str]:
    (tmp_path / "board.log").write_bytes(data)
    try:
        return [str(problem) for problem in read_dump(tmp_path / "board.log").problems]
    except InputError as error:
        return [str(problem) for problem in error.problems]


def test_one_run(tmp_path: Path) -> None:
    found = dump(tmp_path, b"boot\r\n" + tensor("a", A) + b"[12 ms] conv done\n" + tensor("b", B))
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], A)
    assert found["a"].dtype == np.int8 and found["b"].dtype == np.float32


def test_several_runs_are_stacked(tmp_path: Path) -> None:
    found = dump(tmp_path, b"".join(tensor("a", A + at) + b"\n" + OVER for at in range(3)))
    np.testing.assert_array_equal(found["a"], np.stack([A, A + 1, A + 2]))


def test_every_fault_is_listed(tmp_path: Path) -> None:
    broken = bytearray(tensor("c", A))
    broken[-6] ^= 1
    data = (
        tensor("a", A) + bytes(broken) + tensor("a", A) + OVER + tensor("b", B) + encode(Frame(ERROR, text="too hot"))
    )
    found = faults(tmp_path, data + tensor("d", A)[:-7])
    assert len(found) == 6
    for words in ("another CRC-32", "'a' again", "too hot", "before the timeout", "tensor 'a'", "tensor 'b'"):
        assert sum(words in line for line in found) == 1, found
    assert "frame 1 (byte " in next(line for line in found if "CRC" in line)


def test_runs_of_other_shapes_are_refused(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, tensor("a", A) + OVER + tensor("a", A.reshape(3, 2)))
    assert "one dtype and shape in all runs" in line and "int8[2, 3], int8[3, 2]" in line


def test_a_file_without_a_frame_is_no_stream(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, b"nothing of the kind")
    assert "a readable one of .npy" in line
