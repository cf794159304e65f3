"""Events and parameters of a trace, against counts made by hand from the sums."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.numerics.profiles.neural_art import NEURAL_ART, TIE
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine
from tests.networks import dla

COMPLETE = ("ort", "exact", "tflite", "tflite-single", "cmsis-nn", "cmsis-nn-single", "neural-art")


def conv(weights: list[int], w_scale: float, bias: int = 0, x_zero: int = 0, y_zero: int = 0) -> onnx.ModelProto:
    """A 1x1 QLinearConv of len(weights) channels to one, s_x = s_y = 1."""
    constants = {
        "xs": np.float32(1),
        "xz": np.int8(x_zero),
        "w": np.array(weights, np.int8).reshape(1, -1, 1, 1),
        "ws": np.float32(w_scale),
        "wz": np.int8(0),
        "ys": np.float32(1),
        "yz": np.int8(y_zero),
        "b": np.array([bias], np.int32),
    }
    graph = helper.make_graph(
        [helper.make_node("QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["y"], name="conv")],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.INT8, [1, len(weights), 16, 16])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def every_code(channels: int = 1) -> np.ndarray:
    """All 256 codes on channel 0, zeros elsewhere."""
    x = np.zeros((1, channels, 16, 16), np.int8)
    x[0, 0] = np.arange(-128, 128).reshape(16, 16)
    return x


def test_counts_of_a_halving_convolution() -> None:
    model = qdqnp.load(conv([3], 0.5, bias=10, y_zero=-100))
    acc = 3 * np.arange(-128, 128) + 10
    for profile in ("ort", "exact", "tflite-single"):
        trace = model.trace(every_code(), profile=profile, events=True)
        found = trace.events["y"]
        assert (found.accumulator_min, found.accumulator_max) == (acc.min(), acc.max())
        assert found.ties == np.count_nonzero(acc % 2)
        real = [Fraction(int(a), 2) for a in acc]
        # halves up or to even end in the same places: neither -28.5 nor 227.5 is reached exactly here
        assert found.saturated_low == sum(value - 100 < Fraction(-257, 2) for value in real)
        assert found.saturated_high == sum(value - 100 > Fraction(255, 2) for value in real)
        assert found.inner_saturated == found.past_2_23 == found.past_2_31 == 0


def test_accumulators_past_24_and_32_bits() -> None:
    near = 2**31 - 200
    found = qdqnp.load(conv([1], 2.0**-20, bias=near)).trace(every_code(), events=True).events["y"]
    assert found.past_2_23 == 256
    assert found.past_2_31 == 0
    found = qdqnp.load(conv([3], 2.0**-20, bias=near)).trace(every_code(), events=True).events["y"]
    assert found.past_2_31 == sum(3 * code + near > 2**31 - 1 for code in range(-128, 128)) > 0


def test_inner_saturation_of_the_16_bit_stage() -> None:
    # |sum of weights| is 1, so S1 = 0, yet each channel alone reaches 127 * 127 and two of them pass 2^15
    model = qdqnp.load(conv([127, 127, 127, -127, -127, -126], 2.0**-9))
    x = np.zeros((1, 6, 16, 16), np.int8)
    x[0, :3] = np.arange(-128, 128).reshape(16, 16)
    trace = model.trace(x, profile="neural-art", events=True, accumulators=True)
    sums = 3 * 127 * np.arange(-128, 128)
    assert trace.parameters["y"]["S1"] == 0
    assert trace.events["y"].inner_saturated == np.count_nonzero((sums > 2**15 - 1) | (sums < -(2**15))) > 0


def test_the_tie_probe() -> None:
    """Weights (1, 127, 1), M = 0.5: S1 = 1, A = 2^14, S2 = 14, and the three tie rules give three output vectors."""
    model = qdqnp.load(conv([1, 127, 1], 0.5))
    outputs = []
    for tie in ("half-up", "half-away", "half-even"):
        trace = model.trace(every_code(3), profile=replace(NEURAL_ART, conv=NarrowThenAffine(tie=tie)))
        used = trace.parameters["y"]
        assert (int(used["S1"]), int(used["A"].item()), int(used["S2"])) == (1, 2**14, 14)
        outputs.append(trace["y"].reshape(-1).tolist())
        real = [Fraction(code, 2) for code in range(-128, 128)]
        want = {
            "half-up": [math.floor(v + Fraction(1, 2)) for v in real],
            "half-away": [int(math.copysign(math.floor(abs(v) + Fraction(1, 2)), v)) for v in real],
            "half-even": [round(v) for v in real],
        }[tie]
        assert outputs[-1] == want
    assert len({tuple(vector) for vector in outputs}) == 3


@pytest.mark.parametrize("profile", COMPLETE)
def test_a_whole_network_has_events_and_parameters_for_each_layer(profile: str) -> None:
    model = qdqnp.load(dla(seed=2))
    x = np.random.default_rng(1).standard_normal((1, 3, 16, 16), dtype=np.float32)
    trace = model.trace(x, profile=profile, events=True, accumulators=True)
    assert set(trace.events) == set(trace.accumulators)
    for name, found in trace.events.items():
        acc = trace.accumulators[name]
        assert (found.accumulator_min, found.accumulator_max) == (acc.min(), acc.max())
        assert found.past_2_31 == 0
        assert 1 <= found.multiplier_bits <= 53
        assert trace.parameters[name]
        at_ends = np.isin(trace[name], (-128, 127)).sum()
        assert found.saturated_low + found.saturated_high <= at_ends


def test_strategies_and_certificates_do_not_change_a_profile() -> None:
    """int64 sums take the stages themselves: the definition, against which the certified finish is held."""
    model = qdqnp.load(dla(seed=4, group=4))
    x = np.random.default_rng(2).standard_normal((1, 3, 16, 16), dtype=np.float32)
    for profile in COMPLETE:
        fast, slow = model.trace(x, profile=profile), model.trace(x, profile=profile, strategy="int64")
        certified = [str(bound.kernel.certificate) for bound in model.plan(profile).steps if bound.kernel.certificate]
        assert all("certified" in text or "rule itself" in text for text in certified)
        stages = [
            str(b.kernel.certificate) for b in model.plan(profile, strategy="int64").steps if b.kernel.certificate
        ]
        assert all(text == "int64 stages" for text in stages)
        for name, array in fast.items():
            np.testing.assert_array_equal(array, slow[name], err_msg=f"{profile} {name}")


def test_profiles_without_float_refuse_float_layers_and_list_them() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["a"], name="first"),
            helper.make_node("Relu", ["a"], ["b"], name="second"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("b", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")],
    )
    model = qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    with pytest.raises(qdqnp.ProfileError) as caught:
        model.run(np.ones((1, 1, 4, 4), np.float32), profile="tflite")
    why = "in float32: what it reads is float32 too"
    assert [problem.got for problem in caught.value.problems] == [f"Conv {why}", f"Relu {why}"]


def test_requantization_only_profiles_list_every_layer_they_do_not_define() -> None:
    model = qdqnp.load(dla())
    with pytest.raises(qdqnp.ProfileError) as caught:
        model.plan("ethos-u-natural")
    refused = [s for s in model.program().steps if s.op in ("QLinearAdd", "QLinearConcat", "QLinearGlobalAveragePool")]
    assert len(caught.value.problems) == len(refused) > 3


def test_overrides_must_name_a_layer_and_fit_it() -> None:
    model = qdqnp.load(conv([1, 127, 1], 0.5))
    trace = model.trace(every_code(3), profile=overridden("conv", (("S1", 3), ("A", [5]), ("BC", 7), ("S2", 2))))
    used = trace.parameters["y"]
    assert [np.asarray(used[name]).item() for name in ("S1", "A", "BC", "S2")] == [3, 5, 7, 2]
    x16 = (np.arange(-128, 128) + 4) >> 3
    np.testing.assert_array_equal(trace["y"].reshape(-1), np.clip((5 * x16 + 7 + 2) >> 2, -128, 127))
    with pytest.raises(qdqnp.ProfileError, match=r"conv\.overrides: expected a layer of the model, got cnov"):
        model.plan(overridden("cnov", (("S1", 3),)))
    with pytest.raises(qdqnp.ProfileError, match="override A: expected 1 or 1 values, got 2"):
        model.plan(overridden("conv", (("A", (5, 6)),)))


def overridden(label: str, values: tuple) -> qdqnp.Profile:
    plain = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in values)
    return replace(NEURAL_ART, conv=NarrowThenAffine(TIE, overrides=((label, plain),)))


@pytest.mark.parametrize(
    ("bias", "field", "count"),
    [
        (2**23 - 1, "past_2_23", 127),  # 2^23 does not fit 24 bits: the codes 1 to 127 lead past it
        (-(2**23), "past_2_23", 128),  # -2^23 does: the codes -128 to -1 lead past it
        (2**31 - 1, "past_2_31", 127),
        (-(2**31), "past_2_31", 128),
    ],
)
def test_accumulators_at_the_ends_of_24_and_32_bits(bias: int, field: str, count: int) -> None:
    events = qdqnp.load(conv([1], 2.0**-20, bias=bias)).trace(every_code(), events=True).events["y"]
    assert getattr(events, field) == count


def test_bits_of_float_multipliers() -> None:
    model = qdqnp.load(conv([3], 0.3))
    for profile, bits in (("ort", 24), ("tflite-fc-float", 53)):
        assert model.trace(every_code(), profile=profile, events=True).events["y"].multiplier_bits == bits


def test_a_stage_that_saturates_inside() -> None:
    """NVDLA holds the scaled value in 17 bits before the zero point: with 0.75 * (x + 87,400), some x are past them."""
    model = qdqnp.load(conv([1], 0.75, bias=87_400))
    scaled = [math.floor(Fraction(3, 4) * (x + 87_400) + Fraction(1, 2)) for x in range(-128, 128)]
    past = sum(value > 2**16 - 1 for value in scaled)
    assert 0 < past < 256
    assert model.trace(every_code(), profile="nvdla", events=True).events["y"].inner_saturated == past
