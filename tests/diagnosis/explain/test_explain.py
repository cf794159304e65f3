"""explain: its steps lead to the code that the engine gives, and a planted cause is among those that it finds."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import qdqnp
from qdqnp.diagnosis.explain.explain import Explanation, explain
from qdqnp.errors import InputError
from qdqnp.model import Model
from qdqnp.numerics.profile_toml import from_toml
from qdqnp.numerics.profiles import PROFILES
from qdqnp.program import Step
from tests.diagnosis.identify.simulated import COMPLETE, feeds, network

TRUNCATION = "truncation instead of rounding"


def load(seed: int) -> tuple[Model, dict[str, np.ndarray]]:
    return qdqnp.load(network(seed)), feeds(np.random.default_rng(seed), 1)[0]


def element(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(rng.integers(size)) for size in shape)


@pytest.mark.parametrize("name", COMPLETE)
def test_every_layer_of_every_profile_is_led_to_its_code(name: str, seed: int) -> None:
    model, x = load(seed)
    rng = np.random.default_rng(seed)
    trace = model.trace(x, profile=name, accumulators=True)
    for step in model.program(name).steps:
        tensor = step.output_names[0]
        at = element(rng, trace[tensor].shape)
        found = explain(model, x, tensor, at, [PROFILES[name], PROFILES["nvdla"]])
        account = found.accounts[0]
        assert account.code == trace[tensor][at] and found.tensor == tensor and found.op == step.op
        steps = {line.name: line.value for line in account.lines}
        if step.op in ("QLinearConv", "QGemm"):
            assert found.total + found.bias == trace.accumulators[tensor][at]
            assert steps["y"] == account.code
            assert found.term_count == np.prod(trace_weights(model, step).shape[1:])
        if "unclipped" in steps:
            info = np.iinfo(trace[tensor].dtype)
            assert min(max(steps["unclipped"], info.min), info.max) == account.code
            assert account.saturated == (steps["unclipped"] != account.code)


def trace_weights(model: Model, step: Step) -> np.ndarray:
    found = model.program().tensors[step.input_names[1]].const
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["tflite", "tflite-single", "neural-art-1.1.3", "exact", "ort"])
def test_values_before_rounding_are_within_one_of_what_follows(name: str, seed: int) -> None:
    model, x = load(seed)
    rng = np.random.default_rng(seed)
    for step in model.program().steps:
        if step.op in ("QLinearConv", "QGemm", "QLinearAdd", "QLinearGlobalAveragePool"):
            shape = model.trace(x, profile=name)[step.output_names[0]].shape
            account = explain(model, x, step.label, element(rng, shape), [PROFILES[name]]).accounts[0]
            assert any(line.before is not None for line in account.lines)
            for line in account.lines:
                if line.before is not None:
                    z = int(step.outputs[0].quant.zero_point) if line.name == "unclipped" else 0
                    near = min(abs(line.before - Fraction(line.value)), abs(line.before + z - Fraction(line.value)))
                    assert near < 1 and 0 <= line.tie_distance <= Fraction(1, 2)


def test_the_distance_to_the_next_code_is_where_it_changes(seed: int) -> None:
    model, x = load(seed)
    step = next(s for s in model.program().steps if s.op == "QLinearConv")
    profile = PROFILES["tflite"]
    shape = model.trace(x, profile=profile)[step.output_names[0]].shape
    found = explain(model, x, step.label, element(np.random.default_rng(seed), shape), [profile])
    account, channel = found.accounts[0], found.index[1]
    bound = next(b for b in model.plan(profile).steps if b.step.label == step.label)
    (part,) = bound.questions({step.input_names[0]: x_codes(model, x, step)})

    def code(total: int) -> int:
        return int(part.question.with_sums(np.full((1, shape[1]), total)).codes(profile.conv)[0, channel])

    assert code(found.total) == account.code
    for sign, distance in zip((-1, 1), account.to_change, strict=True):
        if distance is not None:
            assert code(found.total + sign * distance) != account.code == code(found.total + sign * (distance - 1))


def x_codes(model: Model, x: dict[str, np.ndarray], step: Step) -> np.ndarray:
    return model.trace(x, profile="tflite")[step.input_names[0]]


def constants(model: Model, step: Step) -> list[np.ndarray]:
    return [model.program().tensors[name].const for name in step.input_names[1:]]


# -- planted causes, computed here by hand -----------------------------------------------------------------------------
class Hand:
    """The first Conv of a network, element by element, in Python integers and one float32 product."""

    def __init__(self, seed: int) -> None:
        self.model, self.x = load(seed)
        self.step: Step = next(s for s in self.model.program().steps if s.op == "QLinearConv")
        self.codes = x_codes(self.model, self.x, self.step).astype(int)
        self.weights, self.bias = (array.astype(int) for array in constants(self.model, self.step))
        self.q_x, self.q_w = (operand.quant for operand in self.step.inputs[:2])
        self.q_y = self.step.outputs[0].quant

    def sum(self, at: tuple[int, ...], zero: int, pad: int) -> int:
        _, c, i, j = at
        total = 0
        for k in range(3):
            for a in range(3):
                for b in range(3):
                    row, col = i + a - 1, j + b - 1
                    inside = 0 <= row < 12 and 0 <= col < 12
                    code = self.codes[0, k, row, col] if inside else pad
                    total += (code - zero) * self.weights[c, k, a, b]
        return int(total)

    def code(self, total: int, channel: int, clamp: bool = True) -> int:
        scale = np.float32(self.q_x.scale * self.q_w.scale[channel]) / self.q_y.scale
        value = int(np.rint(np.float32(total) * np.float32(scale))) + int(self.q_y.zero_point)
        return max(-128, min(127, value)) if clamp else (value + 128) % 256 - 128

    def faulty(self, fault: str, at: tuple[int, ...]) -> int:
        z, c = int(self.q_x.zero_point), at[1]
        good = self.sum(at, z, z)
        other = c - 1 if c else 1
        b = int(self.bias[c])
        made: dict[str, Any] = {
            "none": lambda: self.code(good + b, c),
            "all biases dropped": lambda: self.code(good, c),
            "neighbour's bias": lambda: self.code(good + int(self.bias[other]), c),
            "neighbour's scale": lambda: self.code(good + b, other),
            "missing input zero point": lambda: self.code(self.sum(at, 0, 0) + b, c),
            "padding with 0": lambda: self.code(self.sum(at, z, 0) + b, c),
            "16-bit accumulator": lambda: self.code((good + b + 2**15) % 2**16 - 2**15, c),
            "missing clamp": lambda: self.code(good + b, c, clamp=False),
            "signed against unsigned": lambda: (self.code(good + b, c) + 256) % 256 - 128,
        }
        return int(made[fault]())


@pytest.mark.parametrize(
    "fault",
    [
        "all biases dropped",
        "neighbour's bias",
        "neighbour's scale",
        "missing input zero point",
        "padding with 0",
        "16-bit accumulator",
        "missing clamp",
        "signed against unsigned",
    ],
)
def test_a_planted_fault_of_a_conv_is_among_the_causes(fault: str, seed: int) -> None:
    """Networks are drawn until the fault changes one of a few elements: a sum past 16 bits needs luck."""
    for number in range(seed, 2**40):
        hand = Hand(number)
        rng = np.random.default_rng(number)
        for _ in range(40):
            at = (0, int(rng.integers(8)), int(rng.choice([0, 5, 11])), int(rng.choice([0, 6, 11])))
            got, right = hand.faulty(fault, at), hand.faulty("none", at)
            if got != right:
                account = explained(hand, at, got).accounts[0]
                assert account.code == right
                assert fault in {cause.kind for cause in account.causes}
                assert all(cause.code == got for cause in account.causes)
                return


def explained(hand: Hand, at: tuple[int, ...], got: int) -> Explanation:
    return explain(hand.model, hand.x, hand.step.label, at, [PROFILES["ort"]], got)


@pytest.mark.parametrize(
    ("toml", "kind", "operator"),
    [
        ('[conv]\nkind = "narrow-then-affine"\ntie = "floor"', TRUNCATION, "QLinearConv"),
        ('[conv]\nkind = "rational-scale"', "double rounding", "QLinearConv"),
        ('[add]\nkind = "aligned-add"\ntie = "floor"', TRUNCATION, "QLinearAdd"),
        ('[concat]\nkind = "affine-lookup"\ntie = "floor"', TRUNCATION, "QLinearConcat"),
        (
            '[global_average_pool]\nkind = "narrow-mean"\ntie = "floor"',
            "truncating average",
            "QLinearGlobalAveragePool",
        ),
        (
            '[average_pool.mean]\nkind = "narrow-mean"\ntie = "floor"',
            "truncating average",
            "QLinearAveragePool",
        ),
    ],
)
def test_another_rule_is_among_the_causes(toml: str, kind: str, operator: str, seed: int) -> None:
    """The device is neural-art with one rule changed; the layer's inputs are what the network is given before it."""
    mine = from_toml(f'base = "neural-art"\n{toml}', "mine")
    for number in range(seed, 2**40):
        model, x = load(number)
        trace = model.trace(x, profile="neural-art")
        for step in model.program().steps:
            if step.op != operator:
                continue
            bound = next(b for b in model.plan(mine).steps if b.step.label == step.label)
            name = step.output_names[0]
            theirs = bound.evaluate({n: trace[n] for n in step.input_names if n in trace})[name]
            differing = np.argwhere(theirs != trace[name])
            if len(differing):
                at = tuple(int(i) for i in differing[0])
                found = explain(model, x, name, at, [PROFILES["neural-art-1.1.3"]], int(theirs[at])).accounts[0]
                assert found.code == trace[name][at] != theirs[at]
                assert kind in {cause.kind for cause in found.causes}
                return


def test_exchanged_scales_of_an_add_are_among_the_causes(seed: int) -> None:
    model, x = load(seed)
    step = next(s for s in model.program().steps if s.op == "QLinearAdd")
    trace = model.trace(x, profile="exact")
    a, b = (trace[name].astype(int) for name in step.input_names)
    (q_a, q_b), q_y = (operand.quant for operand in step.inputs), step.outputs[0].quant
    for at in np.ndindex(*a.shape):
        left = (int(a[at]) - int(q_a.zero_point)) * Fraction(float(q_b.scale))
        right = (int(b[at]) - int(q_b.zero_point)) * Fraction(float(q_a.scale))
        real = (left + right) / Fraction(float(q_y.scale))
        got = max(-128, min(127, round(real) + int(q_y.zero_point)))
        if got != trace[step.output_names[0]][at]:
            found = explain(model, x, step.label, at, [PROFILES["exact"]], got).accounts[0]
            assert "swapped operands' scales" in map(str, found.causes)
            return
    pytest.fail("exchanged scales changed nothing")


def test_a_value_without_a_cause_has_none_and_the_right_value_needs_none() -> None:
    model, x = load(1)
    step = next(s for s in model.program().steps if s.op == "MaxPool")
    found = explain(model, x, step.label, (0, 0, 0, 0), [PROFILES["ort"]])
    code = found.accounts[0].code
    assert len(found.operands) == 4 and code == max(operand[1] for operand in found.operands)
    assert explain(model, x, step.label, (0, 0, 0, 0), [PROFILES["ort"]], code + 1).accounts[0].causes == ()
    conv = next(s for s in model.program().steps if s.op == "QLinearConv")
    right = explain(model, x, conv.label, (0, 0, 0, 0), [PROFILES["ort"]]).accounts[0].code
    assert explain(model, x, conv.label, (0, 0, 0, 0), [PROFILES["ort"]], right).accounts[0].causes == ()


def test_what_does_not_exist_is_refused_with_what_does() -> None:
    model, x = load(1)
    conv = next(s for s in model.program().steps if s.op == "QLinearConv")
    with pytest.raises(InputError, match="no such layer") as caught:
        explain(model, x, conv.label + "x", (0, 0, 0, 0), [PROFILES["ort"]])
    assert conv.label in str(caught.value)
    for index in ((0, 0, 0), (0, 8, 0, 0), (0, -1, 0, 0)):
        with pytest.raises(InputError, match=r"4 numbers within shape \[1, 8, 12, 12\]"):
            explain(model, x, conv.label, index, [PROFILES["ort"]])
    account = explain(model, x, conv.label, (0, 0, 0, 0), [PROFILES["ort"], PROFILES["pow2"]]).accounts[1]
    assert account.code is None and "powers of two" in account.note
