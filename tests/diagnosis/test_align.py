"""Align: which entry is which tensor, and its values as codes in the model's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qdqnp.diagnosis.align import Aligned, align, pair, to_codes
from qdqnp.diagnosis.dump import Dump, DumpEntry
from qdqnp.diagnosis.mapping import as_text, proposal, read_mapping
from qdqnp.diagnosis.pairing import Mapped
from qdqnp.diagnosis.targets import DumpTarget
from qdqnp.errors import InputError
from qdqnp.numerics import float32
from qdqnp.quant import Quant
from tests.diagnosis import small

NAME = small.outputs("QLinearConv")[1]
RIGHT = small.tensors()


def read(
    *entries: DumpEntry, cases: int = 1, channel_last: bool = False, mapping: dict[str, str] | None = None
) -> Aligned:
    mapped = None if mapping is None else {name: Mapped(entry) for name, entry in mapping.items()}
    return align(Dump(Path("d"), entries, channel_last), small.reference().targets, cases, mapped)


def paired(*names: str) -> dict[str, str]:
    entries = tuple(DumpEntry(name, np.zeros(1, np.int8)) for name in names)
    found = pair(Dump(Path("d"), entries), small.reference().targets, 1)
    return {pair.target.name: pair.entry.name for pair in found.pairs}


def test_by_name_then_by_its_letters_and_digits() -> None:
    other = small.outputs("QLinearAdd")[0]
    assert paired(NAME, other.upper().replace("_", "//"), "else") == {
        NAME: NAME,
        other: other.upper().replace("_", "//"),
    }


def test_two_entries_of_the_same_letters_fit_nothing() -> None:
    assert NAME not in paired(NAME.upper(), NAME.replace("_", "-"), small.outputs("QLinearAdd")[0])


def test_by_order_and_shape_where_names_tell_nothing() -> None:
    """Numbered in the order of the network, and not by the alphabet: out10 comes after out9."""
    names = [target.name for target in small.reference().targets if target.step >= 0]
    entries = tuple(DumpEntry(f"out{i}", RIGHT[name][0]) for i, name in enumerate(names))
    found = read(*sorted(entries, key=lambda entry: entry.name))
    assert {name: tensor.entry for name, tensor in found.tensors.items()} == {n: f"out{i}" for i, n in enumerate(names)}
    assert all(np.array_equal(found.tensors[n].cases[0], RIGHT[n][0]) for n in names if RIGHT[n][0].dtype == np.int8)


def test_a_mapping_is_the_only_way_then() -> None:
    found = read(DumpEntry("x", RIGHT[NAME][0]), DumpEntry(NAME, RIGHT[NAME][1]), mapping={NAME: "x"})
    assert np.array_equal(found.tensors[NAME].cases[0], RIGHT[NAME][0]) and found.unused == [NAME]
    with pytest.raises(InputError, match=r"(?s)another name.*'absent'"):
        read(DumpEntry("x", RIGHT[NAME][0]), mapping={"nonsense": "x", NAME: "absent"})


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_a_written_mapping_is_read_back(tmp_path: Path, suffix: str) -> None:
    names = {'quo"te\\<b>\n\x7f\u20ac\x01': "entry = [1]\n", "plain": "x"}
    path = tmp_path / f"m.{suffix}"
    path.write_text(as_text(names, ["left\nover"], suffix == "json"), encoding="utf-8")
    assert {name: mapped.entry for name, mapped in read_mapping(path).items()} == names
    found, unused = proposal(
        Dump(Path("d"), (DumpEntry(NAME, RIGHT[NAME][0]), DumpEntry("?", RIGHT[NAME][0]))), small.reference().targets, 1
    )
    assert (found, unused) == ({NAME: NAME}, ["?"])


@pytest.mark.parametrize(
    "text", ["", "tensors = 1", "[tensors]", "[tensors]\na = 1", "= broken", '[tensors]\na="x"\nb="x"']
)
def test_bad_mappings(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(InputError, match="cannot read a mapping"):
        read_mapping(tmp_path / "m.toml")


def test_layouts_and_bytes() -> None:
    want = RIGHT[NAME][0]
    last = np.ascontiguousarray(want.transpose(0, 2, 3, 1))
    for entry in (
        DumpEntry(NAME, last),
        DumpEntry(NAME, last[0]),
        DumpEntry(NAME, want[0]),
        DumpEntry(NAME, want.reshape(-1)),
        DumpEntry(NAME, want.reshape(-1).view(np.uint8), raw=True),
        DumpEntry(NAME, want.view(np.uint8)),
        DumpEntry(NAME, want.astype(np.int32)),
    ):
        assert np.array_equal(read(entry).tensors[NAME].cases[0], want)
    assert "channel-last transposed to channel-first" in read(DumpEntry(NAME, last)).tensors[NAME].notes
    assert not read(DumpEntry(NAME, want)).tensors[NAME].notes


def test_the_format_decides_where_both_layouts_have_the_same_shape() -> None:
    want = np.arange(64, dtype=np.int8).reshape(1, 4, 4, 4)
    target = DumpTarget("square", "square", 0, "", "", want.shape, want.dtype, None)
    entry = DumpEntry("square", np.ascontiguousarray(want.transpose(0, 2, 3, 1)))
    for channel_last in (True, False):
        found = align(Dump(Path("d"), (entry,), channel_last), [target], 1).tensors["square"].cases[0]
        assert np.array_equal(found, want if channel_last else entry.array)


def test_st_outputs_are_the_networks_in_their_order() -> None:
    final = small.reference().targets[-1]
    values = small.reference().cases[0][final.codes].reshape(1, 1, 1, -1)
    found = read(DumpEntry("c_outputs_1", values, role="network_output"), channel_last=True)
    assert list(found.tensors) == [final.name]
    assert np.array_equal(found.tensors[final.name].cases[0].reshape(-1), values.reshape(-1))


def test_several_cases_after_one_another_or_stacked() -> None:
    for array in (np.concatenate(RIGHT[NAME]), np.stack(RIGHT[NAME]), np.concatenate(RIGHT[NAME]).reshape(-1)):
        found = read(DumpEntry(NAME, array), cases=2).tensors[NAME]
        assert len(found.cases) == 2
        assert all(np.array_equal(a, b) for a, b in zip(found.cases, RIGHT[NAME], strict=True))
    other = small.outputs("QLinearAdd")[0]
    found = read(DumpEntry(NAME, np.concatenate(RIGHT[NAME])), DumpEntry(other, RIGHT[other][0]), cases=2)
    assert list(found.tensors) == [NAME]
    assert [str(problem) for problem in found.problems] == [
        f"dump entry '{other}' for '{other}': expected 2 cases, as 1 of 2 tensors have, got 1"
    ]


def test_real_values_become_codes() -> None:
    quant = next(t.quant for t in small.reference().targets if t.name == NAME)
    assert quant is not None
    real = float32.dequantize(RIGHT[NAME][0], quant.scale, quant.zero_point)
    found = read(DumpEntry(NAME, real)).tensors[NAME]
    assert np.array_equal(found.cases[0], RIGHT[NAME][0]) and found.cases[0].dtype == np.int8
    assert (found.off_grid, found.off_range) == (0, 0)
    real.reshape(-1)[3] += np.float32(0.3) * quant.scale
    real.reshape(-1)[5] = np.float32(-400 - int(quant.zero_point)) * quant.scale
    found = read(DumpEntry(NAME, real)).tensors[NAME]
    assert (found.off_grid, found.off_range) == (1, 1)
    assert found.cases[0].reshape(-1)[5] == -400


def test_codes_per_slice() -> None:
    quant = Quant(np.dtype(np.int8), np.array([0.5, 2.0], np.float32), np.array([0, 10], np.int8), axis=1)
    codes, off = to_codes(np.array([[1.0, 4.0], [0.75, -6.0]]), quant)
    assert codes.tolist() == [[2, 12], [2, 7]] and off == 1


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((1, 16, 8, 8), np.nan, np.float32), "NaN or infinite"),
        (np.full((1, 16, 8, 8), np.inf, np.float32), "NaN or infinite"),
        (np.zeros((1, 16, 8, 8), bool), "bool"),
        (np.full((1, 16, 8, 8), 300, np.int16), r"within its range.*\[300, 300\]"),
    ],
)
def test_values_that_cannot_be_codes(array: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read(DumpEntry(NAME, array))


def test_all_problems_at_once() -> None:
    names = small.outputs("QLinearConv")[:3]
    with pytest.raises(InputError) as caught:
        read(*(DumpEntry(name, np.full(RIGHT[name][0].shape, np.nan)) for name in names))
    assert all(name in str(caught.value) for name in names)


def test_a_wrong_size_is_a_misfit_and_nothing_that_fits_an_error() -> None:
    found = read(DumpEntry(NAME, RIGHT[NAME][0].reshape(-1)[:-1]))
    assert [m.target.name for m in found.misfits] == [NAME] and not found.tensors
    with pytest.raises(InputError, match="--write-mapping"):
        read(DumpEntry("nothing", np.zeros(7, np.int8)))
