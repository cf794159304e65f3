"""What a comparison left out: entries, layers and inputs; and that a comparison of nothing is no success."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import CompareOptions, compare
from qdqnp.diagnosis.compare.report import CompareReport
from qdqnp.diagnosis.dump import Dump, DumpEntry
from qdqnp.diagnosis.replay import Reference
from qdqnp.numerics.profiles import PROFILES
from tests.diagnosis import small
from tests.diagnosis.compare.test_compare import CONVS, after, disturbed
from tests.diagnosis.small import report, tensors

OUTPUT = small.reference().targets[-1].name


def test_the_outputs_tell_of_every_layer() -> None:
    found = report({OUTPUT: tensors()[OUTPUT]})
    assert found.equal and found.complete and found.exit_code == 0 and not found.uncovered
    assert len(found.not_dumped) > 20 and all(tensor.through for tensor in found.not_dumped)


def test_layers_behind_the_last_dumped_one_are_not_compared() -> None:
    """Every layer that is computed from it, and those beside it; none of those before it."""
    steps = [bound.step for bound in small.reference().plan.steps]
    last = CONVS[-1]
    found = report({last: tensors()[last]})
    behind = {last}
    for step in steps:
        behind |= set(step.output_names) if behind & set(step.input_names) else set()
    assert behind - {last} <= {tensor.name for tensor in found.uncovered}
    index = next(i for i, step in enumerate(steps) if last in step.output_names)
    assert not {tensor.name for tensor in found.uncovered} & set(steps[index].input_names)
    assert found.exit_code == 2 and not found.equal and found.verdict()[0].startswith("no verdict: 0 of ")
    accepted = report({last: tensors()[last]}, partial=True)
    assert accepted.exit_code == 0 and accepted.not_compared() == found.not_compared()
    assert not accepted.complete and accepted.verdict()[0].endswith("the rest was left out")


def test_a_difference_is_one_in_a_part_as_well() -> None:
    found = report({CONVS[2]: disturbed(CONVS[2])})
    assert found.uncovered and found.exit_code == 1


def test_an_input_says_nothing_of_the_device_even_where_it_differs() -> None:
    right = [feeds["input"] for feeds in small.feeds()]
    for values in (right, [array + 1 for array in right]):
        for partial in (False, True):
            found = report({"input": values}, partial=partial)
            assert not found.computed and found.exit_code == 2 and "input" in found.not_compared()[0]


def test_inputs_from_the_first_one_on_count() -> None:
    def of(cases: slice, first: int) -> CompareReport:
        arrays = {name: array[cases] for name, array in tensors(count=3).items()}
        return compare(small.reference(count=3), small.aligned(arrays, count=3), CompareOptions(), first)

    assert of(slice(1, 3), 1).exit_code == 0 and of(slice(2, 3), 2).exit_code == 0
    assert of(slice(0, 1), 0).missing == [1, 2] and of(slice(1, 2), 1).missing == [2]
    assert of(slice(1, 2), 1).exit_code == 2


def test_a_guess_by_order_is_said() -> None:
    names = [target.name for target in small.reference().targets if target.step >= 0]
    entries = tuple(DumpEntry(f"out{i}", np.concatenate(tensors()[name])) for i, name in enumerate(names))
    found = compare(small.reference(), align(Dump(small.dump({}).path, entries), small.reference().targets, 2))
    assert found.equal and found.by_order and "a guess" in found.not_compared()[-1]
    assert not report(tensors()).by_order and report(tensors()).not_compared() == []


def integers_in(nodes: list[object]) -> Reference:
    """A network whose input are codes: x, read by these nodes; y is its output."""
    constants = [numpy_helper.from_array(np.float32(0.1), "s"), numpy_helper.from_array(np.int8(3), "z")]
    inputs = [helper.make_tensor_value_info("x", TensorProto.INT8, [1, 4])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])]
    graph = helper.make_graph(nodes, "codes", inputs, outputs, constants)
    model = qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    return Reference(model, PROFILES["ort"], [{"x": np.int8([[1, -2, 3, 4]])}])


def test_the_values_of_an_input_are_computed() -> None:
    """The float output of a DequantizeLinear is compared by its codes, which here are what the device was given."""
    reference = integers_in([helper.make_node("DequantizeLinear", ["x", "s", "z"], ["y"], "dq")])
    dump = small.dump({"y": [reference.cases[0]["y"]]})
    assert compare(reference, align(dump, reference.targets, 1)).exit_code == 0
    dump.entries[0].array[0, 1] += np.float32(0.1)
    assert compare(reference, align(dump, reference.targets, 1)).exit_code == 1


@pytest.mark.parametrize("count", [1, 7])
def test_of_many_entries_the_first_are_named(count: int) -> None:
    extra = {f"extra{i}": [np.zeros(3, np.int8)] for i in range(count)}
    found = report({**tensors(), **extra})
    (line,) = found.not_compared()
    assert f"{count} entr{'y' if count == 1 else 'ies'} of the dump" in line
    assert [f"'extra{i}'" in line for i in range(count)] == [i < 5 for i in range(count)]
    assert found.unused == list(extra) and found.exit_code == 2


def test_a_wrong_layer_is_found_with_all_that_is_missing() -> None:
    name = CONVS[5]
    dumped = {key: array for key, array in after(name, disturbed(name)).items() if key in (name, OUTPUT)}
    found = report({**dumped, "nonsense": [np.zeros(3, np.int8)]})
    assert found.exit_code == 1 and found.first is not None and found.first.name == name
