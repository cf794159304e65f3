"""Operators that are given for a load: what such a class may say, and that nothing else knows it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference.op_run import OpRun

import qdqnp
from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.dump import read_dump
from qdqnp.diagnosis.dump_writer import write_dump
from qdqnp.diagnosis.explain.explain import explain
from qdqnp.diagnosis.reference import reference_from
from qdqnp.errors import InputError, ModelError, ProfileError
from qdqnp.golden_sets import write
from qdqnp.numerics.profiles import PROFILES
from qdqnp.ops import registry
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator

DOMAIN = "com.example"


class Half:
    """x >> by, exactly."""

    op_domain = DOMAIN
    exact = True

    def _run(self, x: np.ndarray, by: int = 1) -> tuple[np.ndarray]:
        return (x >> np.asarray(by, x.dtype),)


class Scaled:
    """x * factor + offset, where an offset is given."""

    op_domain = DOMAIN

    def _run(self, x: np.ndarray, offset: np.ndarray | None = None, factor: float = 2.0) -> np.ndarray:
        made = x * np.float32(factor)
        return made if offset is None else made + offset


class InvAlpha(OpRun):
    """onnx's own example of a custom operator, as its documentation has it."""

    op_domain = DOMAIN

    def _run(self, x: np.ndarray, alpha: float | None = None) -> tuple[np.ndarray]:
        alpha = alpha or self.alpha
        return (1 / (x + alpha),)


def model_of(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: list[str],
    constants: dict[str, np.ndarray] | None = None,
) -> onnx.ModelProto:
    given = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    made = [onnx.ValueInfoProto(name=name) for name in outputs]
    held = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "given", given, made, held)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def node(op: str, inputs: list[str], output: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], op.lower(), domain=DOMAIN, **attributes)


def one(kind: type, inputs: list[str] | None = None, shape: list[Any] | None = None, **attributes: Any) -> qdqnp.Model:
    """Load a model of one node of a class; all inputs are float32 of one shape."""
    names = inputs or ["x"]
    declared = {name: (TensorProto.FLOAT, shape or [2, 3]) for name in names if name}
    return qdqnp.load(model_of([node(kind.__name__, names, **attributes)], declared, ["y"]), operators=[kind])


X = np.float32([[1, -2, 3], [4, 5, -6]])


# -- what a class may say ----------------------------------------------------------------------------------------------
def test_attributes_come_by_name_and_have_the_defaults_of_the_method() -> None:
    assert np.array_equal(one(Scaled).run(X)["y"], X * 2)
    assert np.array_equal(one(Scaled, factor=3.0).run(X)["y"], X * 3)


def test_optional_inputs_that_are_absent_are_none() -> None:
    model = one(Scaled, ["x", "offset"])
    assert np.array_equal(model.run({"x": X, "offset": X})["y"], X * 3)
    assert np.array_equal(one(Scaled, ["x", ""]).run(X)["y"], X * 2)


def test_a_subclass_of_onnx_s_op_run_is_taken_as_it_is() -> None:
    model = one(InvAlpha, alpha=0.5)
    proto = model_of([node("InvAlpha", ["x"], alpha=0.5)], {"x": (TensorProto.FLOAT, [2, 3])}, ["y"])
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3]))
    expected = onnx.reference.ReferenceEvaluator(proto, new_ops=[InvAlpha]).run(None, {"x": X})[0]
    assert np.array_equal(model.run(X)["y"], expected)


def test_attributes_of_every_kind() -> None:
    class Kinds:
        op_domain = DOMAIN

        def _run(self, x: np.ndarray, **attributes: Any) -> np.ndarray:
            seen.append((attributes, self.numbers))  # type: ignore[attr-defined]
            return x

    seen: list[Any] = []
    tensor = numpy_helper.from_array(np.int8([1, 2]), "t")
    one(Kinds, numbers=[1, 2], floats=[0.5], text="a", tensor=tensor, number=3).run(X)
    attributes, numbers = seen[-1]
    assert numbers == attributes["numbers"] == [1, 2] and attributes["floats"] == [0.5]
    assert attributes["text"] == "a" and attributes["number"] == 3 and attributes["tensor"].tolist() == [1, 2]


def test_any_number_of_inputs_and_several_outputs() -> None:
    class Ends:
        op_domain = DOMAIN

        def _run(self, *xs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return np.minimum.reduce(xs), np.maximum.reduce(xs)

    made = helper.make_node("Ends", ["a", "b", "c"], ["low", "high"], "ends", domain=DOMAIN)
    declared = {name: (TensorProto.FLOAT, [2]) for name in "abc"}
    model = qdqnp.load(model_of([made], declared, ["low", "high"]), operators=[Ends])
    found = model.run({"a": np.float32([1, 9]), "b": np.float32([4, 4]), "c": np.float32([0, 5])})
    assert found["low"].tolist() == [0, 4] and found["high"].tolist() == [4, 9]


def test_operators_of_onnx_s_domain_that_qdqnp_lacks_may_be_given() -> None:
    class Missing:
        op_domain = ""

        def _run(self, x: np.ndarray) -> np.ndarray:
            return -x

    made = helper.make_node("Missing", ["x"], ["y"])
    model = qdqnp.load(model_of([made], {"x": (TensorProto.FLOAT, [2, 3])}, ["y"]), operators=[Missing])
    assert np.array_equal(model.run(X)["y"], -X)


# -- shapes ------------------------------------------------------------------------------------------------------------
class Joined:
    op_domain = DOMAIN

    def _run(self, x: np.ndarray) -> np.ndarray:
        return np.concatenate([x, x], axis=1).astype(np.float16)


def test_dtype_and_shape_are_read_off_a_trial() -> None:
    value = one(Joined).graph.values["y"]
    assert (value.dtype, value.shape) == (np.float16, (2, 6))


def test_sizes_that_are_not_known_stay_unknown_or_keep_their_name() -> None:
    model = one(Joined, shape=["N", 3])
    assert model.graph.values["y"].shape == ("N", 6)
    for count in (1, 2, 7):
        assert model.run(np.ones((count, 3), np.float32))["y"].shape == (count, 6)
    assert one(Joined, shape=[None, "W"]).graph.values["y"].shape == (None, None)


def test_a_run_of_known_shapes_calls_the_class_once() -> None:
    calls = []

    class Counted(Joined):
        def _run(self, x: np.ndarray) -> np.ndarray:
            calls.append(x.shape)
            return super()._run(x)

    model = one(Counted, shape=["N", 3])
    for count in (2, 5):
        model.run(np.zeros((count, 3), np.float32))
    calls.clear()
    for count in (2, 5, 5):
        model.run(np.zeros((count, 3), np.float32))
    assert calls == [(2, 3), (5, 3), (5, 3)]


class Stated(Joined):
    def _infer(self, x: np.ndarray) -> np.ndarray:
        return np.empty((x.shape[0], 2 * x.shape[1]), np.float16)

    def _run(self, x: np.ndarray) -> np.ndarray:
        assert np.all(x != 1), "a trial"
        return super()._run(x)


def test_what_an_operator_says_itself_needs_no_trial() -> None:
    model = one(Stated)
    assert model.graph.values["y"].shape == (2, 6)
    assert model.run(X + 10)["y"].shape == (2, 6)


def test_large_inputs_need_shapes_that_are_stated() -> None:
    with pytest.raises(ModelError, match=r"at most 64.0 MiB .*_infer"):
        one(Joined, shape=[2**13, 2**13])
    assert one(Stated, shape=[2**13, 2**13]).graph.values["y"].shape == (2**13, 2**14)


def test_the_trials_of_a_model_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qdqnp.reader.check.TRIALS_BYTES", 100)
    tried = []

    class Seen(Joined):
        def _run(self, x: np.ndarray) -> np.ndarray:
            tried.append(x.shape)
            return x

    nodes = [helper.make_node("Seen", [f"t{at}"], [f"t{at + 1}"], f"n{at}", domain=DOMAIN) for at in range(9)]
    proto = model_of(nodes, {"t0": (TensorProto.FLOAT, [2, 3])}, ["t9"])
    with pytest.raises(ModelError, match=r"node n4, operator: expected inputs of at most 100 bytes in all"):
        qdqnp.load(proto, operators=[Seen])
    assert len(tried) == 4

    class SeenStated(Seen):
        def _infer(self, x: np.ndarray) -> np.ndarray:
            return x

    SeenStated.__name__ = "Seen"
    qdqnp.load(proto, operators=[SeenStated])


def test_shapes_that_depend_on_values_are_refused_when_it_runs() -> None:
    class Positive:
        op_domain = DOMAIN

        def _run(self, x: np.ndarray) -> np.ndarray:
            return x[x > 0]

    model = one(Positive)
    assert model.run(np.abs(X))["y"].shape == (6,)
    with pytest.raises(InputError, match=r"node positive, output 0: expected float32 of shape \[6\], got .*\[4\]"):
        model.run(X)


def test_codes_that_it_makes_are_read_as_their_reader_says() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["a"], "q"),
        node("Half", ["a"], "b"),
        helper.make_node("DequantizeLinear", ["b", "t", "z"], ["y"], "dq"),
    ]
    constants = {"s": np.float32(0.5), "t": np.float32(0.25), "z": np.int8(0)}
    proto = model_of(nodes, {"x": (TensorProto.FLOAT, [4])}, ["y", "b"], constants)
    quant = qdqnp.load(proto, operators=[Half]).program().tensors["b"].quant
    assert quant is not None and quant.scale == 0.25


# -- profiles ----------------------------------------------------------------------------------------------------------
def test_nothing_is_promised_unless_the_class_says_so() -> None:
    promise = one(Scaled).plan().promises["y"]
    assert not promise.exact and "does not say that it is exact" in str(promise)
    assert not str(promise).startswith("float32 ")
    model = qdqnp.load(model_of([node("Half", ["x"])], {"x": (TensorProto.INT8, [4])}, ["y"]), operators=[Half])
    assert model.plan().promises["y"].exact and model.plan("tflite").promises["y"].exact


def test_a_device_s_profile_has_no_float_operator_that_was_given() -> None:
    with pytest.raises(ProfileError, match="Scaled in float32"):
        one(Scaled).run(X, profile="tflite")


# -- faults of the class -----------------------------------------------------------------------------------------------
def test_what_the_class_raises_names_the_node() -> None:
    class Broken:
        op_domain = DOMAIN

        def _run(self, x: np.ndarray) -> np.ndarray:
            if np.any(x < 0):
                raise RuntimeError("below zero")
            return x

    model = one(Broken)
    with pytest.raises(
        InputError, match=r"node broken: expected Broken._run to return arrays, got RuntimeError: below"
    ):
        model.run(X)


@pytest.mark.parametrize(
    ("result", "message"),
    [(None, "NoneType"), ("text", "str"), ((), "expected 1 arrays"), ((1.5,), "tuple"), ({}, "dict")],
)
def test_results_that_are_no_arrays_are_refused(result: Any, message: str) -> None:
    kind = type("Odd", (), {"op_domain": DOMAIN, "_run": lambda self, x: result})
    with pytest.raises(ModelError, match=message):
        one(kind)


def test_inputs_cannot_be_changed() -> None:
    class Changing:
        op_domain = DOMAIN

        def _run(self, x: np.ndarray) -> np.ndarray:
            x += 1
            return x

    with pytest.raises(ModelError, match="read-only"):
        one(Changing)


def test_results_share_no_memory_with_inputs() -> None:
    class Same:
        op_domain = DOMAIN

        def _run(self, x: np.ndarray) -> np.ndarray:
            return x

    given = X.copy()
    assert not np.shares_memory(one(Same).run(given)["y"], given)


def test_too_many_inputs_are_refused() -> None:
    with pytest.raises(ModelError, match="node half, inputs: expected 1 to 2, got 3"):
        one(Half, ["a", "b", "c"])


@pytest.mark.parametrize("kind", [int, type("NoRun", (), {"op_domain": "a"}), type("NoDomain", (), {"_run": print}), 3])
def test_what_is_no_operator_is_refused(kind: Any) -> None:
    with pytest.raises(ModelError, match="`op_domain` and a method `_run`"):
        qdqnp.load(b"", operators=[kind])


def test_operators_that_qdqnp_has_and_two_of_one_name_are_refused() -> None:
    mine = type("Relu", (), {"op_domain": "", "_run": lambda self, x: x})
    with pytest.raises(ModelError, match="operator Relu: expected one that qdqnp does not have"):
        qdqnp.load(b"", operators=[mine])
    with pytest.raises(ModelError, match=r"operator com.example.Half: expected each operator once"):
        qdqnp.load(b"", operators=[Half, Half])


# -- one load alone ----------------------------------------------------------------------------------------------------
def test_two_loads_with_different_operators_do_not_mix() -> None:
    def multiplier(factor: int) -> type:
        return type("Times", (), {"op_domain": DOMAIN, "_run": lambda self, x: x * np.float32(factor)})

    proto = model_of([node("Times", ["x"])], {"x": (TensorProto.FLOAT, [2, 3])}, ["y"])
    two, three = (qdqnp.load(proto, operators=[multiplier(factor)]) for factor in (2, 3))
    assert np.array_equal(two.run(X)["y"], X * 2) and np.array_equal(three.run(X)["y"], X * 3)
    with pytest.raises(ModelError, match=r"(?s)operator com\.example\.Times.*give the operator with .*operators="):
        qdqnp.load(proto)
    assert registry.lookup(DOMAIN, "Times") is None


def test_an_operator_of_the_name_of_one_of_onnx_s_is_not_taken_for_it() -> None:
    mine = type("Relu", (), {"op_domain": DOMAIN, "_run": lambda self, x: x - np.float32(1)})
    nodes = [node("Relu", ["x"], "a"), helper.make_node("Relu", ["a"], ["y"], "relu")]
    model = qdqnp.load(model_of(nodes, {"x": (TensorProto.FLOAT, [2, 3])}, ["y"]), operators=[mine])
    assert [step.op for step in model.program().steps] == ["com.example.Relu", "Relu"]
    assert np.array_equal(model.run(X)["y"], np.maximum(X - 1, 0))


def test_a_function_of_the_file_makes_way_for_the_operator() -> None:
    opsets = [helper.make_opsetid("", 17)]
    body = [helper.make_node("Neg", ["x"], ["y"])]
    proto = model_of([node("Half", ["x"])], {"x": (TensorProto.INT8, [4])}, ["y"])
    proto.functions.append(helper.make_function(DOMAIN, "Half", ["x"], ["y"], body, opsets))
    x = np.int8([1, 2, 3, -4])
    assert qdqnp.load(proto).run(x)["y"].tolist() == [-1, -2, -3, 4]
    assert qdqnp.load(proto, operators=[Half]).run(x)["y"].tolist() == [0, 1, 1, -2]


def test_a_model_is_pickled_where_the_class_can_be_imported() -> None:
    copied = pickle.loads(pickle.dumps(one(Scaled, factor=5.0)))
    assert np.array_equal(copied.run(X)["y"], X * 5)

    class Inside(Scaled):
        pass

    with pytest.raises(TypeError, match=r"cannot pickle operator Inside: its class .*cannot be imported"):
        pickle.dumps(one(Inside))


# -- an Operator of qdqnp's own kind -----------------------------------------------------------------------------------
class Mirrored(Operator, register=False):
    """The last axis in reverse order."""

    op = "Mirrored"
    domain = DOMAIN

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        return ((check.value(0).dtype, check.value(0).shape),)

    def shapes(self, attributes: Any, x: Any) -> tuple[Any, ...]:
        return (x,)

    def compute(self, binding: Binding, x: Any) -> tuple[Any, ...]:
        return (x[..., ::-1].copy(),)

    def origin(self, step: Any, output: int, index: Any, x: Any) -> Any:
        return x[..., ::-1][index]


def test_an_operator_of_qdqnp_s_own_kind_may_be_given() -> None:
    model = one(Mirrored)
    assert np.array_equal(model.run(X)["y"], X[:, ::-1])
    assert model.plan().promises["y"].exact
    assert registry.lookup(DOMAIN, "Mirrored") is None
    assert np.array_equal(pickle.loads(pickle.dumps(model)).run(X)["y"], X[:, ::-1])


# -- with everything else ----------------------------------------------------------------------------------------------
@pytest.fixture
def network() -> onnx.ModelProto:
    """x -> Q -> Half -> DQ -> y."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["a"], "q"),
        node("Half", ["a"], "b", by=2),
        helper.make_node("DequantizeLinear", ["b", "s", "z"], ["y"], "dq"),
    ]
    return model_of(nodes, {"x": (TensorProto.FLOAT, [1, 6])}, ["y"], {"s": np.float32(0.5), "z": np.int8(0)})


@pytest.mark.parametrize("profile", ["ort", "tflite"])
def test_trace_golden_sets_compare_and_explain_know_it(network: onnx.ModelProto, profile: str, tmp_path: Path) -> None:
    model = qdqnp.load(network, operators=[Half])
    inputs = [{"x": np.random.default_rng(seed).normal(0, 20, (1, 6)).astype(np.float32)} for seed in range(3)]
    traces = [model.trace(given, profile=profile) for given in inputs]
    assert all(np.array_equal(trace["b"], trace["a"] >> 2) for trace in traces)
    source = qdqnp.model.equipped(network, [Half])
    write(tmp_path / "set", source, inputs, 3, profile=profile)
    reference = reference_from(tmp_path / "set", operators=[Half])
    with pytest.raises(ModelError, match="Half"):
        reference_from(tmp_path / "set")
    wrong = [{"a": trace["a"], "b": (trace["a"] >> 2) + np.int8(1)} for trace in traces]
    for dump, differing in (("right", 0), ("wrong", 18)):
        values = traces if dump == "right" else wrong
        write_dump(tmp_path / dump, {name: [value[name] for value in values] for name in "ab"})
        report = compare(reference, align(read_dump(tmp_path / dump), reference.targets, 3))
        (row,) = [row for row in report.rows if row.name == "b"]
        assert row.own.differing == differing
    found = explain(model, inputs[0], "b", (0, 3), [PROFILES[profile]])
    assert found.got is None
