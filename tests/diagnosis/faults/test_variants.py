"""Every way of every fault: `compare` looks at all that it makes of a layer, `explain` at one element; they agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import pytest

import qdqnp
from qdqnp.diagnosis.faults import FAULTS
from qdqnp.diagnosis.faults.fault import ChangedQuestions, Layer, place
from qdqnp.errors import QdqnpError
from qdqnp.executor.walk import walk
from qdqnp.model import feeds_for
from tests.golden_sets.nets import code_feeds, ten_of_each
from tests.ops.case import MS, Case, one_node
from tests.ops.test_origin import DRAWN

Array = np.ndarray[Any, Any]


def layers(model: onnx.ModelProto, feeds: Mapping[str, Array], profile: str) -> Iterator[Layer]:
    plan = qdqnp.load(model).plan(profile)
    given = feeds_for(plan, feeds)
    values = {**given, **walk(plan, given, None)}
    for bound in plan.steps:
        yield Layer(bound, {name: values[name] for name in bound.step.input_names if name in values})


def check(layer: Layer, rng: np.random.Generator) -> set[str]:
    """Compares an element or two of each variant; the kinds of faults that have one."""
    right = layer.bound.evaluate(layer.values)[layer.bound.step.output_names[0]]
    if not right.size:
        return set()
    if layer.parts:
        assert np.array_equal(ChangedQuestions(layer, "", {}).output(), right)
    found = set()
    for fault in FAULTS:
        for variant in fault.variants(layer):
            try:
                made = variant.output()
            except QdqnpError:
                continue
            assert made.shape == right.shape, (fault.kind, variant.text)
            found.add(fault.kind)
            changed = np.argwhere(made != right)
            for index in [rng.integers(right.shape), *changed[rng.integers(len(changed), size=min(1, len(changed)))]]:
                at = tuple(int(i) for i in index)
                code = variant.code(place(layer, at))
                assert same(made[at], right[at] if code is None else code), (fault.kind, variant.text, at)
    return found


def same(a: Any, b: Any) -> bool:
    return bool(a == b or (a != a and b != b))


@pytest.mark.parametrize("name", DRAWN)
def test_of_every_operator(name: str, rng: np.random.Generator) -> None:
    for _ in range(3):
        case = DRAWN[name](rng)
        for layer in layers(case.model, case.inputs, "ort"):
            check(layer, rng)


@pytest.mark.parametrize("profile", ["ort", "tflite"])
def test_of_many_layers(profile: str, rng: np.random.Generator) -> None:
    model, seed = ten_of_each(int(rng.integers(2**31)), same_average=True), int(rng.integers(2**31))
    found: set[str] = set()
    for layer in layers(model, code_feeds(model, seed), profile):
        found |= check(layer, rng)
    assert found >= {"wrong divisor", "missing Concat rescale", "padding off by one", "stride 1 in place of another"}


def quant(name: str, scale: Any, zero: int) -> list[tuple[str, Any]]:
    return [(f"{name}s", np.float32(scale)), (f"{name}z", np.int8(zero))]


def special(rng: np.random.Generator) -> Iterator[Case]:
    """Shapes that the networks lack."""

    def codes(*shape: int) -> Array:
        return rng.integers(-128, 128, shape).astype(np.int8)

    x, y = quant("x", 0.05, -9), quant("y", 0.3, 4)
    scales = np.float32([0.004, 0.006, 0.009])
    w = [("ws", scales), ("wz", np.int8([3, -2, 0]))]
    line = [("x", codes(2, 4, 9)), *x, ("w", codes(3, 4, 3)), *w, *y, ("b", np.int32([900, -400, 0]))]
    yield one_node("QLinearConv", line, pads=[2, 1], strides=[2])
    bias = rng.integers(-3000, 3000, (4, 3)).astype(np.int32)
    yield one_node("QGemm", [("x", codes(4, 6)), *x, ("w", codes(6, 3)), *w, ("b", bias), *y], domain=MS)
    yield one_node("QLinearMatMul", [("x", codes(2, 4, 6)), *x, ("w", codes(2, 6, 3)), *quant("w", 0.01, 5), *y])
    yield one_node("QLinearMatMul", [("x", codes(5, 6)), *x, ("w", codes(6, 3)), *w, *y])
    yield one_node("QLinearLeakyRelu", [("x", codes(1, 3, 4)), *x, *y], domain=MS, alpha=0.1)


@pytest.mark.parametrize("profile", ["ort", "exact"])
def test_of_special_shapes(profile: str, rng: np.random.Generator) -> None:
    for case in special(rng):
        (layer,) = layers(case.model, case.inputs, profile)
        assert check(layer, rng)
