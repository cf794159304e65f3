"""Dumps that are several times larger than the memory that is meant for them."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qdqnp.diagnosis import remembered
from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import CompareOptions, compare
from qdqnp.diagnosis.compare.report import CompareReport
from qdqnp.diagnosis.dump import read_dump
from qdqnp.diagnosis.remembered import Remembered, Room
from qdqnp.diagnosis.replay import Reference
from qdqnp.numerics.profiles import PROFILES
from qdqnp.peers.devices.frames import DONE, TENSOR, Frame, encode
from tests.diagnosis import small
from tests.memory import peak_memory

CASES, WRONG = 28, 5
NAME = small.outputs("QLinearConv")[2]


def made(count: int) -> dict[str, np.ndarray]:
    """Real values in float64, eight times the bytes of the codes; one layer is wrong from case 5 on."""
    reference = Reference(small.model(), PROFILES["ort"], small.feeds(count))
    found = {}
    for target in (target for target in reference.targets if target.step >= 0 and target.quant is not None):
        codes = np.stack([case[target.codes] for case in reference.cases])
        if target.name == NAME:
            codes[WRONG:, 0, 3] = 7
        assert target.quant is not None
        found[target.name] = (codes.astype(np.float64) - int(target.quant.zero_point)) * float(target.quant.scale)
    return found


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return made(CASES)


Store = Callable[[Path, dict[str, np.ndarray]], Path]


def as_npy(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    path.mkdir()
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", array)
    return path


def as_npz(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez_compressed(path.with_suffix(".npz"), **arrays)  # type: ignore[arg-type]
    return path.with_suffix(".npz")


def as_stream(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    with path.open("wb") as file:
        for case in range(CASES):
            for name, array in arrays.items():
                file.write(encode(Frame(TENSOR, name, array[case].astype(np.float32))))
            file.write(encode(Frame(DONE)))
    return path


def compared(path: Path, count: int = CASES) -> CompareReport:
    reference = Reference(small.model(), PROFILES["ort"], small.feeds(count))
    aligned = align(read_dump(path), reference.targets, count, values=reference.cases)
    return compare(reference, aligned, CompareOptions())


def test_memory_does_not_grow_with_the_dump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are opened for each piece: what zlib keeps of each compressed member is fixed, but more than these.

    What does grow are the cases' inputs and a few numbers for each, a twentieth of the dump.
    Cyclic garbage of the tests before may be freed or not: so there is far to the bound, a fourth of the dump.
    """
    monkeypatch.setattr(remembered, "KEPT", 2**17)
    few, many = CASES // 2, 2 * CASES
    peaks, sizes = [], []
    for count in (few, many):
        values = made(count)
        sizes.append(sum(array.nbytes for array in values.values()))
        path = as_npy(tmp_path / str(count), values)
        if not peaks:
            compared(path, count)  # what a process does once
        gc.collect()
        with peak_memory() as peak:
            found = compared(path, count)
        peaks.append(peak())
    assert peaks[1] - peaks[0] < (sizes[1] - sizes[0]) / 4, (sizes, peaks)
    assert found.cases == many and found.first is not None and found.first.name == NAME
    assert found.diagnosed is not None and found.diagnosed[0] <= WRONG < found.diagnosed[1]
    assert any(f"all {many} cases were compared; faults were looked for in" in line for line in found.not_compared())


@pytest.mark.parametrize("store", [as_npy, as_npz, as_stream])
def test_the_same_is_found_as_of_a_small_one(store: Store, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    path = store(tmp_path / "dump", arrays)
    whole = compared(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembered, "KEPT", 2**18)
        part = compared(path)
    assert whole.diagnosed is None
    for one, other in zip(whole.rows, part.rows, strict=True):
        assert (one.entire, one.single, one.status in ("fault", "unexplained")) == (
            other.entire,
            other.single,
            other.status in ("fault", "unexplained"),
        )
        assert one.metrics == other.metrics


def test_items_are_made_again_where_there_is_no_room() -> None:
    made: list[int] = []

    def make(number: int) -> np.ndarray:
        made.append(number)
        return np.full(10, number, np.int8)

    room = Room(25)
    one, other = Remembered(3, make, room), Remembered(2, make, room)
    assert [int(one[i][0]) for i in (0, 1, 1, 0, 2, 0)] == [0, 1, 1, 0, 2, 0] and made == [0, 1, 2]
    assert int(other[1][0]) == 1 and made == [0, 1, 2, 1]
    assert int(one[2][0]) == 2 and made == [0, 1, 2, 1, 2]
    assert [int(array[0]) for array in one[1:]] == [1, 2] and len(one[-2:]) == 2
