"""A certified expression equals its rule on every integer of the reachable range, and a wrong rule is never proven."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

import qdqnp.kernels.certify as certifying
from qdqnp.executor.fast.sums import make_layer
from qdqnp.kernels.certify import CertifiedLine, Points, Steps, certify
from qdqnp.kernels.finish import CertifiedFinish, IntegerFinish
from qdqnp.kernels.scratch import Scratch
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.rules.requantize.protocol import Requantizer, SumContext
from qdqnp.quant import Quant
from tests.memory import peak_memory

BOUND = 20_000
CHANNELS = 24
#: More sums than the points of any layer here.
WHOLE = 2**20
SMALL, LARGE = np.dtype(np.float32), np.dtype(np.float64)
NAMES = (
    "tflite",
    "tflite-ruy",
    "tflite-single",
    "tosa-double",
    "ethos-u-truncate",
    "ethos-u85-dasym",
    "tflite-16x8",
    "xnnpack-fp32",
    "xnnpack-rndnu",
    "tflite-fc-float",
    "nvdla",
    "pow2",
    "pow2-floor",
    "pow2-even",
    "exact",
    "neural-art-1.1.3",
    "neural-art-1.1.1",
)


def layer(rng: np.random.Generator, zero: int, powers: bool, top: float = 1.0) -> SumContext:
    """Multipliers from 2^-12 to top: some powers of two, whose steps are exact ties."""
    real = 2.0 ** rng.uniform(-12, np.log2(top), CHANNELS)
    real[: CHANNELS if powers else CHANNELS // 3] = 2.0 ** rng.integers(-12, 0, CHANNELS if powers else CHANNELS // 3)
    w = Quant(np.dtype(np.int8), real.astype(np.float32), np.zeros(CHANNELS, np.int8), 0)
    one = Quant(np.dtype(np.int8), np.asarray(1, np.float32), np.asarray(0, np.int8))
    y = Quant(np.dtype(np.int8), np.asarray(1, np.float32), np.asarray(zero, np.int8))
    bias = rng.integers(-3000, 3000, CHANNELS).astype(np.int32)
    weights = rng.integers(-128, 128, (CHANNELS, 40))
    return SumContext(one, w, y, bias, weights=weights)


@dataclass
class Found:
    """A rule, what certify made of it, and the codes of both at every integer of the range."""

    requantize: Callable[[Any], Any]
    expression: CertifiedLine
    proven: Any
    sums: Any

    def differing(self) -> Any:
        """How many integers of each channel the expression gets wrong."""
        got = self.expression.along(1)(self.sums.astype(self.expression.carrier), Scratch())
        return (got.astype(np.int64) != self.requantize(self.sums)).sum(axis=0)


def certified(
    bound: Requantizer, carrier: np.dtype[Any], requantize: Callable[[Any], Any] | None = None, reach: int = BOUND
) -> Found:
    slope, y = bound.slope, bound.y
    assert slope is not None and y is not None
    assert slope.low <= -reach and slope.high >= BOUND
    wide = [np.broadcast_to(value, (CHANNELS,)) for value in (slope.multiplier, slope.offset)]
    nudges = tuple(np.broadcast_to(nudge, (CHANNELS,)) for nudge in slope.nudges)
    low, high = np.full(CHANNELS, -reach), np.full(CHANNELS, reach)
    rule = requantize or bound
    steps = Steps.of(rule, *wide, slope.first_shift, int(y.zero_point), y.dtype, low, high)
    found = certify(steps, *wide, nudges, slope.first_shift, carrier)
    sums = np.arange(-reach, reach + 1)[:, None] + np.zeros(CHANNELS, np.int64)
    return Found(rule, *found, sums)


@pytest.mark.parametrize("carrier", [SMALL, LARGE], ids=str)
@pytest.mark.parametrize("zero", [-128, 0, 127])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_proven_holds_on_every_integer(name: str, zero: int, carrier: np.dtype[Any]) -> None:
    made = layer(np.random.default_rng(1), zero, powers=name.startswith("pow2"), top=0.9)
    bound = PROFILES[name].conv.bind(made)
    if carrier == SMALL and bound.slope is not None and bound.slope.first_shift:
        pytest.skip("a first rounding takes float64")
    found = certified(bound, carrier)
    assert not found.differing()[found.proven].any()


@pytest.mark.parametrize("one_clip", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_proven_of_centred_codes_holds_on_every_integer(name: str, one_clip: bool) -> None:
    """Sums that a correction was added to, and codes less the zero point."""
    rng = np.random.default_rng(2)
    for zero in (-128, 5, 127):
        bound = PROFILES[name].conv.bind(layer(rng, zero, powers=name.startswith("pow2"), top=0.9))
        slope, y = bound.slope, bound.y
        assert slope is not None and y is not None
        correction = rng.integers(-500, 500, CHANNELS)
        wide = [np.broadcast_to(value, (CHANNELS,)) for value in (slope.multiplier, slope.offset)]
        nudges = tuple(np.broadcast_to(nudge, (CHANNELS,)) for nudge in slope.nudges)
        ends = np.full(CHANNELS, -BOUND), np.full(CHANNELS, BOUND)
        steps = Steps.of(bound, *wide, slope.first_shift, zero, y.dtype, *ends)
        # the rule of sums less the correction is that of raw sums: its steps lie elsewhere by as much
        moved = replace(steps, shift=-correction).centered(correction)
        for (sums, codes), (before, was) in zip(moved.pieces(), steps.pieces(), strict=True):
            np.testing.assert_array_equal(sums, before)
            np.testing.assert_array_equal(codes, was - np.int16(zero))
        line, proven = certify(moved, wide[0], wide[1] - zero, nudges, slope.first_shift, LARGE, one_clip)
        found = Found(lambda sums, rule=bound, zero=zero: rule(sums).astype(np.int64) - zero, line, proven, None)
        found.sums = np.arange(-BOUND, BOUND + 1)[:, None] + np.zeros(CHANNELS, np.int64)
        assert not found.differing()[proven].any()
        if one_clip:
            assert len(set(line.low)) == len(set(line.high)) == 1
        elif name in ("tflite", "exact"):
            assert proven.any()


@pytest.mark.parametrize("name", ["tflite-single", "tflite", "xnnpack-rndnu", "pow2"])
def test_float64_proves_most_channels(name: str) -> None:
    """What was proven is not an empty set."""
    made = layer(np.random.default_rng(1), 3, powers=name == "pow2", top=0.9)
    assert certified(PROFILES[name].conv.bind(made), LARGE).proven.mean() > 0.5


def test_an_inner_saturation() -> None:
    """Weights that cancel give S1 = 0: x16 saturates at sums of 2^15, while codes still have room above."""
    made = layer(np.random.default_rng(5), 0, powers=False)
    real = np.random.default_rng(6).uniform(40, 120, CHANNELS) / 2**15
    w = Quant(np.dtype(np.int8), real.astype(np.float32), np.zeros(CHANNELS, np.int8), 0)
    weights = np.tile([1, -1], (CHANNELS, 20))
    bound = PROFILES["neural-art-1.1.3"].conv.bind(SumContext(made.x, w, made.y, weights=weights))
    found = certified(bound, LARGE, reach=40_000)
    codes = found.requantize(found.sums)
    assert (codes[-1] == codes[-1 - 40_000 + 2**15]).all() and (codes[-1] < 127).all()
    assert found.proven.any()
    assert not found.differing()[found.proven].any()


# -- wrong rules -----------------------------------------------------------------------------------------------------
def steps(codes: Any) -> Any:
    """Rows at which the code is another than one row before."""
    return np.flatnonzero(codes[1:] != codes[:-1]) + 1


def wrong(bound: Requantizer, kind: str) -> Callable[[Any], Any]:
    """The rule with one fault in every channel, still monotone."""
    sums = np.arange(-BOUND, BOUND + 1)
    codes = bound(sums[:, None] + np.zeros(CHANNELS, np.int64)).astype(np.int64)
    for channel in range(CHANNELS):
        column = codes[:, channel]
        at = steps(column)
        middle = at[len(at) // 2]
        if kind == "late":
            column[middle] = column[middle - 1]
        elif kind == "early":
            column[middle - 1] = column[middle]
        elif kind == "far":  # by more than the points that are compared around a step
            column[middle : middle + 8] = column[middle - 1]
        elif kind == "missing":  # the last step never happens
            column[at[-1] :] = column[at[-1] - 1]
        elif kind == "high":
            column[-1] += 1
        elif kind == "low":
            column[0] -= 1
    return lambda points: np.take_along_axis(codes, points + BOUND, axis=0)


@pytest.mark.parametrize("carrier", [SMALL, LARGE], ids=str)
@pytest.mark.parametrize("kind", ["late", "early", "far", "missing", "high", "low"])
@pytest.mark.parametrize("name", ["tflite-single", "tflite", "pow2", "neural-art-1.1.3"])
def test_a_wrong_rule_is_not_proven(name: str, kind: str, carrier: np.dtype[Any], rng: np.random.Generator) -> None:
    # multipliers of which the whole range has many steps of more than eight sums each, and does not saturate
    made = layer(rng, 0, powers=name == "pow2")
    real = rng.uniform(60, 120, CHANNELS) / BOUND if name != "pow2" else np.full(CHANNELS, 2.0**-8)
    w = Quant(np.dtype(np.int8), real.astype(np.float32), np.zeros(CHANNELS, np.int8), 0)
    bias = np.zeros(CHANNELS, np.int32)
    bound = PROFILES[name].conv.bind(SumContext(made.x, w, made.y, bias, weights=made.weights))
    if carrier == SMALL and bound.slope is not None and bound.slope.first_shift:
        pytest.skip("a first rounding takes float64")
    assert certified(bound, LARGE).proven.any()
    found = certified(bound, carrier, wrong(bound, kind))
    differing = found.differing()
    assert not (found.proven & (differing > 0)).any()
    if kind in ("missing", "high", "low"):
        # the expression's clip follows the codes at the ends, so a fault there may be expressible: then it is right
        assert (found.proven == (differing == 0)).all() or not found.proven.any()
    else:
        assert not found.proven.any()


def test_a_step_between_two_points_that_were_compared_is_not_proven() -> None:
    """With a multiplier of 1/7 the sums 7k + 1 to 7k + 6 are compared. The nudge of -3/7 moves the steps of the
    expression to 7k, those of the rule are at 7k + 1: the two differ on the sums 7k alone, which are not compared."""
    low, high = np.array([-202]), np.array([202])
    line = np.array([1 / 7]), np.array([0.0])
    steps = Steps.of(lambda sums: (sums - 1) // 7, *line, 0, 0, np.dtype(np.int8), low, high)
    expression, proven = certify(steps, *line, (np.array([-3 / 7]),), 0, LARGE)
    assert not proven.any()
    assert expression.multiplier.shape == (1,)


@pytest.mark.parametrize("first_shift", [0, 3])
@pytest.mark.parametrize("piece", [1, 3000, WHOLE])
def test_the_points_are_the_ends_and_those_around_each_step(
    piece: int, first_shift: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the size of a piece; steps near each other and far apart, falling, and none at all."""
    monkeypatch.setattr(certifying, "PIECE", piece)
    multiplier, offset = np.array([0.013, 0.4, 3.0, -0.2, 0.0]), np.array([0.3, -7.0, 0.0, 1.5, 2.0])
    low, high = np.array([-900, -400, -300, -500, -60]), np.array([1000, 410, 290, 400, 70])
    points = Points.of(multiplier, offset, first_shift, np.dtype(np.int8), low, high)
    pieces = list(points.pieces())
    assert (len(pieces) == 1) == (piece == WHOLE)
    scale = 1 << first_shift
    for channel in range(5):
        wanted = {int(low[channel]), int(high[channel])}
        for code in range(-128, 127) if multiplier[channel] else ():
            at = int(np.floor((code + 0.5 - offset[channel]) / multiplier[channel] * scale))
            at = at // scale * scale + scale // 2
            around = [scale * n - less for n in range(-2, 4) for less in ((0, 1) if first_shift else (0,))]
            wanted |= {min(max(at + each, int(low[channel])), int(high[channel])) for each in around}
        found = np.concatenate([sums[:, channel] for sums in pieces])
        assert (np.diff(found) >= 0).all()
        assert wanted <= set(found.tolist())
        if multiplier[channel]:
            assert wanted == set(found.tolist())
    for one, next_ in itertools.pairwise(pieces):
        np.testing.assert_array_equal(one[-1], next_[0])


def test_a_certificate_of_many_channels_takes_little_memory(rng: np.random.Generator) -> None:
    """All points at once would be 1,532 sums of 8 bytes for each channel, and five such arrays."""
    channels = 1000
    multiplier, offset = rng.uniform(0.001, 0.9, channels), rng.uniform(-5, 5, channels)
    low, high = np.full(channels, -BOUND), np.full(channels, BOUND)

    def rule(sums: Any) -> Any:
        return np.clip(np.floor(sums * multiplier + (offset + 0.5)), -128, 127)

    with peak_memory() as peak:
        steps = Steps.of(rule, multiplier, offset, 0, 0, np.dtype(np.int8), low, high)
        _, proven = certify(steps, multiplier, offset, (), 0, LARGE)
    assert proven.all()
    assert peak() < 1532 * 8 * channels * 1.5


# -- the finish ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("axis", [0, 1])
def test_a_finish_of_proven_and_unproven_channels(axis: int) -> None:
    bound = PROFILES["tflite-single"].conv.bind(layer(np.random.default_rng(3), -5, powers=False, top=0.9))
    faulty = wrong_in(bound, {1, 2, 17})
    found = certified(bound, LARGE, faulty)
    assert not found.proven[[1, 2, 17]].any()
    assert found.proven.any()
    rest = np.flatnonzero(~found.proven)

    def some(sums: Any) -> Any:
        full = np.zeros((*sums.shape[:-1], CHANNELS), np.int64)
        full[..., rest] = sums
        return faulty(full)[..., rest]

    definition = IntegerFinish(faulty, np.int64(0), axis)  # type: ignore[arg-type]
    exact = IntegerFinish(some, np.int64(0), axis)  # type: ignore[arg-type]
    finish = CertifiedFinish(found.expression.along(axis), None, rest, exact, axis)
    tile = found.sums.T.copy() if axis == 0 else found.sums
    wanted = definition(tile.copy(), Scratch())
    for dtype in (np.float64, np.int64):
        np.testing.assert_array_equal(finish(tile.astype(dtype), Scratch()), wanted)


def wrong_in(bound: Requantizer, channels: set[int]) -> Callable[[Any], Any]:
    """The rule with a step one sum late in some channels."""
    sums = np.arange(-BOUND, BOUND + 1)[:, None] + np.zeros(CHANNELS, np.int64)
    codes = bound(sums).astype(np.int64)
    for channel in channels:
        at = steps(codes[:, channel])
        codes[at[len(at) // 2], channel] = codes[at[len(at) // 2] - 1, channel]
    return lambda points: np.take_along_axis(codes, points + BOUND, axis=0)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_a_layer_s_finish_is_its_rule(name: str, axis: int, rng: np.random.Generator) -> None:
    """make_layer's finish on raw sums, whatever it chose, against IntegerFinish, zero point of x included."""
    base = layer(rng, 7, powers=name.startswith("pow2"), top=0.9)
    x = Quant(np.dtype(np.int8), base.x.scale, np.asarray(-19, np.int8))
    made = SumContext(x, base.w, base.y, base.bias, weights=base.weights)
    requantizer = PROFILES[name].conv.bind(made)
    assert made.weights is not None
    linear = make_layer(made.weights[None], x, requantizer, axis, "auto")
    reach = linear.proof.bound
    sums = np.concatenate([[-reach, reach], rng.integers(-reach, reach + 1, 5000), np.arange(-3000, 3000)])
    tile = sums[:, None] + np.zeros(CHANNELS, np.int64)
    tile = tile.T.copy() if axis == 0 else tile
    shape = (-1, 1) if axis == 0 else (1, -1)
    wanted = IntegerFinish(requantizer, linear.correction.reshape(shape), axis)(tile.copy(), Scratch())
    got = linear.finish(tile.astype(linear.weights.tile_dtype), Scratch())
    np.testing.assert_array_equal(got, wanted)
