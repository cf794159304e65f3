"""Running models: the seams that the architecture rests on, inputs and outputs, and equality with ONNX Runtime."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.diagnosis.verify import verify
from qdqnp.errors import InputError, ProfileError
from qdqnp.graph import Graph
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.kernels.strategy import STRATEGIES
from qdqnp.limits import SHAPES_KEPT
from qdqnp.lowering import LOWERINGS, Lowering
from qdqnp.lowering.base import Log, Pass
from qdqnp.numerics.profiles import profile_named
from qdqnp.numerics.profiles.neural_art import TIE
from qdqnp.numerics.profiles.ort import ORT
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine
from qdqnp.numerics.values import BoundRule, clipped
from qdqnp.numerics.width import saturate_to
from qdqnp.peers.ort.peer import OrtPeer
from tests.networks import dla

VARIANTS = {
    "s8": {},
    "s8-grouped": {"group": 4},
    "s8-per-tensor": {"per_channel": False},
    "u8": {"dtype": np.uint8},
    "u8-grouped": {"dtype": np.uint8, "group": 8},
}


@pytest.fixture(scope="module")
def proto() -> onnx.ModelProto:
    return dla()


@pytest.fixture(scope="module")
def model(proto: onnx.ModelProto) -> qdqnp.Model:
    return qdqnp.load(proto)


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(7).standard_normal((1, 3, 16, 16), dtype=np.float32)


# -- equality with ONNX Runtime ----------------------------------------------------------------------------------
@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_tensor_of_a_dla_equals_onnxruntime(options: dict) -> None:
    proto = dla(seed=3, **options)
    model = qdqnp.load(proto)
    report = verify(model, OrtPeer(proto), random_feeds(model.program(), 20, seed=1))
    assert report.equal, report.verdict()
    assert report.distinct_outputs == 20
    # an empty comparison cannot pass: activations live, and everything that ONNX Runtime fuses, we have
    assert min(len(layer.seen) for layer in report.layers if layer.op == "QLinearConv") > 20
    assert report.only_theirs == ()
    assert all(layer.promise == "exact" for layer in report.layers)
    assert {"QLinearConv", "QLinearAdd", "QLinearConcat", "MaxPool", "QLinearGlobalAveragePool"} <= {
        layer.op for layer in report.layers
    }


def test_dynamic_batch_runs_at_any_size(x: np.ndarray) -> None:
    dynamic = qdqnp.load(dla(batch="N"))
    one = dynamic.run(x)
    three = dynamic.run(np.concatenate([x, -x, 2 * x]))
    name = dynamic.program().outputs[0]
    np.testing.assert_array_equal(three[name][:1], one[name])
    np.testing.assert_array_equal(three[name][2:], dynamic.run(2 * x)[name])


# -- seam 1: Graph and Program are two types, the profile picks the lowering ---------------------------------------
def test_a_second_lowering_runs_beside_ort(model: qdqnp.Model, x: np.ndarray) -> None:
    unfused = Lowering("unfused-in-test", ())
    ops = {step.op for step in model.program(lowering=unfused).steps}
    assert "Conv" in ops and "QLinearConv" not in ops
    before = model.run(x)
    trace = model.trace(x, lowering=unfused)
    after = model.run(x)
    (name,) = before
    np.testing.assert_array_equal(before[name], after[name])
    # tensors are aligned across lowerings by ONNX name; what is integer in both and comes first is equal
    assert set(model.trace(x)) <= set(trace)
    np.testing.assert_array_equal(trace["input_q"], model.trace(x)["input_q"])
    for bound in model.plan(lowering=unfused).steps:
        alone = bound.evaluate({key: trace[key] for key in bound.step.input_names if key in trace})
        for key, array in alone.items():
            np.testing.assert_array_equal(array, trace[key])
    assert model.plan().promises[name].exact


# -- seam 2: the unit of execution is one step on explicit inputs ----------------------------------------------------
def test_each_step_alone_equals_its_traced_tensor(model: qdqnp.Model, x: np.ndarray) -> None:
    trace = model.trace(x)
    for bound in model.plan().steps:
        inputs = {name: trace[name] for name in bound.step.input_names if name in trace}
        for name, array in bound.evaluate(inputs).items():
            assert array.dtype == trace[name].dtype
            np.testing.assert_array_equal(array, trace[name], err_msg=bound.step.label)


def test_a_step_without_its_input_says_so(model: qdqnp.Model) -> None:
    with pytest.raises(qdqnp.InputError, match="input 'input_q': expected an array, got nothing"):
        next(b for b in model.plan().steps if b.step.op == "QLinearConv").evaluate({})


def test_a_step_checks_its_inputs_as_a_run_does(model: qdqnp.Model, x: np.ndarray) -> None:
    trace = model.trace(x)
    bound = next(b for b in model.plan().steps if b.step.op == "QLinearConv")
    (source,) = (name for name in bound.step.input_names if name in trace)
    (made,) = bound.step.output_names
    codes = trace[source]
    np.testing.assert_array_equal(bound.evaluate(codes)[made], trace[made])
    np.testing.assert_array_equal(bound.evaluate(trace)[made], trace[made])
    wrong = {
        "float32": codes.astype(np.float32),
        "int16": codes.astype(np.int16) + 1000,
        "uint8": codes.view(np.uint8),
        "object": codes.astype(object),
        "shape": codes[:, :2],
        "rank": codes[0],
    }
    for what, array in wrong.items():
        with pytest.raises(qdqnp.InputError, match=f"input '{source}': expected "):
            bound.evaluate({source: array})
            pytest.fail(f"{what} passed")
    with pytest.raises(qdqnp.InputError, match="input 'no_such': expected a tensor of the model"):
        bound.evaluate({source: codes, "no_such": codes})
    weights = bound.step.input_names[1]
    with pytest.raises(qdqnp.InputError, match=f"input '{weights}': expected int8 codes, got float32"):
        bound.evaluate({source: codes, weights: bound.consts[weights].astype(np.float32)})


def test_a_step_of_two_tensors_wants_names(model: qdqnp.Model, x: np.ndarray) -> None:
    bound = next(b for b in model.plan().steps if b.step.op == "QLinearAdd")
    with pytest.raises(qdqnp.InputError, match="does not read exactly one tensor"):
        bound.evaluate(np.zeros(3, np.int8))


# -- seam 3: sum and finish are separate, a profile is a value -------------------------------------------------------
@dataclass(frozen=True)
class ShiftOnly:
    """A made-up device: multiplies sums by no scale but halves them `shift` times, rounding down; adds bias after."""

    shift: int
    status: str = "test"

    def bind(self, layer):
        rule = self

        class Bound:
            expression = None

            def __init__(self) -> None:
                self.parameters = {"shift": np.int64(rule.shift)}
                self.slope, self.y = None, layer.y
                self.bias = layer.wide_bias

            def __call__(self, sums):
                return saturate_to((sums >> rule.shift) + int(layer.y.zero_point), layer.y)

        return Bound()


@dataclass(frozen=True)
class WrongWayAdd:
    """A made-up device that adds raw codes."""

    status: str = "test"

    def bind(self, a, b, y):
        class Bound(BoundRule):
            def stages(self, left, right):
                return clipped(left.astype(np.int64) + right.astype(np.int64), y)

        return Bound()


def test_a_second_profile_changes_conv_and_add_only(model: qdqnp.Model, x: np.ndarray) -> None:
    device = replace(ORT, name="device-in-test", conv=ShiftOnly(9), add=WrongWayAdd())
    trace, plan = model.trace(x, profile=device), model.plan(device)
    ours = model.plan("ort")
    checked = set()
    for bound, usual in zip(plan.steps, ours.steps, strict=True):
        inputs = {name: trace[name] for name in bound.step.input_names if name in trace}
        (name,) = bound.step.output_names
        got = trace[name]
        if bound.step.op == "QLinearConv":
            (part,) = usual.questions(inputs)
            sums = np.empty(got.shape, np.int64)
            part.put(sums, part.question.sums)
            np.testing.assert_array_equal(
                got, np.clip((sums >> 9) + int(bound.step.outputs[0].quant.zero_point), -128, 127)
            )
        elif bound.step.op == "QLinearAdd":
            a, b = (inputs[n].astype(int) for n in bound.step.input_names)
            np.testing.assert_array_equal(got, np.clip(a + b, -128, 127))
        else:
            np.testing.assert_array_equal(got, usual.evaluate(inputs)[name])
        checked.add(bound.step.op)
    assert {"QLinearConv", "QLinearAdd", "QLinearConcat"} <= checked


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_gives_the_same_tensors(model: qdqnp.Model, x: np.ndarray, strategy: str) -> None:
    usual, forced = model.trace(x, accumulators=True), model.trace(x, strategy=strategy, accumulators=True)
    assert list(usual) == list(forced)
    for name, array in usual.items():
        np.testing.assert_array_equal(array, forced[name])
    for name, array in usual.accumulators.items():
        assert array.dtype == np.int32
        np.testing.assert_array_equal(array, forced.accumulators[name])
    assert len(usual.accumulators) == sum(
        step.op in ("QLinearConv", "QLinearGlobalAveragePool") for step in model.program().steps
    )


# -- seam 4 and re-entrancy -----------------------------------------------------------------------------------------
def test_two_threads_agree_and_a_kept_trace_survives(model: qdqnp.Model, x: np.ndarray) -> None:
    first = model.trace(x)
    copies = {name: array.copy() for name, array in first.items()}
    found: dict[int, list] = {0: [], 1: []}

    def work(index: int) -> None:
        for _ in range(5):
            found[index].append(model.run(x if index == 0 else -x))

    threads = [threading.Thread(target=work, args=(index,)) for index in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, arrays in found.items():
        want = model.run(x if index == 0 else -x)
        for outputs in arrays:
            for name in want:
                np.testing.assert_array_equal(outputs[name], want[name])
    for name, array in first.items():
        np.testing.assert_array_equal(array, copies[name])


def bits(model: qdqnp.Model, x: np.ndarray) -> bytes:
    return b"".join(array.tobytes() for array in model.run(x).values())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_forked_while_another_thread_works_can_work(proto: onnx.ModelProto, x: np.ndarray) -> None:
    """Lowering, binding and running in one thread, forks in another: no lock of ours stays locked in the child."""
    wanted = bits(qdqnp.load(proto), x)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            qdqnp.load(proto).run(x)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                signal.alarm(60)  # a child that hangs ends by a signal
                os._exit(0 if bits(qdqnp.load(proto), x) == wanted else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()


def test_a_model_that_is_being_lowered_is_not_locked(x: np.ndarray, proto: onnx.ModelProto) -> None:
    """While one thread lowers it, another lowers and runs it; so can a child that is forked then."""
    model = qdqnp.load(proto)
    found: list[bytes] = []

    def meanwhile(graph: Graph, log: Log) -> Graph:
        thread = threading.Thread(target=lambda: found.append(bits(model, x)))
        thread.start()
        thread.join(60)
        return graph

    usual = LOWERINGS["ort"]
    slow = replace(usual, name="slow", passes=(Pass("meanwhile", meanwhile), *usual.passes))
    model.run(x, lowering=slow)
    assert found == [bits(model, x)]


def test_a_model_can_be_pickled_and_copied(model: qdqnp.Model, x: np.ndarray) -> None:
    wanted = model.run(x)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), copy.copy(model)):
        found = other.run(x)
        assert {name: array.tobytes() for name, array in found.items()} == {
            name: array.tobytes() for name, array in wanted.items()
        }
        consts = [value.const for value in other.graph.values.values() if value.const is not None]
        assert consts and not any(const.flags.writeable for const in consts)
        with pytest.raises(TypeError):
            other.graph.values["new"] = None
        with pytest.raises(TypeError):
            other.graph.nodes[0].attributes["new"] = 1


def test_what_is_remembered_of_shapes_is_bounded() -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "any",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = qdqnp.load(proto)
    for size in range(3 * SHAPES_KEPT):
        assert model.run(np.full(size, -1, np.float32))["y"].shape == (size,)
    plan = model.plan()
    assert len(plan._settled) <= SHAPES_KEPT and len(plan._admitted) <= SHAPES_KEPT


def test_nothing_returned_shares_memory(model: qdqnp.Model, x: np.ndarray) -> None:
    trace, outputs = model.trace(x), model.run(x)
    arrays = [*trace.values(), *outputs.values()]
    for index, one in enumerate(arrays):
        assert not np.shares_memory(one, x)
        assert not any(np.shares_memory(one, other) for other in arrays[:index])
    constants = [t.const for t in model.program().tensors.values() if t.const is not None]
    assert constants and not any(array.flags.writeable for array in constants)


def test_an_output_that_is_an_input_or_a_constant_is_a_copy() -> None:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in ("y", "x", "c")],
        [numpy_helper.from_array(np.ones(2, np.float32), "c")],
    )
    model = qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    x = np.array([1, 2], np.float32)
    outputs = model.run(x)
    assert not any(np.shares_memory(array, x) for array in outputs.values())
    assert {name: array.tolist() for name, array in outputs.items()} == {"y": [1, 2], "x": [1, 2], "c": [1, 1]}
    assert all(array.flags.writeable for array in outputs.values())


# -- codes in, codes out ----------------------------------------------------------------------------------------------
def test_codes_are_accepted_and_returned(model: qdqnp.Model, x: np.ndarray) -> None:
    trace = model.trace(x)
    codes = trace["input_q"]
    (name,) = model.program().outputs
    from_codes = model.run(codes, codes=True)[name]
    assert from_codes.dtype == np.int8
    last = model.program().steps[-1].inputs[0]
    np.testing.assert_array_equal(from_codes, trace[last.name])
    real = (from_codes.astype(np.float32) - int(last.quant.zero_point)) * last.quant.scale
    np.testing.assert_array_equal(real, model.run(x)[name])
    np.testing.assert_array_equal(model.run(codes)[name], model.run(x)[name])
    assert "input" not in model.trace(codes) and "input_q" in model.trace(codes)


def test_outputs_without_codes_are_refused() -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])],
    )
    model = qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    with pytest.raises(qdqnp.InputError, match="output 'y': expected the result of a DequantizeLinear"):
        model.run(np.ones(2, np.float32), codes=True)


# -- inputs that do not fit -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"input 'input': expected an array, got nothing"),
        ({"inptu": np.ones((1, 3, 16, 16), np.float32)}, r"input 'inptu': expected a name of the model's inputs"),
        (np.ones((1, 3, 16, 16)), r"input 'input': expected float32 or int8 codes, got float64"),
        (np.ones((1, 3, 16, 16), np.uint8), r"expected float32 or int8 codes, got uint8"),
        (np.ones((3, 16, 16), np.float32), r"expected rank 4, shape \[1, 3, 16, 16\], got shape \[3, 16, 16\]"),
        (np.ones((1, 3, 16, 17), np.float32), r"input 'input', axis 3: expected 16, got 17"),
    ],
)
def test_wrong_inputs_get_a_clear_error(model: qdqnp.Model, inputs, message: str) -> None:
    with pytest.raises(qdqnp.InputError, match=message):
        model.run(inputs)


def test_a_batch_that_needs_terabytes_is_refused_before_it_is_allocated() -> None:
    dynamic = qdqnp.load(dla(batch="N", size=64))
    huge = np.broadcast_to(np.float32(0), (2**27, 3, 64, 64))
    with pytest.raises(qdqnp.InputError, match="need too much memory"):
        dynamic.run(huge)


def test_an_unknown_profile_names_the_known_ones(model: qdqnp.Model, x: np.ndarray) -> None:
    with pytest.raises(qdqnp.ProfileError, match=r"one of .*ort.*, got 'orf'"):
        model.run(x, profile="orf")


# -- a lowering that makes int8 codes uint8 ---------------------------------------------------------------------------
def test_codes_go_in_and_come_out_as_the_file_has_them() -> None:
    """Under ort-x64 the first quantizer's codes and the output's are uint8 inside."""
    model = qdqnp.load(dla(seed=3))
    program = model.program("ort-x64")
    first = next(step for step in program.steps if step.op == "QuantizeLinear")
    assert program.tensors[first.output_names[0]].dtype == np.uint8
    codes = np.random.default_rng(0).integers(-128, 128, program.tensors["input"].shape, dtype=np.int8)
    quant = model.program().steps[0].outputs[0].quant
    real = ((codes.astype(np.float32) - np.float32(quant.zero_point)) * quant.scale).astype(np.float32)
    by_codes, by_values = (model.run(x, profile="ort-x64", codes=True) for x in (codes, real))
    (name,) = by_codes
    assert by_codes[name].dtype == np.int8
    np.testing.assert_array_equal(by_codes[name], by_values[name])
    with pytest.raises(qdqnp.errors.InputError, match="int8 codes"):
        model.run(codes.astype(np.uint8), profile="ort-x64")


@pytest.mark.parametrize("name", ["golden_sets", "stimuli", "diagnosis"])
def test_rooms_of_the_public_api_are_there_when_asked_for(name: str) -> None:
    """In a process of its own: here other tests have imported them already. Running a model imports none of them."""
    code = f"import sys, qdqnp; before = 'qdqnp.{name}' in sys.modules; print(before, qdqnp.{name}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", f"qdqnp.{name}"]


def test_a_run_imports_no_hashes_no_random_numbers_and_no_pool_of_threads() -> None:
    """OpenSSL alone, which hashes bring with them, would take 3.5 MB of memory."""
    code = (
        "import sys, numpy, qdqnp; from qdqnp.inputs.shipped import shipped_model; "
        "model = qdqnp.load(shipped_model('dla46_c_int8')); model.run(numpy.zeros((1, 3, 32, 32), numpy.float32)); "
        "print({'hashlib', '_hashlib', 'secrets', 'numpy.random', 'concurrent.futures', 'logging'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_example_of_stimuli_works_after_importing_qdqnp_alone() -> None:
    code = "import qdqnp; print(callable(qdqnp.stimuli.for_layer), callable(qdqnp.golden_sets.read))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]


def test_values_for_a_layer_that_does_not_exist_are_refused(model: qdqnp.Model) -> None:
    """Ignored, a typo would leave the layer as it is."""
    conv = next(step for step in model.program().steps if step.op == "QLinearConv")
    shifts = (("S2", 14),)
    art = profile_named("neural-art")
    for label in (conv.label, conv.label + "x"):
        hidden = replace(art, conv=NarrowThenAffine(TIE, overrides=((label, shifts),)))
        if label == conv.label:
            assert model.plan(hidden).steps
            continue
        with pytest.raises(ProfileError, match=r"conv.overrides: expected a layer of the model") as caught:
            model.plan(hidden)
        assert label in str(caught.value)


# -- promises --------------------------------------------------------------------------------------------------------
def softpluses() -> qdqnp.Model:
    """y = Softplus(Softplus(x)); z = Softplus(x) + y: three tensors in doubt, for which the first one is to blame."""
    nodes = [
        helper.make_node("Softplus", ["x"], ["s"], name="first"),
        helper.make_node("Softplus", ["s"], ["y"], name="second"),
        helper.make_node("Add", ["s", "y"], ["z"], name="sum"),
    ]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3]) for name in "xyz"]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:])
    return qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))


def test_the_first_step_that_is_not_exact_is_named() -> None:
    promises = softpluses().plan().promises
    assert promises["x"].exact
    assert [promises[name].step for name in "syz"] == ["first"] * 3
    assert all("'first'" in promises[name].reason for name in "syz")


def sum_of_two(second: list[int | str]) -> qdqnp.Model:
    shapes = {"a": ["N", 3], "b": second, "y": None}
    a, b, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["y"])], "g", [a, b], [y])
    return qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))


def test_a_size_of_one_name_is_one_size_in_all_inputs() -> None:
    """2 and 1 would broadcast: nobody but the name says that they must not."""
    two, one = np.ones((2, 3), np.float32), np.ones((1, 3), np.float32)
    named = sum_of_two(["N", 3])
    assert named.run({"a": two, "b": two})["y"].shape == (2, 3)
    with pytest.raises(InputError, match=r"input 'b', axis 0 \('N'\): expected 2, as in input 'a', got 1"):
        named.run({"a": two, "b": one})
    assert sum_of_two(["M", 3]).run({"a": two, "b": one})["y"].tolist() == [[2.0] * 3] * 2
