"""Each format read back by a reader that knows nothing of qdqnp, to the same values."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from intelhex import IntelHex

from qdqnp.errors import GoldenError
from qdqnp.files.folder import Folder
from qdqnp.golden_sets import GoldenTensor, Options
from qdqnp.golden_sets.catalog import Entry
from qdqnp.golden_sets.tensor import golden_tensor
from qdqnp.golden_sets.writers import ihex
from qdqnp.golden_sets.writers.c_text import define, integer, real
from qdqnp.golden_sets.writers.hex import words
from qdqnp.golden_sets.writers.ihex import IhexWriter
from qdqnp.golden_sets.writing import GOLDEN_SET
from tests.golden_sets.conftest import Made, make
from tests.golden_sets.firmware import STRICT, build

CASES = 2
Reader = Callable[[Path, GoldenTensor], np.ndarray]


@pytest.fixture(scope="module")
def everything(net: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """All formats, in orders of axes that are not ONNX's."""
    return make(
        tmp_path_factory.mktemp("formats") / "set",
        net,
        cases=CASES,
        activations="NHWC",
        weights="OHWI",
        formats=("npz", "npy", "bin", "c", "hex", "ihex", "c-crc"),
        cmsis_nn=True,
        alignment=16,
        section=".golden",
        layers=("QLinearConv", "QLinearAdd", "QLinearConcat", "QuantizeLinear"),
    )


def stored(made: Made, tensor: GoldenTensor) -> np.ndarray:
    """What the files should hold: every case, in stored order, (cases, ...)."""
    count = CASES if tensor.varies else 1
    logical = np.stack([made.found.array(tensor, case) for case in range(count)])
    return np.transpose(logical, [0, *(axis + 1 for axis in tensor.axes)]) if tensor.axes else logical


def from_npz(folder: Path, tensor: GoldenTensor) -> np.ndarray:
    place = tensor.files["npz"]
    parts = []
    for case in range(CASES if tensor.varies else 1):
        with np.load(folder / place["file"].replace("{case}", f"{case:05d}")) as archive:
            parts.append(archive[place["member"]])
    return np.stack(parts)


def from_npy(folder: Path, tensor: GoldenTensor) -> np.ndarray:
    array = np.load(folder / tensor.files["npy"]["file"])
    return array if tensor.varies else array[np.newaxis]


def from_bin(folder: Path, tensor: GoldenTensor) -> np.ndarray:
    return np.fromfile(folder / tensor.files["bin"]["file"], np.dtype(tensor.dtype).newbyteorder("<"))


def from_ihex(folder: Path, tensor: GoldenTensor) -> np.ndarray:
    image = IntelHex(str(folder / tensor.files["ihex"]["file"]))
    assert image.minaddr() == 0
    return np.frombuffer(image.tobinarray().tobytes(), np.dtype(tensor.dtype).newbyteorder("<"))


def readmemh(path: Path) -> Iterator[int]:
    """The words of a $readmemh file: hexadecimal numbers between white space, // comments."""
    for line in path.read_text(encoding="ascii").splitlines():
        for word in line.partition("//")[0].split():
            assert re.fullmatch(r"[0-9a-fA-F]+", word)
            yield int(word, 16)


def from_hex(folder: Path, tensor: GoldenTensor) -> np.ndarray:
    place = tensor.files["hex"]
    found = list(readmemh(folder / place["file"]))
    cases = CASES if tensor.varies else 1
    assert len(found) == cases * place["words"] and place["word_bits"] == 32 and place["lanes"] == "little"
    count = int(np.prod(tensor.shape, dtype=int)) * np.dtype(tensor.dtype).itemsize
    data = b""
    for case in range(cases):
        mine = found[case * place["words"] : (case + 1) * place["words"]]
        data += b"".join(word.to_bytes(4, "little") for word in mine)[:count]
    return np.frombuffer(data, np.dtype(tensor.dtype).newbyteorder("<"))


@pytest.mark.parametrize("reader", [from_npz, from_npy, from_bin, from_ihex, from_hex], ids=lambda r: r.__name__[5:])
def test_each_format_holds_the_same_values(everything: Made, reader: Reader) -> None:
    kinds = set()
    for tensor in everything.found.tensors:
        wanted = stored(everything, tensor)
        got = reader(everything.folder, tensor)
        assert got.dtype == tensor.dtype
        np.testing.assert_array_equal(got.reshape(wanted.shape), wanted)
        kinds.add(tensor.dtype)
    assert kinds == {"int8", "int32", "float32"}


PRINT = """
#include <stdio.h>
#include "golden.h"
int main(void)
{
    for (uint32_t tensor = 0; tensor < GOLDEN_TENSORS; tensor++) {
        const qdqnp_tensor *golden = &golden_tensors[tensor];
        const unsigned char *bytes = (const unsigned char *)golden->values;
        const size_t count = (size_t)golden->count * golden->cases * qdqnp_element_bytes(golden->type);
        if (((uintptr_t)bytes & 15) != 0) {
            return 1;
        }
        printf("%s ", golden->name);
        for (size_t at = 0; at < count; at++) {
            printf("%02x", bytes[at]);
        }
        printf("\\n");
    }
    return 0;
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_c_as_gcc_understands_it(everything: Made, tmp_path: Path) -> None:
    """Every warning is an error; the memory of the built program is the values, aligned and in the section."""
    folder = everything.folder / "c"
    (tmp_path / "print.c").write_text(PRINT, encoding="ascii")
    unity = "".join(f'#include "{path.name}"\n' for path in sorted(folder.glob("golden*.c")))
    (tmp_path / "all.c").write_text(unity, encoding="ascii")
    sources = [tmp_path / "print.c", tmp_path / "all.c", folder / "qdqnp_check.c"]
    build(sources, tmp_path / "print", f"-I{folder}")
    text = subprocess.run([tmp_path / "print"], capture_output=True, text=True, check=True).stdout
    memory = dict(line.split(" ") for line in text.splitlines())
    seen = set()
    for tensor in everything.found.tensors:
        symbol = tensor.files["c"]["symbol"].removeprefix("golden_")
        assert memory[symbol] == stored(everything, tensor).tobytes().hex()
        seen.add(symbol)
    assert seen == set(memory)
    sections = subprocess.run(["objdump", "-h", tmp_path / "print"], capture_output=True, text=True).stdout
    assert ".golden" in sections


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
@pytest.mark.parametrize("profile", ["ort", "ort-unfused"])
def test_every_name_of_every_layer_is_its_array(net: Path, tmp_path: Path, profile: str) -> None:
    """Also of tensors that several layers share, and of constants without an order of axes (DequantizeLinear's)."""
    made = make(tmp_path / "set", net, profile, cases=1, formats=("c",))
    folder = made.folder / "c"
    checks = ""
    for t in made.found.tensors:
        symbol = t.files["c"]["symbol"]
        name = symbol.upper()
        checks += f"if ((const void *){symbol} != golden_tensors[{name}_ID].values) return 1;\n"
        checks += f"if ({name}_SIZE != {int(np.prod(t.shape, dtype=int))}) return 2;\n"
    unity = "".join(f'#include "{path.name}"\n' for path in sorted(folder.glob("golden*.c")))
    (tmp_path / "all.c").write_text(f"{unity}int main(void)\n{{\n{checks}return 0;\n}}\n", encoding="ascii")
    build([tmp_path / "all.c"], tmp_path / "names", f"-I{folder}")
    assert subprocess.run([tmp_path / "names"]).returncode == 0


def test_intel_hex_of_more_than_one_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cases of 100,003 bytes: pieces and addresses that no 16 bits hold."""
    data = np.random.default_rng(0).integers(0, 256, (2, 100_003), dtype=np.uint8)
    writer = IhexWriter(Folder(tmp_path, 2**30, GOLDEN_SET), Options(), 2)
    entry = Entry(golden_tensor(data[0], "x", "x", "output"))
    for case in range(2):
        writer.add(entry, data[case], case)
    writer.finish({"x": entry}, [])
    image = IntelHex(str(tmp_path / "ihex" / "x.hex"))
    assert image.segments() == [(0, 200_006)]
    assert image.tobinarray().tobytes() == data.tobytes()
    monkeypatch.setattr(ihex, "LARGEST", 300_008)
    with pytest.raises(GoldenError, match="no addresses for so much"):
        writer.add(entry, data[0], 2)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_the_generated_main_builds_at_once_and_finds_damage(net: Path, tmp_path: Path) -> None:
    made = make(tmp_path / "set", net, cases=1, formats=("c", "bin"), layers=("QLinearAdd",), roles=("output",))
    folder, program = made.folder / "c", tmp_path / "main"
    build(sorted(folder.glob("*.c")), program)
    assert subprocess.run([program], capture_output=True, text=True).stdout == "4 tensors, 1 cases: intact\n"
    tensor = made.found.tensors[0]
    key = tensor.files["c"]["symbol"].removeprefix("golden_")
    dump = tmp_path / "dump.bin"
    data = bytearray((made.folder / tensor.files["bin"]["file"]).read_bytes())
    dump.write_bytes(data)
    done = subprocess.run([program, key, dump], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{key}, case 0: equal\n")
    data[5], old = (data[5] + 3) % 256, data[5]
    dump.write_bytes(data)
    done = subprocess.run([program, key, dump], capture_output=True, text=True)
    values = np.array([old, data[5]], np.uint8).view(np.int8).astype(int)
    assert done.returncode == 1
    assert f"1 of {len(data)} elements differ; at index 5 expected {values[0]}, got {values[1]}" in done.stdout
    assert f"at most {abs(values[1] - values[0])} LSB" in done.stdout
    dump.write_bytes(data[:-1])
    assert subprocess.run([program, key, dump], capture_output=True).returncode == 2
    assert subprocess.run([program, "nothing", dump], capture_output=True).returncode == 2
    source = made.folder / tensor.files["c"]["file"]
    text = source.read_text(encoding="ascii")
    source.write_text(re.sub(r"\{\n    (-?\d+)", lambda m: "{\n    " + str(int(m[1]) ^ 1), text), encoding="ascii")
    build(sorted(folder.glob("*.c")), program)
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.returncode == 1 and f"{key}, case 0: not what qdqnp wrote" in done.stdout


CRC_MAIN = """
#include <stdio.h>
#include "golden_crc.h"
static void report(void *context, uint32_t tensor, uint32_t case_index, const qdqnp_result *result)
{
    (void)context;
    printf("%u %u %u\\n", (unsigned)tensor, (unsigned)case_index, (unsigned)result->mismatches);
}
static unsigned char buffer[65536];
int main(int argc, char **argv)
{
    FILE *file = fopen(argv[1], "rb");
    (void)argc;
    for (uint32_t at = 0; at < GOLDEN_CRC_CASES; at++) {
        if (fread(buffer, 1, sizeof buffer, file) == 0) {
            return 2;
        }
        golden_crc_check(TENSOR, at, buffer, report, NULL);
    }
    return 0;
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_checksums_on_a_board(everything: Made, tmp_path: Path) -> None:
    """Buffers of both cases against the table: equal, and one bit off."""
    folder = everything.folder / "c-crc"
    tensor = next(t for t in everything.found.tensors if t.role == "output" and t.op == "QLinearAdd")
    (tmp_path / "main.c").write_text(CRC_MAIN, encoding="ascii")
    build(
        [tmp_path / "main.c", *sorted(folder.glob("*.c"))],
        tmp_path / "crc",
        f"-I{folder}",
        f"-DTENSOR={tensor.files['c']['symbol'].upper()}_ID",
    )
    cases = [stored(everything, tensor)[case].tobytes() for case in range(CASES)]
    wrong = bytearray(cases[1])
    wrong[-1] ^= 1
    for data, mismatches in ((cases, [0, 0]), ([cases[0], bytes(wrong)], [0, 1]), (cases[::-1], [1, 1])):
        (tmp_path / "dump").write_bytes(b"".join(part.ljust(65536, b"\0") for part in data))
        done = subprocess.run([tmp_path / "crc", tmp_path / "dump"], capture_output=True, text=True)
        assert [int(line.split()[2]) for line in done.stdout.splitlines()] == mismatches


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_a_table_of_checksums_is_small(everything: Made, tmp_path: Path) -> None:
    path = everything.folder / "c-crc" / "golden_crc.c"
    subprocess.run(["gcc", *STRICT, "-Os", "-ffreestanding", "-c", path, "-o", tmp_path / "crc.o"], check=True)
    sizes = subprocess.run(["size", tmp_path / "crc.o"], capture_output=True, text=True, check=True).stdout
    tensors = path.read_text(encoding="ascii").count("QDQNP_INT8,\n")
    assert int(sizes.split("\n")[1].split()[0]) < 13 * tensors + 200  # count, type and two checksums of each


def test_a_set_of_checksums_only_lists_nothing_else(net: Path, tmp_path: Path) -> None:
    alone = make(tmp_path / "alone", net, "ort", 1, formats=("c-crc",)).found
    assert {t.role for t in alone.tensors} == {"network_input", "output", "network_output"}
    assert all(set(t.files) == {"c-crc"} for t in alone.tensors)
    both = make(tmp_path / "both", net, "ort", 1, formats=("c-crc", "bin")).found
    assert len(both.tensors) > len(alone.tensors)
    assert all(("c-crc" in t.files) == (t.role in ("network_input", "output", "network_output")) for t in both.tensors)


DTYPES = st.sampled_from([np.int8, np.uint8, np.int16, np.int32, np.int64, np.float32])
SMALL = hnp.array_shapes(max_dims=2, max_side=9)
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, SMALL))


@given(ARRAYS, st.integers(1, 17), st.sampled_from(["little", "big"]))
def test_words_of_any_width_in_both_orders(array: np.ndarray, size: int, lanes: str) -> None:
    """Taken apart again with Python's integers: lanes of one element each, or parts of one element."""
    lines = words(array, size, lanes).split()
    assert all(len(line) == 2 * size for line in lines)
    numbers = [int(line, 16) for line in lines]
    order = "little" if lanes == "little" else "big"
    data = b"".join(number.to_bytes(size, order) for number in numbers)
    back = np.frombuffer(data[: array.nbytes], array.dtype.newbyteorder("<" if lanes == "little" else ">"))
    np.testing.assert_array_equal(back, array.reshape(-1))
    assert not any(data[array.nbytes :])


def test_which_lane_comes_first() -> None:
    array = np.array([1, 2, 3, 4, 5], np.int8)
    assert words(array, 4, "little").split() == ["04030201", "00000005"]
    assert words(array, 4, "big").split() == ["01020304", "05000000"]
    assert words(np.array([0x0102, 0x0304], np.int16), 4, "little").split() == ["03040102"]
    assert words(np.array([0x0102, 0x0304], np.int16), 4, "big").split() == ["01020304"]
    assert words(np.array([0x0102], np.int16), 1, "little").split() == ["02", "01"]


@given(st.integers(-(2**63), 2**63 - 1))
def test_integer_literals_have_a_type_of_their_own(value: int) -> None:
    text = integer(value)
    assert eval(text.replace("INT64_C", "int")) == value
    assert re.sub(r"INT64_C\(\d+\)", "", text) == text or abs(value) >= 2**31


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_real_literals_are_exact(value: float) -> None:
    assert float(real(value, "here", double=True)) == value


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_c_cannot_write_are_refused(value: float) -> None:
    with pytest.raises(GoldenError, match="no such number"):
        real(value, "here")


def test_negative_numbers_in_macros_have_brackets() -> None:
    assert define("X", -3, "here") == "#define X (-3)\n"
    assert define("X", 3, "here") == "#define X 3\n"
    assert define("X", -0.5, "here") == "#define X (-5.0e-01f)\n"
