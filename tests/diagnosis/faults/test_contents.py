"""Faults of buffers: constant, other tensors, shifts, bytes, sizes; and that none is named where none is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.compare.status import FAULT, UNEXPLAINED
from qdqnp.diagnosis.dump import Dump, DumpEntry
from qdqnp.diagnosis.faults import SMALL, extent, memory
from qdqnp.diagnosis.rebind import evaluate
from qdqnp.executor.walk import walk
from qdqnp.numerics.values import named
from tests.diagnosis import small
from tests.diagnosis.compare.test_compare import CONVS, after, disturbed
from tests.diagnosis.small import Array, report, row, tensors

NAME = CONVS[1]  # 1x16x8x8
OTHER = next(n for n in small.outputs("QLinearConv") if n != NAME and tensors()[n][0].size >= tensors()[NAME][0].size)


def kinds(change: Callable[[Array], Array], name: str = NAME) -> list[str]:
    found = report({**tensors(), name: [change(a) for a in tensors()[name]]})
    assert found.first is not None and found.first.name == name
    return [finding.kind for finding in found.first.findings]


def moved(by: int) -> Callable[[Array], Array]:
    return lambda a: np.roll(a.reshape(-1), by).reshape(a.shape)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("all zero", np.zeros_like),
        ("constant", lambda a: np.full_like(a, -7)),
        ("NCHW against NHWC", lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).reshape(a.shape)),
        (
            "NCHW against NHWC",
            lambda a: np.ascontiguousarray(a.reshape(1, *a.shape[2:], a.shape[1]).transpose(0, 3, 1, 2)),
        ),
        ("signed against unsigned", lambda a: (a.astype(int) ^ -128).astype(np.int8)),
        ("shifted by elements or bytes", moved(1)),
        ("shifted by elements or bytes", moved(-5)),
        ("shifted by elements or bytes", moved(129)),
        ("row shifted", lambda a: np.roll(a, 1, axis=2)),
        ("row shifted", lambda a: np.roll(a, -1, axis=3)),
        ("truncated", lambda a: np.where(np.arange(a.size).reshape(a.shape) < a.size // 3, a, 0).astype(np.int8)),
        ("padded rows", lambda a: np.pad(a, [(0, 0)] * 3 + [(0, 8)]).reshape(-1)[: a.size].reshape(a.shape)),
    ],
)
def test_a_buffer_that_is_wrong(kind: str, change: Callable[[Array], Array]) -> None:
    assert kinds(change) == [kind]


def test_another_layers_tensor_is_named() -> None:
    other = [a.reshape(-1)[: tensors()[NAME][0].size].reshape(tensors()[NAME][0].shape) for a in tensors()[OTHER]]
    found = report({**tensors(), NAME: other})
    assert [f.kind for f in row(found, NAME).findings] == ["another layer's tensor"]
    assert OTHER in row(found, NAME).explanation


def test_another_inputs_tensor_is_named_though_nobody_went_on_with_it() -> None:
    found = report({**tensors(), NAME: [tensors()[NAME][0]] * 2})
    assert [str(f) for f in row(found, NAME).findings] == ["stale: another input's tensor (the previous input's)"]
    assert row(found, NAME).read_wrong


def test_a_layer_that_reads_its_input_wrongly() -> None:
    step = next(b for b in small.reference().plan.steps if b.step.output_names[0] == CONVS[2])
    source = step.step.input_names[0]
    for kind, change in (("NCHW against NHWC", memory.to_last), ("signed against unsigned", memory.turned)):
        wrong = [step.evaluate({**case, source: change(case[source])})[CONVS[2]] for case in small.reference().cases]
        first = report(after(CONVS[2], wrong)).first
        assert first is not None and first.name == CONVS[2]
        assert [f.kind for f in first.findings] == [kind] and source in first.explanation


def test_a_stale_input() -> None:
    step = next(b for b in small.reference().plan.steps if b.step.output_names[0] == CONVS[2])
    source, cases = step.step.input_names[0], small.reference().cases
    wrong = [cases[0][CONVS[2]], step.evaluate({**cases[1], source: cases[0][source]})[CONVS[2]]]
    first = report(after(CONVS[2], wrong)).first
    assert first is not None and [f.kind for f in first.findings] == ["stale: another input's tensor"]


def test_a_fault_in_a_layer_that_was_not_dumped() -> None:
    """The hypothesis runs through the layers after it."""
    steps = {b.step.output_names[0]: b for b in small.reference().plan.steps}
    name = next(n for n in CONVS if n in steps[CONVS[3]].step.input_names)
    bias = steps[name].step.inputs[2].name
    none = {bias: np.zeros_like(steps[name].consts[bias])}
    wrong = [evaluate(steps[name], case, small.reference().profile, consts=none) for case in small.reference().cases]
    dumped = after(name, wrong)
    del dumped[name]
    first = report(dumped).first
    assert first is not None and len(first.segment) >= 2 and first.status == FAULT
    assert first.findings[0].kind == "all biases dropped" and steps[name].step.label in first.explanation


def test_noise_has_no_name() -> None:
    for seed in range(3):
        found = report(after(NAME, disturbed(NAME, seed)))
        assert row(found, NAME).status == UNEXPLAINED and not row(found, NAME).findings


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_few_wrong_elements_have_no_name(size: int) -> None:
    """So few that shifts, which leave the edges open, could seem to explain them."""
    rng = np.random.default_rng(size)
    wrong = [a.copy() for a in tensors()[NAME]]
    for index in rng.choice(wrong[0].size, size, replace=False):
        wrong[0].reshape(-1)[index] ^= 0b0101100
    assert not row(report(after(NAME, wrong)), NAME).findings


# -- sizes ------------------------------------------------------------------------------------------------------
def sized(array: Array, raw: bool = False) -> list[str]:
    others = [DumpEntry(n, np.concatenate(a)) for n, a in tensors().items() if n != NAME]
    dump = Dump(Path("d"), (DumpEntry(NAME, array, raw), *others))
    found = compare(small.reference(), align(dump, small.reference().targets, 2))
    assert not found.equal and row(found, NAME).status == FAULT
    return [finding.kind for finding in row(found, NAME).findings]


def test_a_short_buffer_is_truncated() -> None:
    whole = tensors()[NAME][0].reshape(-1)
    assert sized(whole[:-5]) == ["truncated"]
    assert sized(whole[:-5].view(np.uint8), raw=True) == ["truncated"]


@pytest.mark.parametrize("stride", [12, 16, 17])
def test_rows_with_padding_between_them(stride: int) -> None:
    rows = np.concatenate(tensors()[NAME])
    padded = np.pad(rows, [(0, 0)] * 3 + [(0, stride - rows.shape[3])], constant_values=99)
    assert sized(padded) == ["padded rows"]
    assert sized(padded.reshape(-1).view(np.uint8), raw=True) == ["padded rows"]


def test_strides_of_rows() -> None:
    assert list(extent._strides(np.zeros((3, 6)), 1)) == [8, 8, 16]


def test_wider_codes_in_the_other_byte_order() -> None:
    values = np.arange(20, dtype=np.int16).reshape(4, 5) * 300
    assert np.array_equal(memory.turned(values), values ^ np.int16(-(2**15)))
    assert np.array_equal(memory.to_first(memory.to_last(values.reshape(1, 2, 5, 2))), values.reshape(1, 2, 5, 2))


@pytest.mark.parametrize("golden", ["ort", "tflite", "neural-art"])
def test_noise_in_a_layer_that_was_not_dumped_has_no_name(golden: str) -> None:
    """Every hypothesis goes through the layers after it, whatever the arithmetic."""
    plan = small.reference(golden).plan
    step = next(b.step for b in plan.steps if b.step.op == "QLinearAdd")
    name, rng = step.input_names[0], np.random.default_rng(5)
    wrong = [
        np.clip(c[name].astype(int) + rng.integers(-9, 10, c[name].shape), -128, 127).astype(np.int8)
        for c in small.reference(golden).cases
    ]
    made = [
        walk(plan, {**given, name: codes}, None)
        for given, codes in zip(small.reference(golden).given, wrong, strict=True)
    ]
    dumped = {key: [case[key] for case in made] for key in tensors() if key != name}
    first = report(dumped, golden).first
    assert first is not None and first.status == UNEXPLAINED and step.label in first.segment


def test_few_values_tell_nothing_of_padded_rows() -> None:
    rows = np.arange(40, dtype=np.int8).reshape(1, 1, 8, 5)
    buffer = np.pad(rows, [(0, 0)] * 3 + [(0, 3)]).reshape(-1)
    assert extent._padded(rows, buffer, 8)
    assert not extent._padded(rows, buffer[: 2 * 8], 8)
    assert not extent._padded(rows, buffer, 7)


def flips(beside: bool) -> tuple[int, int]:
    """An element of NAME whose code and the neighbour that it nearly rounded to differ in one bit; or one that lies in
    the middle of its code, and that code's neighbour."""
    case = small.reference().cases[0]
    bound = next(b for b in small.reference().plan.steps if b.step.output_names[0] == NAME)
    (part,) = bound.questions(case)
    rounded = np.empty(case[NAME].shape)
    part.put(rounded, named(part.question.stages(getattr(bound.profile, part.question.rule)), "real"))
    real = rounded.reshape(-1) + int(small.reference().target[NAME].quant.zero_point)
    for index, (value, code) in enumerate(zip(real.tolist(), case[NAME].reshape(-1).tolist(), strict=True)):
        apart = value - code
        other = code + (1 if apart > 0 else -1)
        near = 0.45 < abs(apart) <= 0.5 if beside else abs(apart) < 0.2
        if near and -100 < code < 100 and ((code ^ other) & 255).bit_count() == 1:
            return index, other
    raise AssertionError("no such element")


@pytest.mark.parametrize("beside", [True, False])
def test_one_lsb_beside_a_boundary_is_no_flipped_bit(beside: bool) -> None:
    index, code = flips(beside)
    wrong = [a.copy() for a in tensors()[NAME]]
    wrong[0].reshape(-1)[index] = code
    found = row(report(after(NAME, wrong)), NAME)
    assert found.rounding == beside
    assert [f.kind for f in found.findings] == ([] if beside else [SMALL, "one flipped bit"])


def test_one_element_is_too_little_to_accuse_one_of_many_weights() -> None:
    bound = next(b for b in small.reference().plan.steps if b.step.output_names[0] == CONVS[-1])
    weights = bound.step.inputs[1].name
    rng, cases = np.random.default_rng(0), small.reference().cases
    for _ in range(500):
        flipped = bound.consts[weights].copy()
        flipped.reshape(-1).view(np.uint8)[rng.integers(flipped.size)] ^= np.uint8(1 << int(rng.integers(6)))
        wrong = [evaluate(bound, case, small.reference().profile, consts={weights: flipped}) for case in cases]
        bits = [
            int(x) & 255
            for a, c in zip(wrong, cases, strict=True)
            for x in (a.astype(int) ^ c[CONVS[-1]].astype(int)).reshape(-1)
            if x
        ]
        if len(bits) == 1 and bits[0].bit_count() > 1:
            break
    else:
        raise AssertionError("no such flip")
    assert "one flipped bit" not in [f.kind for f in row(report(after(CONVS[-1], wrong)), CONVS[-1]).findings]
