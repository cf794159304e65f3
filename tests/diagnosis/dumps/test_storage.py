"""How a dump is stored: said by options, a mapping or a manifest, or told by shapes, the rest of it, and values."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qdqnp.diagnosis.align import Aligned, align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.compare.report import CompareReport
from qdqnp.diagnosis.dump import Dump, DumpEntry, read_dump
from qdqnp.diagnosis.dumps.choose import GOLDEN, REST, SAID, SHAPE, VALUES
from qdqnp.diagnosis.dumps.storage import Storage
from qdqnp.diagnosis.mapping import read_mapping
from qdqnp.errors import InputError
from qdqnp.numerics import float32
from tests.diagnosis import small

Array = np.ndarray[Any, Any]
Store = Callable[[Array], Array]
RIGHT = small.tensors()
CODES = {name: np.stack(arrays) for name, arrays in RIGHT.items() if arrays[0].dtype == np.int8}
IMAGES = {name: array for name, array in CODES.items() if array.ndim == 5}
NAME, FLAT = small.outputs("QLinearConv")[1:3]  # FLAT is stored without a shape: as of a cube, nothing tells its order


def last(array: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(array, 2, -1)) if array.ndim == 5 else array


def read(*entries: DumpEntry, form: Storage | None = None, mapping: Path | None = None) -> Aligned:
    reference = small.reference()
    mapped = None if mapping is None else read_mapping(mapping)
    return align(Dump(Path("d"), entries), reference.targets, 2, mapped, form, reference.cases)


def entries(store: Store, names: list[str] | None = None, raw: bool = True) -> list[DumpEntry]:
    chosen = CODES if names is None else {name: CODES[name] for name in names}
    arrays = {name: store(array) for name, array in chosen.items()}
    if not raw:
        return [DumpEntry(name, array) for name, array in arrays.items()]
    return [DumpEntry(name, np.frombuffer(array.tobytes(), np.uint8), True) for name, array in arrays.items()]


def right(found: Aligned, count: int | None = None) -> None:
    assert len(found.tensors) == (len(CODES) if count is None else count) and not found.problems
    for name, tensor in found.tensors.items():
        for got, want in zip(tensor.cases, RIGHT[name], strict=True):
            assert got.dtype == want.dtype
            assert np.array_equal(got, want), name


def by(found: Aligned, name: str) -> str:
    chosen = found.tensors[name].chosen
    assert chosen is not None
    return chosen.by


FORMS: list[tuple[Storage, Store]] = [
    (Storage(layout="NHWC"), last),
    (Storage(layout="NHWC", dtype="uint8", offset=128), lambda a: (last(a).astype(np.int16) + 128).astype(np.uint8)),
    (Storage(dtype="int16"), lambda a: a.astype(np.int16)),
    (Storage(dtype="int32", offset=-7), lambda a: a.astype(np.int32) - 7),
    (Storage(dtype="float32", values="codes"), lambda a: a.astype(np.float32)),
    (Storage(layout="NWHC"), lambda a: np.transpose(a, (0, 1, 4, 3, 2)) if a.ndim == 5 else a),
    (Storage(layout="CHWN"), lambda a: np.transpose(a, (2, 3, 4, 0, 1)) if a.ndim == 5 else np.transpose(a, (2, 0, 1))),
]


@pytest.mark.parametrize(("form", "store"), FORMS)
def test_what_is_said_is_done(form: Storage, store: Store) -> None:
    names = [name for name in CODES if CODES[name].ndim in (3, 5)]
    found = read(*entries(lambda a: np.ascontiguousarray(store(a)), names), form=form)
    right(found, len(names))
    assert by(found, NAME) == (SAID if form.layout or form.offset else "") or form.layout is None


def test_real_values_of_bytes() -> None:
    quant = small.reference().target[NAME].quant
    assert quant is not None
    real = float32.dequantize(CODES[NAME], quant.scale, quant.zero_point)
    for form in (Storage(dtype="float32"), Storage(dtype="float32", values="real")):
        right(read(DumpEntry(NAME, np.frombuffer(real.tobytes(), np.uint8), True), form=form), 1)


def test_shapes_tell_and_the_rest_of_the_dump_where_there_is_none() -> None:
    for store, layout in ((last, "NHWC"), (lambda a: a, "NCHW")):
        listed = [entry for entry in entries(store, raw=False) if entry.name != FLAT]
        found = read(*listed, DumpEntry(FLAT, store(CODES[FLAT]).reshape(2, -1)))
        right(found)
        chosen = found.tensors[FLAT].chosen
        assert by(found, NAME) == SHAPE and by(found, FLAT) == REST
        assert chosen is not None and chosen.reading.layout == layout


def test_one_tensor_in_another_order_than_the_rest_is_a_fault() -> None:
    """That one tensor's values fit another order does not excuse it."""
    listed = [DumpEntry(n, last(a).reshape(2, -1) if n == FLAT else a) for n, a in CODES.items()]
    found = read(*listed)
    assert not np.array_equal(found.tensors[FLAT].cases[0], RIGHT[FLAT][0])
    row = small.row(compare(small.reference(), found), FLAT)
    assert row.findings[0].kind == "NCHW against NHWC"


def test_values_tell_where_no_shape_does() -> None:
    for store in (last, lambda a: a):
        found = read(*entries(store))
        right(found)
        assert by(found, NAME) in (VALUES, GOLDEN)
    assert any("read as NHWC, as its values told" in line for line in compared(entries(last)).not_compared())


def test_values_tell_codes_that_were_moved_from_bits() -> None:
    moved = entries(lambda a: (a.astype(np.int16) + 128).astype(np.uint8), raw=False)
    bits = entries(lambda a: a.view(np.uint8), raw=False)
    right(read(*moved))
    right(read(*bits))
    assert "uint8 codes read as int8, 128 lower" in read(*moved).tensors[NAME].notes


def compared(listed: list[DumpEntry]) -> CompareReport:
    return compare(small.reference(), read(*listed))


def test_the_report_says_how_everything_was_read() -> None:
    (row,) = [row for row in compared(entries(last)).as_json()["layers"] if row["name"] == NAME]
    assert row["paired"] == "ONNX name"
    assert row["read_as"] == {
        "layout": "NHWC", "dtype": "int8", "offset": 0, "values": "codes", "cases": 2, "by": "its values"
    }  # fmt: skip


def test_a_mapping_says_it_of_each_entry(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(
        f'[tensors]\n"{NAME}" = {{entry = "x", layout = "nhwc", dtype = "uint8", offset = 128}}\n"{FLAT}" = "y"\n'
    )
    moved = (last(CODES[NAME]).astype(np.int16) + 128).astype(np.uint8)
    found = read(DumpEntry("x", moved.reshape(-1)), DumpEntry("y", CODES[FLAT]), mapping=path)
    right(found, 2)
    assert {tensor.paired for tensor in found.tensors.values()} == {"mapping"}


def test_an_address_finds_a_tensor_in_an_image_of_memory(tmp_path: Path) -> None:
    other = small.outputs("QLinearConv")[2]
    arrays = {name: CODES[name][0].tobytes() for name in (NAME, other)}
    image = b"\x55" * 100 + arrays[NAME] + b"\x55" * 28 + arrays[other]
    (tmp_path / "sram_0x20000000.bin").write_bytes(image)
    path = tmp_path / "m.toml"
    second = 0x20000000 + 128 + len(arrays[NAME])
    path.write_text(f'[tensors]\n"{NAME}" = {{address = 0x20000064}}\n"{other}" = {{address = {second}}}\n')
    found = align(read_dump(tmp_path), small.reference().targets, 2, read_mapping(path))
    for name in (NAME, other):
        assert found.tensors[name].paired == "address"
        assert np.array_equal(found.tensors[name].cases[0], RIGHT[name][0])
    path.write_text(f'[tensors]\n"{NAME}" = {{address = 0x30000064}}\n')
    with pytest.raises(InputError, match="0x30000064"):
        align(read_dump(tmp_path), small.reference().targets, 2, read_mapping(path))


@pytest.mark.parametrize(
    "line",
    ['{entry = "x", layout = "nhwx"}', '{entry = "x", dtype = "int7"}', '{entry = "x", offset = "1"}', '{entry = 1}',
     '{entry = "x", values = "some"}', '{entry = "x", laoyut = "nhwc"}', "{layout = 'nhwc'}", '{address = "20"}'],
)  # fmt: skip
def test_a_bad_line_of_a_mapping_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "m.toml").write_text(f'[tensors]\n"a" = {line}\n')
    with pytest.raises(InputError, match="cannot read a mapping"):
        read_mapping(tmp_path / "m.toml")


def in_folder(path: Path, manifest: dict[str, Any]) -> Aligned:
    last(CODES[NAME]).tofile(path / "a.bin")
    np.save(path / "b.npy", (CODES[FLAT].astype(np.int16) + 128).astype(np.uint8))
    (path / "manifest.json").write_text(json.dumps(manifest))
    return align(read_dump(path), small.reference().targets, 2)


def test_a_manifest_in_the_folder_says_it(tmp_path: Path) -> None:
    tables = [{"file": "a.bin", "tensor": NAME, "layout": "nhwc"}, {"entry": "b", "tensor": FLAT, "offset": 128}]
    found = in_folder(tmp_path, {"tensors": tables})
    right(found, 2)
    assert {tensor.paired for tensor in found.tensors.values()} == {"manifest"} and not found.unread
    by_name = {NAME: {"entry": "a", "layout": "nhwc"}, FLAT: {"file": "b.npy", "offset": 128}}
    right(in_folder(tmp_path, {"tensors": by_name}), 2)


def test_a_manifest_that_cannot_be_is_named(tmp_path: Path) -> None:
    tables = [{"file": "a.bin", "tensor": NAME, "layout": "nhwx"}, {"tensor": FLAT}]
    words = [str(problem) for problem in in_folder(tmp_path, {"tensors": tables}).problems]
    assert len(words) == 2 and "layout" in words[0] and "tensors[1]" in words[1]
