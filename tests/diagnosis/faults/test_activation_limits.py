"""A Relu or Relu6 that a layer takes in is known to every command: its limits are in the step's quantization."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import qdqnp
from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.dump import read_dump
from qdqnp.diagnosis.dump_writer import write_dump
from qdqnp.diagnosis.identify.identify import identify
from qdqnp.diagnosis.identify.observations import Observed
from qdqnp.diagnosis.replay import Reference
from qdqnp.golden_sets import Options, read, write
from qdqnp.numerics.profiles import PROFILES
from tests.lowering.models import F, Net

SHAPE = (1, 4, 8, 8)


def network(activation: str) -> onnx.ModelProto:
    """A convolution with symmetric codes, and one behind it; the activation stands between the first and its Q."""
    net = Net(seed=5)
    made = net.node("Conv", net.qdq(net.input(SHAPE), 1 / 16), net.weight(4, 4, 3, 3), pads=[1, 1, 1, 1])
    if activation == "Relu":
        made = net.node("Relu", made)
    elif activation == "Relu6":
        made = net.node("Clip", made, net.const(F(0)), net.const(F(6)))
    net.output(net.q(net.node("Conv", net.qdq(made, 0.08), net.weight(4, 4, 1, 1)), 0.2))
    return net.model()


def inputs(count: int = 2) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [{"in1": rng.uniform(-8, 8, SHAPE).astype(F)} for _ in range(count)]


def dumped(reference: Reference, other: qdqnp.Model, folder: Path) -> None:
    """Write what another network of the same layers makes, under the names of this one."""
    theirs = Reference(other, reference.profile, inputs())
    names = zip(reference.targets, theirs.targets, strict=True)
    write_dump(folder, {ours.name: [case[target.codes] for case in theirs.cases] for ours, target in names})


@pytest.mark.parametrize(
    ("activation", "device", "fault"),
    [("Relu", "none", "ReLU missing"), ("Relu6", "none", "missing clamp"), ("Relu6", "Relu", "missing clamp")],
)
def test_a_device_without_the_activation(activation: str, device: str, fault: str, tmp_path: Path) -> None:
    reference = Reference(qdqnp.load(network(activation)), PROFILES["tflite"], inputs())
    dumped(reference, qdqnp.load(network(device)), tmp_path / "dump")
    report = compare(reference, align(read_dump(tmp_path / "dump"), reference.targets, 2))
    (row,) = [row for row in report.rows if row.single.differing]
    assert row.op == "QLinearConv"
    kinds = [finding.kind for finding in row.findings]
    assert fault in kinds


@pytest.mark.parametrize(("activation", "limits"), [("none", (-128, 127)), ("Relu", (0, 127)), ("Relu6", (0, 75))])
def test_golden_sets_have_the_limits(activation: str, limits: tuple[int, int], tmp_path: Path) -> None:
    data = network(activation).SerializeToString()
    write(tmp_path / "set", data, inputs(), 2, profile="cmsis-nn", options=Options(layers=("1",)))
    made = read(tmp_path / "set")
    stored = {tensor.stage: int(made.array(tensor, 0)) for tensor in made.tensors if "activation_" in tensor.stage}
    assert stored == dict(zip(("activation_min", "activation_max"), limits, strict=True))


def test_an_arithmetic_is_identified_through_them() -> None:
    model, (feeds,) = qdqnp.load(network("Relu")), inputs(1)
    for name in ("tflite-single", "exact"):
        report = identify(model, [Observed(feeds, dict(model.trace(feeds, profile=name)))])
        (verdict,) = [verdict for verdict in report.verdicts if verdict.name == "QLinearConv"]
        assert name in verdict.matched and set(verdict.matched) < set(PROFILES)


@pytest.mark.parametrize("activation", ["Relu", "Relu6"])
def test_stimuli_know_them(activation: str) -> None:
    """The layer alone has the limits too, or `for_layer` would refuse it; saturation is counted at them."""
    model = qdqnp.load(network(activation))
    (label, y) = next((b.step.label, b.step.y) for b in model.plan("tflite").steps if b.step.op == "QLinearConv")
    found = qdqnp.stimuli.for_layer(model, label, "tflite", against=("tflite", "tflite-single"))
    again = qdqnp.load(found.model).plan("tflite")
    assert [bound.step.y.limits for bound in again.steps] == [y.limits]
    outputs = [again.steps[0].evaluate(stimulus.inputs) for stimulus in found.stimuli]
    codes = np.concatenate([next(iter(made.values())).reshape(-1) for made in outputs])
    assert (codes.min(), codes.max()) == y.range
