"""Array files of unknown origin: refused with our own error, and nothing allocated that the file does not hold."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

import qdqnp
from qdqnp.errors import InputError
from qdqnp.inputs.arrays import input_arrays
from qdqnp.inputs.files import read_feeds
from tests.reader.builders import info, model, node

HUGE = "(1000000000000,)"


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    with input_arrays(path) as arrays:
        return {name: arrays.read(name) for name in arrays.names}


def npy(shape: str = "(2, 3)", dtype: str = "'<f4'", version: tuple[int, int] = (1, 0), data: int = 24) -> bytes:
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(118) + b"\n"
    size = len(header).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + bytes(version) + size + header + bytes(data)


def archived(path: Path, content: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.npy", content)
    return path


def stored(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_what_is_read(tmp_path: Path) -> None:
    assert load_arrays(stored(tmp_path / "a.npy", npy()))[""].shape == (2, 3)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        assert load_arrays(archived(tmp_path / "a.npz", npy(), method))["x"].shape == (2, 3)
    assert load_arrays(archived(tmp_path / "a.npz", npy(version=(2, 0))))["x"].shape == (2, 3)


@pytest.mark.parametrize(
    "content",
    [
        npy(HUGE),
        npy("(1048576, 1048576)"),
        npy("(-2, 3)"),
        npy("(99999999999999999999999, 3)"),
        npy("(2, 3"),
        npy("(2, 4)"),
        npy("'text'"),
        npy(dtype="'|O'"),
        npy(dtype="'nonsense'"),
        npy(version=(9, 9)),
        npy()[:20],
        b"\x93NUMPY" + bytes([1, 0, 255, 255]) + b"(" * 65535,
        b"",
        b"garbage",
    ],
)
@pytest.mark.parametrize("put", [stored, archived])
def test_what_is_refused(tmp_path: Path, content: bytes, put: object) -> None:
    path = put(tmp_path / "a.npz", content)  # type: ignore[operator]
    with pytest.raises(InputError, match=r"a readable \.npy or \.npz file of numbers"):
        load_arrays(path)


def test_a_header_that_promises_more_than_its_member_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy would allocate first and miss the data afterwards."""
    monkeypatch.setattr("qdqnp.files.npy.npy.read_array", None)
    with pytest.raises(InputError, match="24 bytes, where the header promises 4000000"):
        load_arrays(archived(tmp_path / "a.npz", npy("(1000, 1000)")))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "pwned",))

    buffer = io.BytesIO()
    np.save(buffer, np.array([Payload()], object), allow_pickle=True)
    for content in (buffer.getvalue(), pickle.dumps(Payload())):
        for put in (stored, archived):
            with pytest.raises(InputError):
                load_arrays(put(tmp_path / "a.npz", content))
    assert not (tmp_path / "pwned").exists()


def test_damaged_compression(tmp_path: Path) -> None:
    """Every byte behind the local header, one after the other: a result or our own error."""
    noise = np.random.default_rng(0).bytes(40)
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        good = archived(tmp_path / "a.npz", npy(data=0) + noise[:24], method).read_bytes()
        for at in range(0, len(good), 3):
            damaged = stored(tmp_path / "b.npz", good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
            try:
                load_arrays(damaged)
            except InputError:
                continue


def test_members_with_a_password(tmp_path: Path) -> None:
    data = bytearray(archived(tmp_path / "a.npz", npy()).read_bytes())
    data[6] |= 1  # the encryption flag of the local header, and of the directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(InputError, match=r"a readable \.npy or \.npz file of numbers"):
        load_arrays(stored(tmp_path / "b.npz", bytes(data)))


@pytest.mark.parametrize("dtype", ["'<f4'", "'<U0'", "'|V0'"])
def test_an_array_of_no_bytes_may_be_of_any_length(tmp_path: Path, dtype: str) -> None:
    """It would be split into a million million runs."""
    program = qdqnp.load(model([node("Relu", ["x"], ["y"])], [info("x", (1, "N"))], [info("y", None)])).program()
    shape = "(1000000000000, 0)" if dtype == "'<f4'" else "(1000000000000, 1)"
    for put in (stored, archived):
        try:
            feeds = next(iter(read_feeds(put(tmp_path / "x.npz", npy(shape, dtype, data=0)), program)))
        except InputError:
            continue
        assert len(feeds["x"]) == 10**12
