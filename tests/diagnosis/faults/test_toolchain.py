"""Faults of a toolchain: caches, zero points that a tool misread, inputs that are not read, results that change."""

from __future__ import annotations

import numpy as np
import pytest

from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.replay import Reference
from qdqnp.numerics.profiles import profile_named
from tests.diagnosis import small
from tests.diagnosis.small import Array, report, row, tensors

NAME = "conv_22_q"  # 1x16x8x8
BLOCKS = {"in the tensor's own order": 1, "NHWC": 16, "channels in blocks of 4": 4}


def in_memory(array: Array, block: int) -> Array:
    """The codes in the order of the device's memory."""
    parts = [np.moveaxis(array[:, at : at + block], 1, -1) for at in range(0, array.shape[1], block)]
    return np.concatenate([part.reshape(-1) for part in parts])


def from_memory(flat: Array, block: int, like: Array) -> Array:
    elements = in_memory(np.arange(like.size).reshape(like.shape), block)
    made = np.empty(like.size, like.dtype)
    made[elements] = flat
    return made.reshape(like.shape)


@pytest.mark.parametrize("text", list(BLOCKS))
@pytest.mark.parametrize("lost", [32, 12])
def test_a_line_that_was_not_invalidated(text: str, lost: int, rng: np.random.Generator) -> None:
    """The last bytes are those of whatever lay there before; also where the buffer ends within a line."""
    changed = []
    for right in tensors()[NAME]:
        flat = in_memory(right, BLOCKS[text])
        flat[-lost:] = rng.integers(-128, 128, lost)
        changed.append(from_memory(flat, BLOCKS[text], right))
    found = row(report({**tensors(), NAME: changed}), NAME)
    assert found.findings[0].kind == "stale cache line" and text in found.findings[0].detail
    assert len(found.findings) == 1


def test_more_than_a_line_is_no_line(rng: np.random.Generator) -> None:
    changed = []
    for right in tensors()[NAME]:
        flat = right.copy().reshape(-1)
        flat[-40:] ^= np.int8(85)
        changed.append(flat.reshape(right.shape))
    assert "stale cache line" not in [one.kind for one in row(report({**tensors(), NAME: changed}), NAME).findings]


def test_one_element_is_no_line() -> None:
    changed = [array.copy() for array in tensors()[NAME]]
    for array in changed:
        array.reshape(-1)[-1] ^= 64
    assert "stale cache line" not in [one.kind for one in row(report({**tensors(), NAME: changed}), NAME).findings]


# -- zero points -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("misread", [0, 5])
def test_real_values_with_another_zero_point(misread: int) -> None:
    """An int8 zero point whose four bytes were read as a float32 is 0."""
    quant = small.model().program().tensors[NAME].quant
    assert quant is not None and int(quant.zero_point) not in (0, 5)
    real = [((array.astype(np.float32) - misread) * quant.scale).astype(np.float32) for array in tensors()[NAME]]
    found = row(report({**tensors(), NAME: real}), NAME)
    assert [one.kind for one in found.findings] == ["dequantized with another zero point"]
    assert f"{misread} in place of {int(quant.zero_point)}" in found.findings[0].detail
    assert ("read as float32" in found.findings[0].detail) == (misread == 0)


def test_codes_that_are_all_off_by_as_much_are_not_called_so() -> None:
    changed = [np.clip(array.astype(int) + 3, -128, 127).astype(np.int8) for array in tensors()[NAME]]
    found = row(report({**tensors(), NAME: changed}), NAME)
    assert "dequantized with another zero point" not in [one.kind for one in found.findings]


# -- the dump as a whole -----------------------------------------------------------------------------------------------
def test_an_output_that_does_not_depend_on_the_input() -> None:
    frozen = {name: [arrays[0]] * 2 for name, arrays in tensors().items()}
    found = report(frozen)
    (line,) = found.observations
    assert "does not depend on the input" in line and "'input_q'" in line and line in found.verdict()
    assert found.as_json()["observations"] == [line]
    half = {name: arrays if name < "conv_2" else [arrays[0]] * 2 for name, arrays in tensors().items()}
    assert len(report(half).observations) == 1
    assert report({**tensors(), NAME: [tensors()[NAME][0]] * 2}).observations == []  # what follows does depend on it
    assert report(tensors()).observations == []
    assert report({name: arrays[:1] for name, arrays in frozen.items()}).observations == []


def test_a_device_that_does_not_repeat_itself() -> None:
    one = small.feeds(1)[0]
    twice = Reference(small.model(), profile_named("ort"), [one, {**one}])
    right = {name: [arrays[0], arrays[0].copy()] for name, arrays in tensors().items()}
    assert compare(twice, align(small.dump(right), twice.targets, 2)).observations == []
    for name in ("conv_36_q", "conv_122_q"):
        right[name][1].reshape(-1)[:3] ^= 1
    (line,) = compare(twice, align(small.dump(right), twice.targets, 2)).observations
    assert "cases 0 and 1 have the same input, and 3 elements of tensor 'conv_36_q'" in line


# -- the compiler ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mine, others", [("neural-art-1.1.3", "neural-art-1.1.1"), ("neural-art-1.1.1", "neural-art")])
def test_the_other_generation_of_the_compiler_is_named(mine: str, others: str) -> None:
    found = report(tensors(others), profile=mine)
    assert not found.equal
    assert any(others in line and "QLinearConv" in line for line in found.verdict())
