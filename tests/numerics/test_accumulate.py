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
from qdqnp.numerics.rules.accumulate import BlockSum, ExactSum, SumTerms
from qdqnp.numerics.rules.requantize.protocol import SumContext
from tests.networks import dla
from tests.numerics.profiles.test_operators import quant
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
