"""Finishes of tiles in memory, with channels next to each other or in blocks, against rules and plain expressions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from qdqnp.executor.fast.sums import Linear
from qdqnp.kernels.certify import CertifiedLine
from qdqnp.kernels.finish import CertifiedFinish
from qdqnp.numerics.rules.requantize.float_scale import FloatScaled
from qdqnp.quant import Array, Quant
from qdqnp.schedule.finish import Finish, finish_of, tile_floats

PIXELS = 7


def finished(finish: Finish, sums: Array, blocks: int = 1) -> Array:
    """What a finish makes of sums (pixels, channels) in a tile; memory is as large as it says, and NaN at first."""
    pixels, channels = sums.shape
    inner = channels // blocks
    tile = np.full(blocks * tile_floats(pixels, inner), np.nan, np.float32)
    where = tile.reshape(blocks, -1, inner)[:, :pixels]
    where[...] = sums.reshape(pixels, blocks, inner).transpose(1, 0, 2)
    with np.errstate(all="ignore"):  # as in a run
        finish.bind(tile, np.full(finish.wide_floats * tile.size, np.nan, np.float32))()
    out = np.full(where.shape, np.nan, np.float32)
    finish.settle(where, out)
    return out.transpose(1, 0, 2).reshape(pixels, channels)


def direct(multiplier: Array, bias: Array | None, y: Quant) -> Finish | None:
    """The finish of a layer under ONNX Runtime's rule, of which nothing else is looked at."""
    channels = multiplier.size
    rule = FloatScaled(multiplier, bias, y)
    layer = SimpleNamespace(correction=np.zeros(channels, np.int64), finish=None, requantizer=rule)
    return finish_of(cast(Linear, layer))


@pytest.mark.parametrize("channels", [1, 24, 96])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_a_rule_of_one_float32_expression(dtype: type, channels: int, rng: np.random.Generator) -> None:
    """Also of biases that float32 does not hold, whose sums are rounded once: a second time would meet a tie."""
    y = Quant(np.dtype(dtype), np.array(1, np.float32), np.array(3, dtype))
    multiplier = rng.uniform(1e-3, 1e-2, channels).astype(np.float32)
    large = np.full(channels, 2**24 + 1)
    for bias in (None, rng.integers(-9999, 9999, channels), rng.choice([2**24 + 1, -(2**31) + 5, 7], channels), large):
        for scale in (multiplier, np.full(channels, 2.0**-20, np.float32)):
            rule, finish = FloatScaled(scale, bias, y), direct(scale, bias, y)
            assert finish is not None
            sums = rng.integers(-60_000, 60_000, (PIXELS, channels))
            sums[0], sums[1] = 2**19 + 1, -(2**19)  # with the large bias, near to 16.5 and 15.5 times 2^20
            np.testing.assert_array_equal(finished(finish, sums), rule(sums).astype(int) - 3)
            for blocks in {blocks for blocks in (2, 3, 8) if channels % blocks == 0}:
                apart = finish.in_blocks(blocks)
                assert (apart is None) == (bias is not None and bool((np.abs(bias) > 2**24).any()))
                if apart is not None:
                    np.testing.assert_array_equal(finished(apart, sums, blocks), finished(finish, sums))


def test_a_multiplier_that_is_no_number_is_the_rules() -> None:
    y = Quant(np.dtype(np.int8), np.array(1, np.float32), np.array(3, np.int8))
    assert direct(np.array([1, np.inf], np.float32), None, y) is None
    assert direct(np.array([1, np.nan], np.float32), None, y) is None
    assert direct(np.array([1, 2], np.float32), None, y) is not None


@pytest.mark.parametrize("carrier", [np.float32, np.float64])
@pytest.mark.parametrize("nudged", [False, True])
@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("shift", [0, 4])
def test_a_certified_expression(
    carrier: type, nudged: bool, limited: bool, shift: int, rng: np.random.Generator
) -> None:
    """With a nudge, with a clip of each channel, with sums that are rounded first, in float32 and in float64."""
    for channels, bound in ((1, 60_000), (24, 2**24), (96, 60_000)):
        multiplier, offset, nudge = (
            rng.uniform(*ends, channels).astype(carrier) for ends in ((1e-3, 1e-2), (-3, 3), (0, 0.4))
        )
        low, high = (rng.integers(*ends, channels if limited else 1) for ends in ((-131, -90), (90, 124)))
        limits = (np.broadcast_to(limit, (channels,)) for limit in (low, high))
        line = CertifiedLine(multiplier, offset, nudge if nudged else None, 0.5, *limits, shift, np.dtype(carrier))
        sums = rng.integers(-60_000, 60_000, (PIXELS, channels))
        expected = _plainly(line, sums)
        finish = certified(line, bound)
        np.testing.assert_array_equal(finished(finish, sums), expected)
        for blocks in {blocks for blocks in (2, 3, 8) if channels % blocks == 0}:
            apart = finish.in_blocks(blocks)
            assert apart is not None
            np.testing.assert_array_equal(finished(apart, sums, blocks), expected)


def certified(line: CertifiedLine, bound: int) -> Finish:
    """The finish of a layer of a certified expression, whose sums are proven to stay within a bound."""
    centered = line.along(1)
    layer = SimpleNamespace(
        correction=np.zeros(line.multiplier.size, np.int64),
        finish=CertifiedFinish(centered, None, np.zeros(0, np.int64), None, 1, centered),
        requantizer=SimpleNamespace(expression=None),
        weights=SimpleNamespace(proof=SimpleNamespace(bound=bound)),
    )
    finish = finish_of(cast(Linear, layer))
    assert finish is not None
    return finish


def _plainly(line: CertifiedLine, sums: Array) -> Array:
    """clip(floor(first(sum) * multiplier + offset + sign * nudge), low, high), as the line says."""
    first = (sums + (1 << line.first_shift >> 1)) >> line.first_shift
    real = first.astype(line.carrier) * line.multiplier + line.offset
    if line.nudge is not None:
        real += np.copysign(line.nudge, real - line.carrier.type(line.pivot))
    return np.asarray(np.clip(np.floor(real), line.low, line.high))
