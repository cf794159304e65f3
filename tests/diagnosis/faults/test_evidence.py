"""How much a difference tells: few elements bear no name alone, and every fault that explains all is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import qdqnp
from qdqnp.diagnosis import faults, other_profiles
from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.compare.report import CompareReport, CompareRow
from qdqnp.diagnosis.compare.status import FAULT, UNEXPLAINED
from qdqnp.diagnosis.faults import SMALL, Finding, Suspect
from qdqnp.diagnosis.faults.evidence import bears, bits_of
from qdqnp.diagnosis.faults.fault import FAULTS, Changed, fault_of_question
from qdqnp.diagnosis.rebind import evaluate
from qdqnp.diagnosis.replay import Reference
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.questions import Question
from tests.diagnosis import small
from tests.diagnosis.compare.test_compare import ADDS, CONVS, after
from tests.diagnosis.small import Array, report, row, tensors
from tests.ops.case import MS, one_node

CODES = [name for name, cases in tensors().items() if cases[0].dtype == np.int8]
IMAGES = [name for name in CODES if tensors()[name][0].ndim == 4 and min(tensors()[name][0].shape[1:]) > 3]
STEPS = {bound.step.output_names[0]: bound for bound in small.reference().plan.steps}


def kinds(found: CompareReport, name: str) -> list[str]:
    assert found.first is not None and found.first.name == name
    return [finding.kind for finding in found.first.findings]


# -- few elements ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", range(20))
def test_one_element_that_is_off_by_one_has_no_name_of_its_own(number: int, rng: np.random.Generator) -> None:
    """Whatever explains it, a small error would too."""
    name = str(rng.choice(CODES))
    wrong = [array.copy() for array in tensors()[name]]
    flat = wrong[int(rng.integers(2))].reshape(-1)
    at = int(rng.integers(flat.size))
    flat[at] += 1 if flat[at] < 127 and (rng.random() < 0.5 or flat[at] == -128) else -1
    dumped = {**tensors(), name: wrong} if number % 2 else after(name, wrong)
    first = report(dumped).first
    assert first is not None and first.name == name
    if first.findings:
        assert first.findings[0] == Finding(SMALL) and len(first.findings) > 1 and first.few
        assert first.explanation.startswith("on the evidence of one element: could be ")


@pytest.mark.parametrize("bit", range(8))
def test_one_flipped_bit_is_named_with_how_little_tells_of_it(bit: int) -> None:
    name = CONVS[5]
    wrong = [array.copy() for array in tensors()[name]]
    wrong[1].reshape(-1).view(np.uint8)[7] ^= np.uint8(1 << bit)
    found = row(report(after(name, wrong)), name)
    assert [finding.kind for finding in found.findings if finding.kind != SMALL][:1] in ([], ["one flipped bit"])
    if bit > 2:
        assert found.explanation.startswith("on the evidence of one element: one flipped bit (bit")


def test_a_fault_of_many_elements_is_named_without_reserve() -> None:
    wrong = [np.zeros_like(array) for array in tensors()[CONVS[1]]]
    found = row(report(after(CONVS[1], wrong)), CONVS[1])
    assert not found.few and found.explanation == "all zero (0 everywhere)"
    assert found.as_json()["findings"] == [{"kind": "all zero", "detail": "0 everywhere", "others": 0}]


def test_bits_of_evidence() -> None:
    zero = np.zeros(8, np.int8)
    assert bits_of([zero], [zero]) == 0
    assert bits_of([zero, zero], [zero, np.int8([1, 0, 0, -1, 0, 0, 0, 0])]) == 2
    assert bits_of([zero], [np.int8([3, 0, 0, 0, 0, 0, 0, 0])]) == 2
    assert bits_of([np.float32([1, np.inf])], [np.float32([-1, 1])]) == 16
    assert bears(4, 1) and not bears(3.9, 1) and bears(12, 256) and not bears(11.9, 256)


def test_of_several_ways_it_is_said_that_there_are_others() -> None:
    assert str(Finding("a")) == "a" and str(Finding("a", "b")) == "a (b)"
    assert str(Finding("a", "b", 1)) == "a (b, or in 1 other way)"
    assert str(Finding("a", "", 3)) == "a (or in 3 other ways)"


def test_several_faults_are_possible_ones() -> None:
    found = CompareRow("y", "y", "l", "Conv", (1,), "int8", ["l"], ["x"], status=FAULT)
    found.single.differing, found.findings = 5, [Finding("a"), Finding("b")]
    assert found.explanation == "could be a or b"
    found.few = True
    assert found.explanation == "on the evidence of 5 elements: could be a or b"


# -- what was taken for a shift or a bit -------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ADDS)
@pytest.mark.parametrize("here", [0, 1])
def test_an_addition_that_reads_one_buffer_twice(name: str, here: int) -> None:
    names = STEPS[name].step.input_names
    read = [{**case, names[here]: case[names[1 - here]]} for case in small.reference().cases]
    found = report(after(name, [STEPS[name].evaluate(case)[name] for case in read]))
    assert kinds(found, name) == ["aliased operand"]
    assert f"input {here} holds what input {1 - here} does" in found.verdict()[0]


def test_a_layer_that_reads_an_earlier_layers_tensor() -> None:
    name = CONVS[6]
    source, cases = STEPS[name].step.input_names[0], small.reference().cases
    other = next(
        n
        for n in CODES[: CODES.index(source)]
        if cases[0][n].size >= cases[0][source].size and not np.array_equal(cases[0][n], cases[0][source])
    )
    shape = cases[0][source].shape
    read = [{**case, source: case[other].reshape(-1)[: case[source].size].reshape(shape)} for case in cases]
    found = report(after(name, [STEPS[name].evaluate(case)[name] for case in read]))
    assert "another layer's tensor" in kinds(found, name) and f"'{other}' read as input" in found.verdict()[0]


Change = Callable[[Array], Array]


def half_for_both(array: Array) -> Array:
    made, half = array.copy(), array.shape[1] // 2
    made[:, half : 2 * half] = array[:, :half]
    return made


def row_twice(array: Array) -> Array:
    made = array.copy()
    made[:, :, 3] = array[:, :, 2]
    return made


@pytest.mark.parametrize(
    ("change", "words"), [(half_for_both, "channels"), (row_twice, "row 3 holds what row 2 should")]
)
@pytest.mark.parametrize("in_dump_only", [False, True])
def test_a_part_that_holds_another_is_not_shifted(
    change: Change, words: str, in_dump_only: bool, rng: np.random.Generator
) -> None:
    name = str(rng.choice(IMAGES))
    wrong = [change(array) for array in tensors()[name]]
    found = report({**tensors(), name: wrong} if in_dump_only else after(name, wrong))
    assert "a part holds another part" in kinds(found, name) and "row shifted" not in kinds(found, name)
    assert words in found.verdict()[0]


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_clamp_at_another_code(share: float, rng: np.random.Generator) -> None:
    name = str(rng.choice(IMAGES))
    bound = np.int8(np.quantile(np.concatenate(tensors()[name]), share))
    side = np.minimum if share > 0.5 else np.maximum
    found = report(after(name, [side(array, bound) for array in tensors()[name]]))
    words = f"the {'highest' if share > 0.5 else 'lowest'} is {bound}"
    assert "wrong clamp" in kinds(found, name) and words in found.verdict()[0]


def test_a_clamp_on_both_sides() -> None:
    name = CONVS[4]
    low, high = (np.int8(np.quantile(np.concatenate(tensors()[name]), share)) for share in (0.2, 0.8))
    found = report(after(name, [np.clip(array, low, high) for array in tensors()[name]]))
    assert kinds(found, name) == ["wrong clamp"]
    assert f"the lowest is {low}, the highest is {high}" in found.verdict()[0]


def test_the_highest_code_less_one_is_too_little_for_a_clamp() -> None:
    name = CONVS[4]
    highest = max(int(array.max()) for array in tensors()[name])
    wrong = [np.minimum(array, np.int8(highest - 1)) for array in tensors()[name]]
    assert sum(int((a != b).sum()) for a, b in zip(wrong, tensors()[name], strict=True)) < 12
    assert "wrong clamp" not in kinds(report(after(name, wrong)), name)


# -- biases ------------------------------------------------------------------------------------------------------------
def with_bias(name: str, change: Callable[[Array], Array]) -> list[Array]:
    bound = STEPS[name]
    bias = bound.step.inputs[2].name
    changed = change(bound.consts[bias].copy())
    return [
        evaluate(bound, case, small.reference().profile, consts={bias: changed}) for case in small.reference().cases
    ]


def test_a_bias_that_is_anything_is_not_said_to_be_a_flipped_one() -> None:
    """In every convolution one bias that is larger by what is no power of two."""
    alone = 0
    for name in CONVS:

        def larger(bias: Array) -> Array:
            bias[1] += 1500
            return bias

        wrong = with_bias(name, larger)
        if any((a != b).any() for a, b in zip(wrong, tensors()[name], strict=True)):
            found = kinds(report(after(name, wrong)), name)
            alone += len(found) == 1
            assert not found or len(found) > 1, (name, found)
    assert not alone


def test_a_dropped_bias_is_told_from_others_where_many_elements_tell() -> None:
    name = CONVS[0]

    def dropped(bias: Array) -> Array:
        bias[int(np.argmax(np.abs(bias)))] = 0
        return bias

    found = report(after(name, with_bias(name, dropped)))
    assert kinds(found, name) == ["one channel's bias dropped"]


# -- recognizers that fail ---------------------------------------------------------------------------------------------
@pytest.fixture()
def broken() -> Iterator[None]:
    known = list(FAULTS)

    @fault_of_question("broken fault", Question)
    def fails(question: Question, rule: object) -> Iterator[Changed]:
        raise ZeroDivisionError("by what it does not expect")
        yield

    yield
    FAULTS[:] = known


def dies(suspect: Suspect) -> Iterator[Finding]:
    raise MemoryError("of all things")
    yield


def test_a_recognizer_that_fails_is_reported_and_takes_nothing_with_it(
    broken: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "CERTAIN", (dies, *faults.CERTAIN))
    name = CONVS[5]
    found = report(after(name, [np.maximum(array, np.int8(20)) for array in tensors()[name]]))
    assert kinds(found, name) == ["wrong clamp"] and found.exit_code == 1
    assert len(row(found, name).failed) == 2 and len(found.verdict()) == 3
    assert "'broken fault' failed: ZeroDivisionError: by what it does not expect" in found.verdict()[2]
    assert "'test_evidence.dies' failed: MemoryError" in found.verdict()[1]
    assert all(not r.failed for r in found.rows if r.name != name)


def test_a_search_for_other_arithmetics_that_fails_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: object) -> None:
        raise TypeError("no such rule")

    monkeypatch.setattr(other_profiles, "explanations", fails)
    found = report(after(CONVS[5], [array[..., ::-1] for array in tensors()[CONVS[5]]]))
    assert row(found, CONVS[5]).status == UNEXPLAINED and "'other arithmetics' failed" in found.verdict()[-1]


# -- operators that none of the networks has ---------------------------------------------------------------------------
def test_the_bias_of_a_network_may_be_one_number(rng: np.random.Generator) -> None:
    x = rng.integers(-128, 128, (4, 6)).astype(np.int8)
    w = rng.integers(-128, 128, (6, 3)).astype(np.int8)
    one, zero = np.float32(0.02), np.int8(0)
    arguments = [("x", x), ("xs", one), ("xz", zero), ("w", w), ("ws", one), ("wz", zero), ("b", np.int32(900))]
    case = one_node("QGemm", [*arguments, ("ys", np.float32(0.1)), ("yz", zero)], domain=MS)
    changed = onnx.ModelProto()
    changed.CopyFrom(case.model)
    (bias,) = (item for item in changed.graph.initializer if item.name == "b")
    bias.CopyFrom(numpy_helper.from_array(np.int32(0), "b"))
    reference = Reference(qdqnp.load(case.model), PROFILES["ort"], [{"x": x}])
    dump = small.dump({"y": [qdqnp.load(changed).run({"x": x})["y"]]})
    found = compare(reference, align(dump, reference.targets, 1))
    assert not found.rows[0].failed and "all biases dropped" in [f.kind for f in found.rows[0].findings]
