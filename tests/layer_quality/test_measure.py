"""What is measured of a layer, against a second computation in float64 that shares no code with the first."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.errors import InputError, ModelError
from qdqnp.layer_quality import QualityReport, QualityRow, quality
from tests.layer_quality.nets import CHANNELS, CLASSES, QUANTS, SIDE, data, float_net, int8_net, weights

Array = np.ndarray[Any, Any]


def conv(x: Array, w: Array, b: Array) -> Array:
    """Convolve 3x3 with a border of zeros, in float64."""
    wide = np.pad(x.astype(np.float64), [(0, 0), (0, 0), (1, 1), (1, 1)])
    found = np.zeros((1, len(w), SIDE, SIDE))
    for row in range(3):
        for column in range(3):
            part = wide[:, :, row : row + SIDE, column : column + SIDE]
            found += np.einsum("nchw,oc->nohw", part, w[:, :, row, column].astype(np.float64))
    return found + b.reshape(1, -1, 1, 1)


def coded(array: Array, name: str) -> Array:
    """Quantize and dequantize as the tensor's quantizer does."""
    scale, zero = QUANTS[name]
    return (np.clip(np.rint(array / np.float32(scale)) + zero, -128, 127) - zero) * np.float32(scale)


def rounded(name: str, axis: int) -> Array:
    """Weights, as their codes stand for them."""
    array = weights()[name].astype(np.float64)
    scale = np.abs(array).max(axis=tuple(at for at in range(array.ndim) if at != axis), keepdims=True) / 127
    return np.rint(array / scale) * scale


def sqnr(pairs: list[tuple[Array, Array]]) -> float:
    signal = sum(float(np.square(wanted).sum()) for wanted, _ in pairs)
    noise = sum(float(np.square(wanted - made).sum()) for wanted, made in pairs)
    return 10 * math.log10(signal / noise)


def measured(**changes: Any) -> dict[str, QualityRow]:
    report = quality(_bytes(float_net()), _bytes(int8_net(**changes)), data())
    return {row.tensor: row for row in report.rows}


def _bytes(model: Any) -> bytes:
    return bytes(model.SerializeToString())


def test_entire_single_and_own() -> None:
    rows, w = measured(), weights()
    of: dict[str, dict[str, list[tuple[Array, Array]]]] = {
        name: {"single": [], "own": []} for name in ("x_q", "r1_q", "c2_q", "a_q")
    }
    for inputs in data():
        x = inputs["x"]
        r1 = np.maximum(conv(x, w["w1"], w["b1"]), 0)
        c2 = conv(r1, w["w2"], w["b2"])
        made = {
            "x_q": (x, x, coded(x, "x")),
            "r1_q": (
                r1,
                np.maximum(conv(coded(x, "x"), w["w1"], w["b1"]), 0),
                coded(conv(coded(x, "x"), rounded("w1", 0), w["b1"]), "r1"),
            ),
            "c2_q": (
                c2,
                conv(coded(r1, "r1"), w["w2"], w["b2"]),
                coded(conv(coded(r1, "r1"), rounded("w2", 0), w["b2"]), "c2"),
            ),
            "a_q": (c2 + r1, coded(c2, "c2") + coded(r1, "r1"), coded(coded(c2, "c2") + coded(r1, "r1"), "a")),
        }
        for name, (wanted, same, alone) in made.items():
            of[name]["single"].append((wanted, alone))
            of[name]["own"].append((same, alone))
    for name, ways in of.items():
        for way, pairs in ways.items():
            assert getattr(rows[name].sums, way).sqnr == pytest.approx(sqnr(pairs), abs=0.06), (name, way)
    model = qdqnp.load(int8_net().SerializeToString())
    real = qdqnp.load(float_net().SerializeToString())
    entire = []
    for inputs in data():
        scale, zero = QUANTS["a"]
        codes = model.trace(inputs)["a_q"].astype(np.float64)
        entire.append((real.trace(inputs, profile="ort-unfused")["a"], (codes - zero) * np.float32(scale)))
    assert rows["a_q"].sums.entire.sqnr == pytest.approx(sqnr(entire), abs=1e-5)
    largest = max(float(np.abs(wanted - made).max()) for wanted, made in entire)
    assert rows["a_q"].sums.entire.largest == pytest.approx(largest, rel=1e-5)


def test_what_a_relu_cuts_off_is_not_saturation() -> None:
    rows = measured()
    model = qdqnp.load(int8_net().SerializeToString())
    lowest = sum(int((model.trace(inputs)["r1_q"] == -128).sum()) for inputs in data())
    assert lowest > 100 and rows["r1_q"].sums.lowest == -128
    beyond = sum(
        int((np.rint(conv(coded(i["x"], "x"), rounded("w1", 0), weights()["b1"]) / 0.03) - 128 > 127).sum())
        for i in data()
    )
    assert rows["r1_q"].sums.saturated == beyond
    assert rows["r1_q"].sums.codes == len(data()) * CHANNELS * SIDE * SIDE


def test_a_clipped_range_saturates_and_an_end_that_is_just_reached_does_not() -> None:
    rows = measured(rescaled={"c2": 0.25})
    model = qdqnp.load(int8_net(rescaled={"c2": 0.25}).SerializeToString())
    beyond = ends = 0
    for inputs in data():
        trace = model.trace(inputs)
        r1 = (trace["r1_q"].astype(np.float64) + 128) * np.float32(0.03)
        unclamped = np.rint(conv(r1, rounded("w2", 0), weights()["b2"]) / np.float32(0.025)) + 3
        beyond += int(((unclamped < -128) | (unclamped > 127)).sum())
        ends += int(np.isin(trace["c2_q"], (-128, 127)).sum())
    assert 0 < beyond <= ends
    assert abs((rows["c2_q"].sums.saturated or 0) - beyond) <= 2  # the bias is rounded here
    assert rows["x_q"].saturated == 0.0
    assert rows["c2_q"].findings[0].kind == "range"


def test_network_inputs_saturate_too() -> None:
    rows = measured(rescaled={"x": 0.2})
    beyond = sum(int((np.abs(inputs["x"] / np.float32(0.005)) > 128).sum()) for inputs in data())
    assert 0.9 * beyond <= (rows["x_q"].sums.saturated or 0) <= 1.1 * beyond


@pytest.mark.parametrize("factor", [2.5, 8.0])
def test_the_share_of_the_range(factor: float) -> None:
    plain, wide = measured(), measured(rescaled={"c2": factor})
    for rows, scale in ((plain, 0.1), (wide, 0.1 * factor)):
        use, sums = rows["c2_q"].use, rows["c2_q"].sums
        assert use is not None
        assert use.used == pytest.approx((sums.most - sums.least) / (255 * scale), rel=1e-4)
        assert use.scale == pytest.approx(255 * scale / (sums.most - sums.least), rel=1e-4)
        assert use.held == 1.0
    finding = wide["c2_q"].findings[0]
    assert finding.kind == "scale"
    assert finding.cost == pytest.approx(20 * math.log10(255 * 0.1 * factor / (sums.most - sums.least)), abs=0.01)
    assert "times what the values need" in wide["c2_q"].why
    assert plain["c2_q"].sums.own.sqnr - wide["c2_q"].sums.own.sqnr == pytest.approx(20 * math.log10(factor), abs=2.5)


def changed(**arrays: Array) -> dict[str, QualityRow]:
    """Measure the int8 network with other constants."""
    model = int8_net()
    for tensor in model.graph.initializer:
        if tensor.name in arrays:
            tensor.CopyFrom(numpy_helper.from_array(arrays[tensor.name], tensor.name))
    return {row.tensor: row for row in quality(_bytes(float_net()), _bytes(model), data()).rows}


def test_a_wrong_bias_and_a_wrong_zero_point_are_said() -> None:
    codes = {tensor.name: numpy_helper.to_array(tensor) for tensor in int8_net().graph.initializer}
    rows = changed(b2_codes=codes["b2_codes"] * 3)
    assert next(iter(rows)) == "c2_q" and rows["c2_q"].findings[0].kind == "bias"
    assert rows["c2_q"].findings[0].cost > 10 and "its bias is off by 200 %" in rows["c2_q"].why
    rows = changed(c2_zero=np.array(110, np.int8))
    assert next(iter(rows)) == "c2_q" and rows["c2_q"].findings[0].kind == "range"
    assert rows["c2_q"].sums.cut > 0.1 * rows["c2_q"].sums.values


def test_a_bias_that_was_made_for_another_scale_is_not_the_cause() -> None:
    """The scale of r1 alone is changed: the bias of what reads it is then another as well."""
    first = next(iter(changed(r1_scale=np.array(0.12, np.float32)).values()))
    assert (first.tensor, first.findings[0].kind) == ("r1_q", "scale")


def test_weights_belong_to_their_layer_alone() -> None:
    rows = measured(kept_relu=True, w1=np.full(CHANNELS, np.abs(weights()["w1"]).max() / 30))
    assert rows["c1_q"].findings[0].kind == "weights"
    assert rows["r1_q"].weights is None and not rows["r1_q"].findings


def test_a_kept_relu_hides_what_it_cuts_off() -> None:
    rows = measured(kept_relu=True)
    assert rows["c1_q"].sums.own.sqnr == pytest.approx(measured()["r1_q"].sums.own.sqnr, abs=1e-9)
    assert rows["c1_q"].sums.saturated == rows["r1_q"].sums.saturated or rows["r1_q"].sums.saturated == 0


def test_a_kept_relu_answers_for_its_own_scale_alone() -> None:
    same = measured(rescaled={"x": 0.25}, kept_relu=True)  # the inputs are cut off
    assert same["x_q"].findings and not same["r1_q"].findings
    assert same["r1_q"].sums.own.noise == 0 and same["c1_q"].sums.own.noise > 0  # as its scale is the Conv's
    wide = measured(rescaled={"r1": 1.7, "c1": 1 / 1.7}, kept_relu=True)["r1_q"].sums
    assert wide.own.sqnr == pytest.approx(10 * np.log10(float(wide.single.signal / wide.rounding)), abs=2)


def test_the_same_report_for_any_order_of_the_data() -> None:
    models = _bytes(float_net()), _bytes(int8_net())
    forward, backward = (quality(*models, given).as_json() for given in (data(), data()[::-1]))
    assert forward == backward


def test_arrays_and_mappings_are_inputs() -> None:
    models = _bytes(float_net()), _bytes(int8_net())
    by_name = quality(*models, data())
    alone = quality(*models, (inputs["x"] for inputs in data()))
    assert alone.as_json() == by_name.as_json() and alone.inputs == len(data())


def report_on(labels: Any) -> QualityReport:
    return quality(_bytes(float_net()), _bytes(int8_net()), data(), labels=labels)


def test_labels_are_counted() -> None:
    real = qdqnp.load(float_net().SerializeToString())
    best = [int(real.run(inputs, profile="ort-unfused")["y"].argmax()) for inputs in data()]
    report = report_on(best)
    assert report.float_correct == len(best) == report.outputs.labelled
    assert report.outputs.correct == report.outputs.agreeing
    assert report_on([(one + 1) % CLASSES for one in best]).float_correct == 0
    for label in (-1, CLASSES):
        with pytest.raises(InputError, match=rf"labels of input 0: expected classes from 0 to 4, got \[{label}\]"):
            report_on([label] * len(best))


def test_what_does_not_fit_is_refused() -> None:
    models = _bytes(float_net()), _bytes(int8_net())
    with pytest.raises(InputError, match="nothing to measure on"):
        quality(*models, [])
    with pytest.raises(InputError, match="labels of input 1"):
        report_on([0])
    with pytest.raises(InputError, match="input 'x'"):
        quality(*models, [{"x": np.zeros((1, 3, 5, 5), np.float32)}])
    with pytest.raises(ModelError, match="float network first"):
        quality(models[1], models[0], data())
    with pytest.raises(ModelError, match="outputs of the int8 network"):
        two = float_net()
        two.graph.output.append(helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, CHANNELS, SIDE, SIDE]))
        quality(_bytes(two), models[1], data())
