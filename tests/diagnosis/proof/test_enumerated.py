"""Claims against all inputs that there are, for layers that are small enough to try them all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import qdqnp
from qdqnp.diagnosis.proof.claim import DIFFERS, NEVER, Claim
from qdqnp.diagnosis.proof.prove import prove
from qdqnp.executor.fast.kernel import Definition
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import profile_named
from qdqnp.numerics.questions import Summed
from qdqnp.ops.integer.asking import IntegerOperator
from tests.ops.case import one_node
from tests.stimuli.layers import F, binary, conv, gemm

Array = NDArray[Any]
PAIRS = (
    ("ort", "tflite"),
    ("ort", "tflite-single"),
    ("ort", "neural-art"),
    ("neural-art-1.1.1", "neural-art"),
    ("tflite", "tflite-ruy"),
    ("exact", "cmsis-nn-single"),
    ("xnnpack-fp32", "ort"),
)
EVERY = np.arange(256)
PAIRS_OF_CODES = np.array(list(product(EVERY, EVERY)))


def scales(rng: np.random.Generator, channels: int, terms: int) -> tuple[float, Array, float]:
    """Scales with which codes of the output are seldom clipped; some ratios are powers of two, where ties lie."""
    x, w = F(rng.uniform(0.01, 0.1)), rng.uniform(0.5, 1, channels).astype(F) / 64
    y = F(x * w.max() * rng.uniform(20, 200) * terms)
    return (F(2**-5), (2.0 ** -rng.integers(5, 8, channels)).astype(F), F(2**-4)) if rng.random() < 0.3 else (x, w, y)


# Each makes a layer of a batch of `n`, whose image n has two codes.
def pointwise(rng: np.random.Generator, n: int) -> onnx.ModelProto:
    weights = rng.integers(-128, 128, (3, 2, 1, 1))
    zeros, bias = (int(rng.integers(-128, 128)), int(rng.integers(-40, 40))), rng.integers(-900, 900, 3)
    return conv(weights, (n, 2, 1, 1), scales(rng, 3, 2), zeros=zeros, bias=bias.tolist())


def padded(rng: np.random.Generator, n: int) -> onnx.ModelProto:
    """Three places, of which the outer ones see two taps, and no place sees all three."""
    weights, zero = rng.integers(-20, 21, (2, 1, 1, 3)) * 4, int(rng.integers(-128, 128))
    return conv(weights, (n, 1, 1, 2), scales(rng, 2, 2), zeros=(zero, 3), pads=[0, 2, 0, 2])


def depthwise(rng: np.random.Generator, n: int) -> onnx.ModelProto:
    weights = rng.integers(-128, 128, (2, 1, 1, 1))
    return conv(weights, (n, 2, 1, 1), scales(rng, 2, 1), zeros=(5, -9), group=2)


def dense(rng: np.random.Generator, n: int) -> onnx.ModelProto:
    zeros = (int(rng.integers(-128, 128)), 4)
    return gemm(rng.integers(-128, 128, (3, 2)), n, scales(rng, 3, 2), zeros, rng.integers(-500, 500, 3).tolist())


def pooled(op: str, **attributes: Any) -> Callable[[np.random.Generator, int], onnx.ModelProto]:
    def make(rng: np.random.Generator, n: int) -> onnx.ModelProto:
        x, same = F(rng.uniform(0.02, 0.1)), rng.random() < 0.5
        y = x if same else F(x * rng.uniform(0.5, 1.5))
        zero = np.int8(rng.integers(-128, 128))
        arguments = [("x", np.zeros((n, 1, 1, 2), np.int8)), ("xs", x), ("xz", zero), ("ys", y)]
        arguments.append(("yz", zero if same else np.int8(7)))
        return one_node(op, arguments, domain="com.microsoft", **attributes).model

    return make


LAYERS = {
    "pointwise": pointwise,
    "padded": padded,
    "depthwise": depthwise,
    "dense": dense,
    "global average": pooled("QLinearGlobalAveragePool"),
    "average": pooled("QLinearAveragePool", kernel_shape=[1, 2], pads=[0, 1, 0, 1]),
    "average of padding": pooled("QLinearAveragePool", kernel_shape=[1, 2], pads=[0, 1, 0, 1], count_include_pad=1),
}


def claim_of(model: onnx.ModelProto, first: Profile, second: Profile) -> Claim:
    (row,) = prove(qdqnp.load(model), [("first", first), ("second", second)]).rows
    return row.claims[0]


def outputs(model: onnx.ModelProto, feeds: dict[str, Array], *profiles: Profile) -> tuple[list[Array], Array | None]:
    """The output under each profile by the definition, and the sums of its elements where it has them."""
    made, sums = [], None
    for profile in profiles:
        (bound,) = qdqnp.load(model).plan(profile).steps
        arrays = bound.arrays({name: bound.tensors[name].as_here(array) for name, array in feeds.items()})
        (codes,) = Definition(bound.operator, bound.binding)(arrays, Scratch())
        made.append(bound.tensors["y"].as_in_file(codes).astype(np.int64))
        assert isinstance(bound.operator, IntegerOperator)
        (part, *_) = bound.operator.questions(bound.step, *arrays)
        if isinstance(part.question, Summed):
            sums = np.empty(codes.shape, np.int64)
            part.put(sums, part.question.sums)
    return made, sums


def alike(model: onnx.ModelProto, first: Profile, second: Profile) -> bool:
    """Whether both profiles have one and the same rule for the layer; nothing needs to be counted then."""
    (bound,) = qdqnp.load(model).plan(first).steps
    return bool(getattr(first, bound.operator.rule) == getattr(second, bound.operator.rule))


def check_witness(model: onnx.ModelProto, claim: Claim, first: Profile, second: Profile) -> None:
    """The witness does what is claimed, by the definition."""
    assert claim.witness is not None
    found = []
    for profile in (first, second):
        (bound,) = qdqnp.load(model).plan(profile).steps
        given = {name: bound.tensors[name].as_here(array) for name, array in claim.witness.inputs.items()}
        (made,) = Definition(bound.operator, bound.binding)(bound.arrays(given), Scratch())
        found.append(int(bound.tensors["y"].as_in_file(made)[claim.witness.index]))
    assert tuple(found) == claim.witness.codes
    assert abs(found[0] - found[1]) == claim.largest


@pytest.mark.parametrize("pair", PAIRS, ids=",".join)
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("seed", range(2))
def test_every_input_of_a_layer_that_sums(kind: str, pair: tuple[str, str], seed: int) -> None:
    first, second = (profile_named(name) for name in pair)
    if kind.startswith("average") and "ort" in pair:
        first = second = profile_named(
            "neural-art" if first.name == "ort" else first.name
        )  # ort's is no function of sums
    draw = [seed, *kind.encode()]
    one, every = (LAYERS[kind](np.random.default_rng(draw), n) for n in (1, len(PAIRS_OF_CODES)))
    claim = claim_of(one, first, second)
    shape = [d.dim_value for d in every.graph.input[0].type.tensor_type.shape.dim][1:]
    codes = (PAIRS_OF_CODES - 128).astype(np.int8).reshape(-1, *shape)
    (a, b), sums = outputs(every, {"x": codes}, first, second)
    assert claim.largest == int(np.abs(a - b).max())
    assert bool(claim.counted) != alike(one, first, second)
    if claim.counted and not kind.startswith("average"):
        assert sums is not None
        channels = np.broadcast_to(np.arange(sums.shape[1]).reshape(-1, *[1] * (sums.ndim - 2)), sums.shape)
        seen, at = np.unique(np.stack([channels.ravel(), sums.ravel()]), axis=1, return_index=True)
        assert (claim.reachable, claim.differing) == (seen.shape[1], int((a != b).ravel()[at].sum()))
    assert claim.verdict == (DIFFERS if claim.largest else NEVER)
    if claim.largest:
        check_witness(one, claim, first, second)


@pytest.mark.parametrize("pair", PAIRS, ids=",".join)
@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
def test_every_pair_of_codes(op: str, pair: tuple[str, str]) -> None:
    first, second = (profile_named(name) for name in pair)
    if op == "QLinearMul":
        first, second = (profile_named(n if "neural" not in n else "tflite-single") for n in pair)
    rng = np.random.default_rng(len(op))
    for kind in ("plain", "constant", "same"):
        given = [float(s) for s in rng.uniform(0.02, 0.1, 2)]
        y = sum(given) if op == "QLinearAdd" else given[0] * given[1] * 60
        zeros = [int(zero) for zero in rng.integers(-100, 100, 3)]
        constant = rng.integers(-128, 128, 5).astype(np.int8) if kind == "constant" else None
        made = [
            binary(op, ((n, 5), (n, 5)), (*given, y), zeros, constant, kind == "same") for n in (1, len(PAIRS_OF_CODES))
        ]
        claim = claim_of(made[0], first, second)
        a, b = ((PAIRS_OF_CODES[:, [i] * 5] - 128).astype(np.int8) for i in (0, 1))
        feeds = {"a": a} if kind != "plain" else {"a": a, "b": b}
        (one, other), _ = outputs(made[1], feeds, first, second)
        other_operand = a if kind == "same" else b if constant is None else np.broadcast_to(constant, a.shape)
        seen, at = np.unique(np.stack([a.ravel(), other_operand.ravel()]), axis=1, return_index=True)
        assert bool(claim.counted) != alike(made[0], first, second)
        if claim.counted:
            assert (claim.reachable, claim.differing) == (seen.shape[1], int((one != other).ravel()[at].sum())), kind
        assert claim.largest == int(np.abs(one - other).max())
        if claim.largest:
            check_witness(made[0], claim, first, second)


@pytest.mark.parametrize("pair", PAIRS, ids=",".join)
def test_every_code(pair: tuple[str, str]) -> None:
    """A Concat of three tensors, two of which are rescaled."""
    first, second = (profile_named(name) for name in pair)
    arguments = [("ys", F(0.07)), ("yz", np.int8(3))]
    for index, (scale, zero) in enumerate(((0.07, 3), (0.05, -100), (0.031, 77))):
        arguments += [(f"x{index}", np.zeros((1, 256), np.int8)), (f"s{index}", F(scale)), (f"z{index}", np.int8(zero))]
    names = ["x0", "x1", "x2"]
    model = one_node("QLinearConcat", arguments, names, domain="com.microsoft", axis=1, output=np.int8).model
    claim = claim_of(model, first, second)
    codes = (EVERY - 128).astype(np.int8)[None]
    (a, b), _ = outputs(model, dict.fromkeys(names, codes), first, second)
    assert claim.largest == int(np.abs(a - b).max())
    if first.concat != second.concat:
        assert (claim.counted, claim.reachable, claim.differing) == ("codes", 3 * 256, int((a != b).sum()))
    if claim.largest:
        check_witness(model, claim, first, second)


def test_a_difference_that_no_input_makes_is_none() -> None:
    """Weights with a common factor reach every third sum only; the two rules differ on others alone."""
    plain = profile_named("neural-art")
    even = replace(plain, name="even", conv=replace(plain.conv, tie="half-even"))  # type: ignore[type-var]
    weights = np.array([[[[2]], [[64]], [[62]]]])  # S1 = 0: the first narrowing rounds nothing
    settings = {"zeros": (0, 0), "bias": [0]}
    odd = conv(np.array([[[[1]]]]), (1, 1, 1, 1), (0.5, [1.0], 1.0), **settings)  # M = 1/2: odd sums are ties
    assert claim_of(odd, plain, even).verdict == DIFFERS
    even_sums = conv(weights, (1, 3, 1, 1), (0.5, [1.0], 1.0), **settings)
    assert claim_of(even_sums, plain, even).verdict == NEVER
