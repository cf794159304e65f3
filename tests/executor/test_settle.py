"""What a device's profile does not define runs in float32 on a host, when asked; and is marked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import qdqnp
from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.dump import read_dump
from qdqnp.diagnosis.dump_writer import write_dump
from qdqnp.diagnosis.reference import reference_from
from qdqnp.executor.plan import on_host
from qdqnp.golden_sets import Options, write
from qdqnp.numerics import float32
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rules.lookup import SigmoidFunction
from tests.cli.test_commands import run
from tests.lowering.models import F, Net

DEVICE = PROFILES["neural-art-1.1.3"]
HOST = replace(DEVICE, host_float=True)
SHAPE = (1, 4, 5, 5)


def network() -> onnx.ModelProto:
    """Two convolutions, between them a Sigmoid, which Neural-ART does not define."""
    net = Net(seed=3)
    x = net.qdq(net.input(SHAPE), 1 / 16)
    first = net.qdq(net.node("Conv", x, net.weight(4, 4, 1, 1)), 0.05, 3)
    gate = net.qdq(net.node("Sigmoid", first), 1 / 256, -128)
    net.output(net.qdq(net.node("Conv", gate, net.weight(4, 4, 1, 1)), 0.01, -7))
    return net.model()


def x() -> np.ndarray:
    return np.random.default_rng(0).uniform(-8, 8, SHAPE).astype(F)


def test_only_what_is_not_defined_runs_in_float() -> None:
    model = qdqnp.load(network())
    with pytest.raises(qdqnp.ProfileError, match="this family's arithmetic"):
        model.plan(DEVICE)
    plan = model.plan(HOST)
    ops = [bound.step.op for bound in plan.steps]
    conv, sigmoid = "QLinearConv", ["DequantizeLinear", "Sigmoid", "QuantizeLinear"]
    assert ops == ["QuantizeLinear", conv, *sigmoid, conv, "DequantizeLinear"]
    hosted = [bool(on_host(plan.program, bound.step)) for bound in plan.steps]
    assert hosted == [False, False, False, True, False, False, False]
    trace = model.trace(x(), profile=HOST)
    assert list(model.program(HOST).steps) == [bound.step for bound in plan.steps]
    codes, made = (trace[plan.steps[at].step.output_names[0]] for at in (1, 4))
    real = SigmoidFunction().float32(float32.dequantize(codes, F(0.05), np.int8(3)))
    assert np.array_equal(made, float32.quantize(real, F(1 / 256), np.int8(-128), np.dtype(np.int8)))


def test_values_behind_the_host_are_not_promised() -> None:
    plan = qdqnp.load(network()).plan(HOST)
    promises = [plan.promises[bound.step.output_names[0]] for bound in plan.steps]
    assert [promise.exact for promise in promises] == [True, True, True, False, False, False, False]
    assert "a host computes it in float32" in str(promises[-1])


def test_a_profile_that_defines_all_has_no_host() -> None:
    net = Net()
    net.output(net.qdq(net.node("Relu", net.node("Conv", net.qdq(net.input(SHAPE)), net.weight(4, 4, 1, 1))), 0.2))
    model = qdqnp.load(net.model())
    assert model.program(HOST).steps is model.program(DEVICE).steps
    assert all(promise.exact for promise in model.plan(HOST).promises.values())


def test_a_set_of_defined_layers_is_written_whatever_the_rest_is(tmp_path: Path) -> None:
    data = network().SerializeToString()
    labels = [bound.step.label for bound in qdqnp.load(data).plan(HOST).steps]
    last, sigmoid = labels[5], labels[3]
    with pytest.raises(qdqnp.ProfileError, match="this family's arithmetic"):
        write(tmp_path / "all", data, [{"in1": x()}], 1, profile=DEVICE)
    with pytest.raises(qdqnp.ProfileError, match=f"layer '{sigmoid}': .*does not define it"):
        write(tmp_path / "gate", data, [{"in1": x()}], 1, profile=DEVICE, options=Options(layers=(sigmoid,)))
    made = write(tmp_path / "conv", data, [{"in1": x()}], 1, profile=DEVICE, options=Options(layers=(last,)))
    outputs = [tensor for tensor in made["tensors"] if tensor["role"] == "output"]
    assert [layer["label"] for layer in made["layers"]] == [last] and len(outputs) == 1
    assert "a host computes it" in outputs[0]["doubt"]
    assert made["profile"]["parameters"]["host_float"] is True


def test_a_dump_is_compared_with_a_set_that_has_a_host(tmp_path: Path) -> None:
    data = network().SerializeToString()
    write(tmp_path / "set", data, [{"in1": x()}], 1, profile=HOST)
    reference = reference_from(tmp_path / "set")
    assert reference.profile == HOST
    write_dump(tmp_path / "dump", {target.name: [reference.cases[0][target.codes]] for target in reference.targets})
    report = compare(reference, align(read_dump(tmp_path / "dump"), reference.targets, 1))
    assert report.equal
    again = reference_from(tmp_path / "set", "neural-art", host_float=True)
    assert again.profile == HOST
    words = ("compare", tmp_path / "set", tmp_path / "dump", "--profile", "neural-art")
    assert run(*words).exit_code == 2 and run(*words, "--host-float").exit_code == 0


def test_the_commands_take_the_option(tmp_path: Path) -> None:
    model, feeds = tmp_path / "net.onnx", tmp_path / "x.npy"
    onnx.save(network(), model)
    np.save(feeds, x())
    words = ("run", model, "--input", feeds, "--profile", "neural-art", "--json")
    refused = run(*words)
    assert refused.exit_code == 2 and "--host-float" in refused.stderr
    assert run(*words, "--host-float").exit_code == 0
    shown = json.loads(run("inspect", model, "--profile", "neural-art", "--host-float", "--json").stdout)
    marked = {layer["op"]: layer["host_float"] for layer in shown["layers"] if layer["host_float"]}
    assert marked == {"Sigmoid": "Sigmoid in float32"}
    out = tmp_path / "set"
    made = run("golden", model, "--random", "1", "--profile", "neural-art", "--host-float", "--out", out)
    assert made.exit_code == 0 and "not promised" in made.stderr


def test_a_softmax_of_a_scale_that_the_kernel_does_not_take_runs_in_float() -> None:
    """The scales are looked at before anything runs."""
    net = Net(seed=3)
    x = net.qdq(net.input((2, 10)), 2.0**-30)
    net.output(net.qdq(net.node("Softmax", x), 1 / 256, -128))
    model = qdqnp.load(net.model())
    tflite = PROFILES["tflite"]
    with pytest.raises(qdqnp.ProfileError, match=r"at least 2\^-27"):
        model.plan(tflite)
    plan = model.plan(replace(tflite, host_float=True))
    assert "Softmax" in [bound.step.op for bound in plan.steps]
    (y,) = model.run(np.zeros((2, 10), F), profile=replace(tflite, host_float=True)).values()
    assert np.allclose(y, 0.1, atol=1 / 256)
