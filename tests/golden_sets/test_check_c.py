"""qdqnp_check.c: checksums against zlib, comparisons against NumPy, and that it needs no library."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import zlib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.golden_sets.firmware import STRICT

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
SOURCE = Path(str(files("qdqnp.golden_sets") / "c" / "qdqnp_check.c"))
TYPES = {np.int8: 0, np.uint8: 1, np.int16: 2, np.uint16: 3, np.int32: 4, np.int64: 5, np.float32: 6, np.float64: 7}


class Result(ctypes.Structure):
    _fields_ = (
        ("mismatches", ctypes.c_uint32),
        ("first", ctypes.c_uint32),
        ("expected", ctypes.c_int64),
        ("got", ctypes.c_int64),
        ("largest", ctypes.c_uint64),
    )


@pytest.fixture(scope="module", params=[16, 256])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    path = tmp_path_factory.mktemp("check") / "check.so"
    table = f"-DQDQNP_CRC_TABLE={request.param}"
    subprocess.run(["gcc", *STRICT, "-O2", "-shared", "-fPIC", table, SOURCE, "-o", path], check=True)
    loaded = ctypes.CDLL(str(path))
    loaded.qdqnp_compare.restype = Result
    loaded.qdqnp_crc32.restype = ctypes.c_uint32
    return loaded


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


ARRAYS = st.sampled_from(list(TYPES)).flatmap(lambda dtype: hnp.arrays(dtype, st.integers(0, 40)))


@given(ARRAYS)
def test_crc_is_zlibs(library: ctypes.CDLL, array: np.ndarray) -> None:
    got = library.qdqnp_crc32(pointer(array), array.size, TYPES[array.dtype.type])
    assert got == zlib.crc32(array.tobytes())


@given(ARRAYS, st.data())
def test_comparison_is_numpys(library: ctypes.CDLL, array: np.ndarray, data: st.DataObject) -> None:
    other = array.copy()
    for place in data.draw(st.lists(st.integers(0, max(array.size - 1, 0)), max_size=5)) if array.size else []:
        other[place] = data.draw(hnp.from_dtype(array.dtype))
    found = library.qdqnp_compare(pointer(array), pointer(other), array.size, TYPES[array.dtype.type])
    bits = array.view(f"u{array.itemsize}") != other.view(f"u{array.itemsize}")
    assert found.mismatches == np.count_nonzero(bits)
    if not bits.any():
        assert (found.first, found.expected, found.got, found.largest) == (0, 0, 0, 0)
        return
    first = int(np.argmax(bits))
    assert found.first == first
    assert (found.expected, found.got) == (raw(array[first]), raw(other[first]))
    assert found.largest == max(abs(rank(a) - rank(b)) for a, b in zip(array, other, strict=True))


def raw(value: np.generic) -> int:
    """The integer, or the bits of a float; those of a float64 as C's int64_t has them."""
    if value.dtype.kind != "f":
        return int(value)
    bits = int(value.view(f"u{value.itemsize}"))
    return bits - 2**64 if value.itemsize == 8 and bits >= 2**63 else bits


def rank(value: np.generic) -> int:
    """Place among the numbers of the type."""
    if value.dtype.kind != "f":
        return int(value)
    bits, sign = int(value.view(f"u{value.itemsize}")), 1 << (8 * value.itemsize - 1)
    return -(bits & (sign - 1)) if bits & sign else bits


@pytest.mark.parametrize("flags", [("-O0",), ("-Os", "-m32"), ("-O2",), ("-O3",)], ids=" ".join)
def test_it_needs_nothing_but_the_compiler(tmp_path: Path, flags: tuple[str, ...]) -> None:
    """Built for a target without a library; no symbol is left for one to supply."""
    made = tmp_path / "check.o"
    done = subprocess.run(
        [
            "gcc",
            *STRICT,
            "-ffreestanding",
            "-nostdlib",
            "-fno-tree-loop-distribute-patterns",
            *flags,
            "-c",
            SOURCE,
            "-o",
            made,
        ],
        capture_output=True,
        text=True,
    )
    if "-m32" in flags and "No such file" in done.stderr:
        pytest.skip("no headers for 32 bits here")
    assert done.returncode == 0, done.stderr
    missing = subprocess.run(["nm", "-u", made], capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in missing if name not in ("U", "_GLOBAL_OFFSET_TABLE_")] == []
    includes = [line.split()[1] for line in SOURCE.read_text().splitlines() if line.startswith("#include")]
    header = SOURCE.with_suffix(".h").read_text()
    includes += [line.split()[1] for line in header.splitlines() if line.startswith("#include")]
    assert includes == ['"qdqnp_check.h"', "<stddef.h>", "<stdint.h>"]


def test_other_tables_are_refused(tmp_path: Path) -> None:
    done = subprocess.run(["gcc", "-DQDQNP_CRC_TABLE=8", "-c", SOURCE, "-o", tmp_path / "x.o"], capture_output=True)
    assert done.returncode != 0
