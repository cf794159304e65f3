"""verify finds what differs, where it starts, and never calls an empty comparison equal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.diagnosis.tally import compared
from qdqnp.diagnosis.verify import VerifyReport, verify
from qdqnp.errors import PeerError
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.peers.ort import peer as ort
from qdqnp.peers.ort import session as ort_session
from qdqnp.peers.ort import users
from tests.networks import dla

F = np.float32


def mutated(proto: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """The model with one weight code changed."""
    other = onnx.ModelProto()
    other.CopyFrom(proto)
    (tensor,) = [t for t in other.graph.initializer if t.name == name]
    array = numpy_helper.to_array(tensor).copy()
    array.reshape(-1)[0] = -array.reshape(-1)[0] or 1
    tensor.CopyFrom(numpy_helper.from_array(array, name))
    return other


def test_one_changed_weight_is_found_at_its_layer() -> None:
    proto = dla(seed=5)
    model = qdqnp.load(proto)
    steps = [step for step in model.program().steps if step.op == "QLinearConv"]
    middle = steps[len(steps) // 2]
    peer = ort.OrtPeer(mutated(proto, middle.inputs[1].name))
    report = verify(model, peer, random_feeds(model.program(), 2, seed=0))
    assert not report.equal
    assert report.first_difference.name == middle.output_names[0]
    assert f"first at '{middle.output_names[0]}'" in report.verdict()
    before = model.program().steps.index(middle)
    assert all(layer.equal for layer in report.layers[:before])
    # what is promised is never explained away: layers that only inherit the difference count as well
    assert report.accepted == 0 and sum(not layer.equal for layer in report.layers[before:]) > 5
    assert report.as_json()["differing"] == report.differing > 0


def test_no_input_is_not_equal() -> None:
    proto = dla()
    model = qdqnp.load(proto)
    report = verify(model, ort.OrtPeer(proto), [])
    assert not report.equal and "nothing was compared" in report.verdict()


# -- tensors without a promise -----------------------------------------------------------------------------------------
SCALE = 2.0**-8


def unpromised(seed: int = 0) -> onnx.ModelProto:
    """A float32 convolution, which a session may add up in another order; then codes, and a convolution on them."""
    rng = np.random.default_rng(seed)
    scales = {"s": SCALE, "ws": 0.01, "ys": 0.002}
    constants = {
        **{name: np.float32(value) for name, value in scales.items()},
        "z": np.int8(-128),
        "wz": np.int8(0),
        "w": rng.integers(-127, 128, (3, 4, 1, 1)).astype(np.int8),
        "fw": rng.choice(np.float32([-0.5, 0.5]), (4, 4, 1, 1)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "fw"], ["p"], name="sums"),
        helper.make_node("QuantizeLinear", ["p", "s", "z"], ["q"], name="q"),
        helper.make_node("QLinearConv", ["q", "s", "z", "w", "ws", "wz", "ys", "z"], ["y"], name="conv"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 64, 64])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


class Altered:
    """A peer whose tensors are changed by a function before they are compared."""

    def __init__(self, peer: ort.OrtPeer, change: Callable[[dict[str, Any]], None]) -> None:
        self._peer, self._change, self.fused = peer, change, peer.fused

    def pairs(self, program: Any, named: Any) -> Any:
        return self._peer.pairs(program, named)

    def rewrites(self, names: Any) -> dict[str, str]:
        return self._peer.rewrites(names)

    def outputs(self, feeds: Any) -> dict[str, Any]:
        return self._peer.outputs(feeds)

    def tensors(self, feeds: Any) -> dict[str, Any]:
        found = {name: array.copy() for name, array in self._peer.tensors(feeds).items()}
        self._change(found)
        return found


def unpromised_report(change: Callable[[dict[str, Any]], None] = lambda tensors: None, count: int = 1) -> VerifyReport:
    proto = unpromised()
    model = qdqnp.load(proto)
    rng = np.random.default_rng(7)
    # sums that often lie halfway between two codes, where the least difference moves a code
    feeds = [{"x": np.float32(rng.integers(-99, 99, (1, 4, 64, 64)) * SCALE / 2)} for _ in range(count)]
    return verify(model, Altered(ort.OrtPeer(proto), change), feeds)


def test_float_sums_keep_the_promise() -> None:
    weights = np.random.default_rng(0).standard_normal((4, 3, 3, 3), dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["y"], ["z"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("y", "z")],
        [numpy_helper.from_array(weights, "w")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model = qdqnp.load(proto)
    report = verify(model, ort.OrtPeer(proto, "ort-unfused"), random_feeds(model.program(), 1, seed=0), "ort-unfused")
    assert report.equal and [layer.promise for layer in report.layers] == ["exact"] * 2
    for profile in ("ort", "ort-x64"):
        doubt = model.plan(profile).promises
        assert "a session at level ALL may run it in a blocked layout" in str(doubt["y"])
        assert doubt["z"] == doubt["y"] and doubt["y"].step == "Conv(y)"


def in_another_order(tensors: dict[str, Any]) -> None:
    """As if the sums were off by a little, enough to move codes; what follows is computed of them."""
    tensors["p"] *= np.float32(1 + 2e-7)
    codes = np.rint(tensors["p"] / np.float32(SCALE))
    tensors["q"] = (codes - 128).clip(-128, 127).astype(np.int8)
    model = qdqnp.load(unpromised())
    tensors["y"] = model.plan().steps[2].evaluate({"q": tensors["q"]})["y"]


def test_what_is_not_promised_may_differ_within_the_bound_of_its_own_step() -> None:
    report = unpromised_report(in_another_order)
    sums, codes, conv = report.layers
    assert sums.promise == codes.promise == conv.promise != "exact"
    assert report.equal and report.differing == 0
    assert 1000 < sums.accepted < sums.tally.elements and 0 < sums.bound <= 1
    assert report.accepted == sums.accepted + codes.accepted + conv.accepted
    assert f"accepted: 0 of {report.elements} elements differ where that is promised" in report.verdict()
    assert f"; {report.accepted} elements in " in report.verdict()
    assert report.as_json()["accepted"] == report.accepted


def test_an_inherited_difference_is_accepted_only_if_the_step_alone_has_none() -> None:
    """Codes beside a rounding boundary go the other way; the exact steps behind them must follow ONNX Runtime's."""
    report = unpromised_report(in_another_order)
    assert report.equal and report.layers[1].accepted > 0 < report.layers[2].accepted

    def stray(tensors: dict[str, Any]) -> None:
        tensors["y"].reshape(-1)[5] ^= 1

    report = unpromised_report(stray)
    assert not report.equal and report.first_difference is not None
    assert (report.first_difference.name, report.first_difference.differing) == ("y", 1)

    def stray_at_first(tensors: dict[str, Any]) -> None:
        """What a later input explains takes nothing off an earlier one's count."""
        in_another_order(tensors)
        if not seen:
            tensors["p"].reshape(-1)[9] *= np.float32(1.001)
        seen.append(True)

    seen: list[bool] = []
    report = unpromised_report(stray_at_first, count=2)
    assert report.layers[0].differing > 0 and report.layers[0].accepted > 0


@pytest.mark.parametrize("change", [1 + 1e-4, np.nan])
def test_a_float_beyond_the_bound_is_a_difference(change: float) -> None:
    def wrong(tensors: dict[str, Any]) -> None:
        tensors["p"].reshape(-1)[9] *= np.float32(change)

    report = unpromised_report(wrong)
    assert not report.equal and report.first_difference is not None
    assert report.first_difference.name == "p" and "it carries no promise" in report.verdict()


# -- the other sessions ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("profile", ["ort", "ort-x64", "ort-unfused"])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_every_tensor_of_every_session(profile: str, dtype: type) -> None:
    proto = dla(seed=11, dtype=dtype)
    model = qdqnp.load(proto)
    peer = ort.OrtPeer(proto, profile)
    report = verify(model, peer, random_feeds(model.program(profile), 3, seed=2), profile)
    assert report.equal and report.accepted == 0, report.verdict()
    assert all(layer.promise == "exact" for layer in report.layers)
    counted = Counter(step.op for step in model.program(profile).steps)
    assert dict(counted) == dict(report.operators)
    integer = counted["QLinearConv"], counted["QLinearAdd"]
    assert (min(integer) > 0) == (profile == "ort" or (profile == "ort-x64" and dtype is np.uint8))


def test_the_default_session_gives_these_outputs() -> None:
    """Level ALL, all threads, nothing set: what a user gets who sets nothing. Seed 13 has an input on which it is not
    what int8 allowed gives."""
    proto = dla(seed=13)
    model = qdqnp.load(proto)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    differs = 0
    for feeds in random_feeds(model.program(), 5, seed=3):
        (wanted,) = session.run(None, feeds)
        (name,) = model.program().outputs
        assert model.run(feeds, profile="ort-x64")[name].tobytes() == wanted.tobytes()
        differs += model.run(feeds)[name].tobytes() != wanted.tobytes()
    assert differs  # else this would say nothing about the session


@pytest.mark.parametrize("profile", ["ort", "ort-x64"])
def test_weights_made_unsigned_for_a_saturating_cpu(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a CPU is asked to compute exactly; the renamed weights are still the same layer's."""
    monkeypatch.setattr(users, "saturates", lambda: True)
    proto = dla(seed=4, dtype=np.uint8)
    model = qdqnp.load(proto)
    peer = ort.OrtPeer(proto, profile)
    assert peer.config["session.x64quantprecision"] == "1"
    report = verify(model, peer, random_feeds(model.program(profile), 2, seed=1), profile)
    assert report.equal, report.verdict()


def test_a_session_that_this_cpu_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "saturates", lambda: False)
    with pytest.raises(PeerError, match="compare with --profile ort-x64"):
        ort.OrtPeer(dla(), "ort-avx2")
    monkeypatch.setattr(users, "saturates", lambda: True)
    assert ort.OrtPeer(dla(), "ort-avx2").config == {"session.qdqisint8allowed": "0"}


def without(name: str, monkeypatch: pytest.MonkeyPatch) -> VerifyReport:
    """The report on a peer that has no such tensor."""
    proto = dla()
    model = qdqnp.load(proto)
    peer = ort.OrtPeer(proto)
    tensors = peer.tensors
    monkeypatch.setattr(peer, "tensors", lambda feeds: {k: v for k, v in tensors(feeds).items() if k != name})
    return verify(model, peer, random_feeds(model.program(), 1, seed=0))


def test_a_tensor_that_onnxruntime_lacks_is_listed_and_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    name = qdqnp.load(dla()).program().steps[3].output_names[0]
    report = without(name, monkeypatch)
    assert report.equal and "; 1 not comparable" in report.verdict()
    assert report.as_json()["not_comparable"] == {name: "ONNX Runtime's optimized graph has no such tensor"}


def test_an_output_that_onnxruntime_lacks_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    report = without(qdqnp.load(dla()).program().outputs[0], monkeypatch)
    assert not report.equal and report.differing == 0 and "nothing to judge by" in report.verdict()


def simple(
    nodes: list[onnx.NodeProto], inputs: dict[str, list[int]], outputs: list[str], constants: dict[str, Any]
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_a_tensor_that_a_rewrite_removed_is_listed_with_its_name() -> None:
    nodes = [
        helper.make_node("Mul", ["x", "c"], ["more"]),
        helper.make_node("Sigmoid", ["more"], ["gate"]),
        helper.make_node("Mul", ["x", "gate"], ["y"]),
    ]
    proto = simple(nodes, {"x": [3, 5]}, ["y"], {"c": F(1.5)})
    model = qdqnp.load(proto)
    report = verify(model, ort.OrtPeer(proto), random_feeds(model.program(), 2, seed=0))
    assert report.differing == 0 and report.equal, report.verdict()
    assert report.as_json()["not_comparable"] == dict.fromkeys(
        ("more", "gate"), "ONNX Runtime's QuickGeluFusion removed it"
    )


def test_a_product_with_its_factor_inside_is_accepted_within_the_bound_of_its_sums() -> None:
    """ONNX Runtime's FusedMatMul has no tensor between the product and the factor, and adds up in its own order."""
    rng = np.random.default_rng(0)
    nodes = [helper.make_node("MatMul", ["a", "b"], ["p"]), helper.make_node("Mul", ["p", "c"], ["y"])]
    proto = simple(nodes, {"a": [2, 5, 30], "b": [2, 30, 1]}, ["y"], {"c": F(0.3)})
    model = qdqnp.load(proto)
    feeds = [{"a": rng.standard_normal((2, 5, 30), F), "b": rng.standard_normal((2, 30, 1), F)}]
    report = verify(model, ort.OrtPeer(proto), feeds)
    assert report.equal and report.accepted > 0, report.verdict()

    def wrong(tensors: dict[str, Any]) -> None:
        tensors["y"].reshape(-1)[3] += F(1e-2)

    report = verify(model, Altered(ort.OrtPeer(proto), wrong), feeds)
    assert not report.equal and report.differing > 0


def test_names_that_both_sides_made_up_are_paired_by_what_they_are_made_from() -> None:
    """Each MatMul with Add of three axes becomes Reshape, Gemm, Reshape; both sides number these, in other orders."""
    rng = np.random.default_rng(3)
    nodes, constants = [], {}
    for at in (2, 0, 1):
        constants |= {f"w{at}": rng.standard_normal((6, 6), np.float32), f"b{at}": rng.standard_normal(6, np.float32)}
        nodes += [
            helper.make_node("MatMul", ["x", f"w{at}"], [f"m{at}"]),
            helper.make_node("Add", [f"m{at}", f"b{at}"], [f"a{at}"]),
        ]
    nodes += [helper.make_node("Add", ["a1", "a0"], ["s"]), helper.make_node("Sub", ["s", "a2"], ["y"])]
    proto = simple(nodes, {"x": [2, 4, 6]}, ["y"], constants)
    model = qdqnp.load(proto)
    named = {"x", *(name for node in nodes for name in node.output)}
    made_up = [name for step in model.program().steps for name in step.output_names if name not in named]
    report = verify(model, ort.OrtPeer(proto), random_feeds(model.program(), 1, seed=0))
    assert report.equal and report.accepted == 0, report.verdict()
    assert len(made_up) >= 3 and not report.missing
    peer = ort.OrtPeer(proto)
    found = peer.pairs(model.program(), named)
    assert any(name not in found[name] for name in made_up)  # else equal text would have done


def test_scalar_inputs_keep_their_rank() -> None:
    nodes = [helper.make_node("Add", ["x", "c"], ["s"]), helper.make_node("Transpose", ["s"], ["y"])]
    proto = simple(nodes, {"x": []}, ["y"], {"c": np.float32(2)})
    model = qdqnp.load(proto)
    feeds = [{"x": np.asarray(np.float32(0.5))}]
    assert model.run(feeds[0])["y"].shape == ()
    report = verify(model, ort.OrtPeer(proto), feeds)
    assert report.equal and report.layers[0].shape == (), report.verdict()


@pytest.mark.parametrize("profile", ["ort", "ort-unfused"])
def test_models_with_external_data(profile: str, tmp_path: Path) -> None:
    onnx.save(dla(), tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    model = qdqnp.load(tmp_path / "net.onnx")
    peer = ort.OrtPeer(tmp_path / "net.onnx", profile)
    report = verify(model, peer, random_feeds(model.program(), 1, seed=0), profile)
    assert report.equal, report.verdict()


@pytest.mark.parametrize("profile", ["ort", "ort-x64"])
def test_promised_outputs_are_those_of_a_session_at_level_all_too(
    profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = dla(seed=3)
    model = qdqnp.load(proto)
    peer = ort.OrtPeer(proto, profile)
    outputs = peer.outputs
    feeds = list(random_feeds(model.program(profile), 1, seed=0))
    assert verify(model, peer, feeds, profile).equal

    def other(given: Any) -> dict[str, Any]:
        found = {name: array.copy() for name, array in outputs(given).items()}
        next(iter(found.values())).reshape(-1)[2] += 1
        return found

    monkeypatch.setattr(peer, "outputs", other)
    report = verify(model, peer, feeds, profile)
    assert report.differing == 1 and report.first_difference is not None
    assert report.first_difference.name == model.program(profile).outputs[0]


def test_an_instrumented_graph_that_computes_otherwise_is_refused() -> None:
    proto = dla()
    model = qdqnp.load(proto)
    peer, other = ort.OrtPeer(proto), ort.OrtPeer(dla(seed=1))
    peer._plain, peer._output_names = other._plain, other._output_names
    name = model.program().outputs[0]
    assert other._output_names == [name]
    with pytest.raises(PeerError, match="instrumented run is not its plain run"):
        list(map(peer.tensors, random_feeds(model.program(), 1, seed=0)))


def test_a_missing_onnxruntime_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(PeerError, match=r'pip install "qdqnp\[ort\]"'):
        ort_session.import_onnxruntime()


# -- metrics ------------------------------------------------------------------------------------------------------
def test_difference_counts_bits_not_values() -> None:
    zeros = np.array([0.0, -0.0], np.float32)
    assert compared(zeros, zeros[::-1]).differing == 2
    nans = np.array([np.nan], np.float32)
    assert compared(nans, nans.copy()).equal
    codes = np.array([[1, 2], [3, -128]], np.int8)
    found = compared(codes, np.array([[1, 2], [4, 127]], np.int8))
    assert (found.elements, found.differing, found.largest, found.first) == (4, 2, 255, (1, 0))


def test_difference_of_other_types_and_shapes_says_so() -> None:
    a = np.zeros((2, 2), np.int8)
    assert compared(a, a.astype(np.uint8)).note == "int8[2, 2] against uint8[2, 2]"
    assert not compared(a, a.reshape(4)).equal


def behind_softplus(gone: tuple[str, ...], moved: str = "", by: float = 0.0) -> VerifyReport:
    """Softplus has no promise. ONNX Runtime's is a last bit off here, and what follows is made of that.

    gone: tensors that it lacks. moved: the tensor of which one element is off by so much besides.
    """
    weights = np.random.default_rng(0).standard_normal((6, 5)).astype(F)
    nodes = [
        helper.make_node("Softplus", ["x"], ["s"]),
        helper.make_node("Reshape", ["s", "shape"], ["r"]),
        helper.make_node("MatMul", ["r", "w"], ["m"]),
        helper.make_node("Neg", ["m"], ["y"]),
    ]
    proto = simple(nodes, {"x": [12]}, ["y"], {"shape": np.array([2, 6]), "w": weights})
    model = qdqnp.load(proto)
    feeds = {"x": np.linspace(-2, 3, 12, dtype=F)}

    def other(tensors: dict[str, Any]) -> None:
        tensors["s"] = (tensors["s"].view(np.int32) + 1).view(F)
        tensors["r"] = tensors["s"].reshape(2, 6).copy()
        tensors["m"] = np.asarray(tensors["r"] @ weights)
        if moved == "m":
            tensors["m"][0, 0] += F(by)
        tensors["y"] = -tensors["m"]
        if moved in "ry":
            tensors[moved or "y"][0, 0] += F(by)
        for name in gone:
            del tensors[name]

    return verify(model, Altered(ort.OrtPeer(proto, "ort-unfused"), other), [feeds], "ort-unfused")


def test_behind_a_tensor_that_is_not_there_slack_bounds_what_it_spans() -> None:
    report = behind_softplus(("s",))
    assert report.equal and report.accepted > 0 and report.unbounded == 0, report.verdict()
    assert "all of them within the float32 error bound" in report.verdict()
    for gone in ((), ("s",)):
        assert behind_softplus(gone, "r", 0.1).first_difference.name == "r"


@pytest.mark.parametrize(("gone", "at"), [(("s", "r"), "m"), (("s", "r", "m"), "y")])
def test_behind_a_tensor_that_is_not_there_and_has_no_promise_nothing_else_is_judged(
    gone: tuple[str, ...], at: str
) -> None:
    """Slack says nothing of a sum: what lies beyond it is accepted, and said to have no bound."""
    assert behind_softplus(gone).equal
    report = behind_softplus(gone, at, 0.1)
    assert report.equal and report.as_json()["unbounded"] == report.unbounded > 0, report.verdict()
    assert f"the others without one, first at '{at}'" in report.verdict()
    assert not behind_softplus((), at, 0.1).equal
