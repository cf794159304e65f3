"""Sums by blocks that saturate or wrap, against a loop over the products, and where only sums are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import qdqnp
from qdqnp.errors import ProfileError
from qdqnp.numerics.profile_toml import from_toml
from qdqnp.numerics.profile_writer import to_toml
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.questions.sums import Sums
from qdqnp.numerics.rules.accumulate import BlockSum, ExactSum, SplitSum, SumTerms
from qdqnp.numerics.rules.requantize.protocol import SumContext
from tests.networks import dla
from tests.numerics.profiles.test_operators import quant
from tests.oracles.fixed_point import ROUNDING, limited
from tests.oracles.shift_devices import block_sum


@pytest.mark.parametrize("overflow", ["saturate", "wrap"])
@pytest.mark.parametrize("block", [1, 3, 16, 100])
def test_blocks(overflow: str, block: int, rng: np.random.Generator) -> None:
    columns, weights = rng.integers(-128, 128, (2, 37, 5)).astype(np.int8), rng.integers(-127, 128, (2, 3, 37))
    zero, w_zero, order = -7, 2, rng.permutation(37)
    found = BlockSum(block, 16, overflow).total(
        SumTerms(columns.astype(np.int64), columns.astype(np.int64) - zero, weights, weights - w_zero, order)
    )
    for index in np.ndindex(2, 3, 5):
        g, channel, position = index
        products = [(int(columns[g, k, position]) - zero) * (int(weights[g, channel, k]) - w_zero) for k in order]
        assert found[index] == block_sum(products, block, 16, overflow == "saturate")


def test_a_wrap_of_blocks_is_a_wrap_of_the_sum_and_saturation_is_not(rng: np.random.Generator) -> None:
    columns, weights = rng.integers(-128, 128, (1, 64, 40)), rng.integers(-127, 128, (1, 8, 64))
    terms = SumTerms(columns, columns, weights, weights, np.arange(64))
    one, other = (BlockSum(block, 16, "wrap").total(terms) for block in (1, 64))
    np.testing.assert_array_equal(one, other)
    assert (BlockSum(1, 16).total(terms) != BlockSum(64, 16).total(terms)).any()


def profile(block: int, bits: int) -> qdqnp.Profile:
    text = f'base = "tflite"\n[accumulate]\nkind = "block-sum"\nblock = {block}\nbits = {bits}\n'
    made = from_toml(text, "mac")
    assert made.accumulate == BlockSum(block, bits, "saturate") and from_toml(to_toml(made), "again") == replace(made)
    return made


def test_a_whole_network_with_a_narrow_accumulator(seed: int) -> None:
    model = qdqnp.load(dla(seed))
    program = model.program()
    x = np.random.default_rng(seed).normal(0, 1, program.tensors[program.inputs[0]].shape).astype(np.float32)
    wide, narrow = (model.trace(x, profile=profile(4, bits), accumulators=True) for bits in (40, 14))
    plain = model.trace(x, profile="tflite", accumulators=True)
    convs = [step.outputs[0].name for step in program.steps if step.op == "QLinearConv"]
    assert all(np.array_equal(wide[name], plain[name]) for name in convs)
    assert any((narrow[name] != plain[name]).any() for name in convs)


def test_sums_alone_do_not_tell() -> None:
    known = Sums("conv", SumContext(quant((1.0, 0)), quant((0.1, 0)), quant((1.0, 0))), known=np.array([[5]]))
    with pytest.raises(ProfileError, match="the products that they add up"):
        known.under(replace(PROFILES["tflite"], name="mac", accumulate=BlockSum(4, 14)))
    assert known.under(PROFILES["tflite"]) is known and isinstance(known.accumulate, ExactSum)


# -- kernels that are split --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("parts", [(0, 0, 0, 1, 1, 1), (0, 1, 0, 1, 2, 2), (0,) * 6])
@pytest.mark.parametrize("shift", [0, 3, 9])
def test_parts_of_a_kernel_are_narrowed_and_added(parts: tuple[int, ...], shift: int, rng: np.random.Generator) -> None:
    """Against Python's integers; the kernel has 6 elements and 500 channels, so that parts and sums saturate."""
    channels, size = 500, len(parts)
    columns, weights = rng.integers(-20, 128, (1, channels * size, 4)), rng.integers(0, 127, (1, 3, channels * size))
    order = rng.permutation(channels * size)
    rule = SplitSum("half-up", overrides=(("", (("S1", shift), ("parts", parts))),))
    found = rule.total(SumTerms(columns, columns, weights, weights, order))
    saturated = 0
    for _, channel, position in np.ndindex(1, 3, 4):
        total = 0
        for part in sorted(set(parts)):
            inside = [k for at, k in enumerate(order) if parts[at // channels] == part]
            acc = sum(int(columns[0, k, position]) * int(weights[0, channel, k]) for k in inside)
            x16 = limited(ROUNDING["half-up"](acc, shift), 16)
            saturated += abs(x16) >= 2**15 - 1
            total = limited(total + x16, 16)
        assert found[0, channel, position] == total << shift
    assert (saturated > 0) == (shift < 9)


def test_a_split_is_of_one_layer(seed: int) -> None:
    model = qdqnp.load(dla(seed))
    program = model.program()
    convs = [step for step in program.steps if step.op == "QLinearConv"]
    shapes = [program.tensors[step.input_names[1]].shape for step in convs]
    at = next(index for index, shape in enumerate(shapes) if shape[2:] == (3, 3))
    x = np.random.default_rng(seed).normal(0, 1, program.tensors[program.inputs[0]].shape).astype(np.float32)
    plain = model.trace(x, profile="neural-art")
    base = PROFILES["neural-art-1.1.3"]
    s1 = int(plain.parameters[convs[at].outputs[0].name]["S1"])
    given = (("S1", s1), ("parts", (0, 0, 0, 1, 1, 1, 2, 2, 2)))
    profile = replace(base, name="split", accumulate=SplitSum("half-up", overrides=((convs[at].label, given),)))
    assert from_toml(to_toml(profile), "again") == profile
    split = model.trace(x, profile=profile, accumulators=True)
    for index, step in enumerate(convs[: at + 1]):
        same = np.array_equal(split[step.outputs[0].name], plain[step.outputs[0].name])
        assert same == (index < at)
    wrong = replace(
        profile, accumulate=SplitSum("half-up", overrides=((convs[at].label, (("parts", (0, 1) * 3000),)),))
    )
    with pytest.raises(ProfileError, match="a split that does not fit its layer"):
        model.run(x, profile=wrong)
    nobody = replace(profile, accumulate=SplitSum("half-up", overrides=(("nobody", given),)))
    with pytest.raises(ProfileError, match=r"accumulate\.overrides: expected a layer of the model, got nobody"):
        model.run(x, profile=nobody)
