"""Which entry is which tensor: labels, values, and that one that does not fit does not end the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from qdqnp.diagnosis.align import Aligned, align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.dump import Dump, DumpEntry
from tests.diagnosis import small

RIGHT = small.tensors()
CODES = {name: np.stack(arrays) for name, arrays in RIGHT.items() if arrays[0].dtype == np.int8}
TARGETS = small.reference().target


def read(entries: dict[str, np.ndarray]) -> Aligned:
    reference = small.reference()
    dump = Dump(Path("d"), tuple(DumpEntry(name, array) for name, array in entries.items()))
    return align(dump, reference.targets, 2, values=reference.cases)


def same_values(found: Aligned) -> None:
    for name, tensor in found.tensors.items():
        assert all(np.array_equal(a, b) for a, b in zip(tensor.cases, RIGHT[name], strict=True)), name


def test_labels() -> None:
    found = read({TARGETS[name].label: array for name, array in CODES.items()})
    assert found.tensors.keys() == CODES.keys() and not found.unused
    assert {tensor.paired for tensor in found.tensors.values()} == {"layer label"}
    same_values(found)


def test_values_tell_which_tensor_it_is() -> None:
    """Every third tensor, under names of their own, in another order than the network's."""
    names = list(CODES)[::3]
    rng = np.random.default_rng(0)
    found = read({f"t{number}": CODES[names[number]] for number in rng.permutation(len(names))})
    assert len(found.tensors) == len(names) and not found.unused and not found.by_order
    assert {tensor.paired for tensor in found.tensors.values()} == {"content"}
    same_values(found)


def test_nearly_the_same_values_tell_it_too() -> None:
    rng = np.random.default_rng(1)
    names = small.outputs("QLinearConv")
    wrong = {
        name: np.clip(CODES[name].astype(int) + rng.integers(-1, 2, CODES[name].shape), -128, 127) for name in names
    }
    found = read({f"t{number}": wrong[name].astype(np.int8) for number, name in enumerate(names)})
    told = {tensor.entry: name for name, tensor in found.tensors.items()}
    assert len(told) > len(names) // 2
    assert all(told[entry] == names[int(entry[1:])] for entry in told)
    assert {tensor.paired for tensor in found.tensors.values()} <= {"content, nearly equal", "content"}


def test_an_entry_of_other_values_is_paired_with_nothing() -> None:
    """Its size is that of several tensors; it is named, and nothing is said of it."""
    name = small.outputs("QLinearConv")[1]
    noise = np.random.default_rng(2).integers(-128, 128, CODES[name].shape, dtype=np.int8)
    found = read({"mine": noise, "other": CODES[name]})
    assert found.unused == ["mine"] and list(found.tensors) == [name]
    assert compare(small.reference(), found).exit_code == 2


def test_one_misfit_and_one_tensor_of_fewer_cases_are_named_and_the_rest_is_compared() -> None:
    short, few, nan = small.outputs("QLinearConv")[1:4]
    entries = {**CODES, short: np.zeros(7, np.int8), few: CODES[few][:1]}
    entries[nan] = np.full(CODES[nan].shape, np.nan)
    report = compare(small.reference(), read(entries))
    assert len(report.rows) == len(CODES) - 3 and report.exit_code == 2 and not report.failing
    for name in (short, few, nan):
        assert sum(f"'{name}'" in line for line in report.not_compared()) == 1, report.not_compared()
    assert len(report.as_json()["problems"]) == 3
