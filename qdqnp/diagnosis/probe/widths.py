"""Define the probes of how wide sums are held, and what becomes of the sums of parts, one function each."""

from __future__ import annotations

import numpy as np

from qdqnp.diagnosis.probe.probes import Hypothesis, Probe, on_sums
from qdqnp.diagnosis.probe.split import chained_answers, split_answers
from qdqnp.numerics.multiplier import QuantizeMultiplier
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.profiles.neural_art import TIE
from qdqnp.numerics.rules.requantize.narrow import ACCUMULATORS, NarrowThenAffine
from qdqnp.numerics.rules.requantize.rational import RationalScale
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.stages import MultiplyShift
from qdqnp.numerics.width import saturate, wrap
from qdqnp.quant import Codes, Int64
from qdqnp.reader import builder as models


def accumulator_24() -> Probe:
    """Show a 24-bit accumulator. 640 products of 127 * 127 pass 2^23 = 8,388,608 from the 521st on. M keeps them apart
    in the codes."""
    channels, n = 640, 64
    weights = np.full((1, channels, 1, 1), 127, np.int8)
    proto = models.conv("accumulator_24", (1, channels, 8, 8), weights, (2.0**-5, 2.0**-7, 2.0**5))
    counts = np.linspace(-channels, channels, n).round().astype(int)
    x = np.where(np.arange(channels)[:, None] < np.abs(counts), np.sign(counts) * 127, 0).astype(np.int8)
    art = [Hypothesis(f"two stages, accumulator {kind}", NarrowThenAffine(TIE, kind)) for kind in ACCUMULATORS]
    single = Rescale(QuantizeMultiplier(), (MultiplyShift("half-up"),))
    once = [
        Hypothesis("one stage, accumulator exact", single),
        Hypothesis("one stage, accumulator saturate-24", answer=on_sums(lambda sums: saturate(sums, 24), single)),
        Hypothesis("one stage, accumulator wrap-24", answer=on_sums(lambda sums: wrap(sums, 24), single)),
    ]
    return Probe(
        "accumulator_24",
        "Does the accumulator end at 24 bits?",
        "Sums from -10.3 to 10.3 million; past 2^23 a 24-bit accumulator saturates or wraps.",
        proto,
        {"x": x.reshape(1, channels, 8, 8)},
        (*art, *once),
    )


def accumulator_32() -> Probe:
    """Show what happens beyond 32 bits: a bias just below 2^31, and sums of up to 20.6 million on both sides of it.
    2^31 is the real 128, less 64."""
    channels, n = 1280, 16
    bias = np.array([2**31 - 2**23], np.int64)
    weights = np.full((1, channels, 1, 1), 127, np.int8)
    scales = (2.0**-4, 2.0**-4, 2.0**16)
    proto = models.conv("accumulator_32", (1, channels, 4, 4), weights, scales, zero=-64, bias=bias)
    counts = np.linspace(-channels, channels, n).round().astype(int)
    x = np.where(np.arange(channels)[:, None] < np.abs(counts), np.sign(counts) * 127, 0).astype(np.int8)

    def held(sums: Int64) -> Int64:
        return saturate(sums + bias, 32) - bias

    hypotheses = (
        Hypothesis("wraps at 32 bits", PROFILES["tflite-single"].conv),
        Hypothesis("wider than 32 bits", RationalScale()),
        Hypothesis("saturates at 32 bits", answer=on_sums(held, RationalScale())),
        Hypothesis("the bias is not in the accumulator (Neural-ART: BC)", NarrowThenAffine(TIE)),
    )
    return Probe(
        "accumulator_32",
        "Does the accumulator, bias included, end at 32 bits?",
        "Sum and bias together pass 2^31; a wrapped one becomes the lowest code.",
        proto,
        {"x": x.reshape(1, channels, 4, 4)},
        hypotheses,
    )


def large_kernel() -> Probe:
    """Show a split of an 11x11 kernel over 16 channels, 1,936 products: too large for one unit of some accelerators.
    |sum of w| = 64 keeps S1 = 0, so that 16 bits do saturate, and a split shows in what saturates when."""
    rng = np.random.default_rng(3)
    size, channels = 11, 16
    weights = rng.integers(-24, 25, (1, channels, size, size))
    weights.reshape(-1)[0] += 64 - weights.sum()
    weights = _within(weights, rng)
    proto = models.conv("large_kernel", (1, channels, 18, 18), weights, (2.0**-4, 2.0**-6, 2.0**-2))
    x = rng.integers(-128, 128, (1, channels, 18, 18)).astype(np.int8)
    x[:, :, ::3] = np.where(rng.random((1, channels, 6, 18)) < 0.5, 127, -128)
    hypotheses = (
        Hypothesis("not split, 16 bits between two stages", NarrowThenAffine(TIE)),
        Hypothesis("not split, one stage", RationalScale()),
        *(Hypothesis(text, answer=answer) for text, answer in split_answers(weights, x)),
    )
    return Probe(
        "large_kernel",
        "Is a large kernel split, and its 16-bit parts added with saturation?",
        "The sums of parts pass 16 bits where their total does not.",
        proto,
        {"x": x},
        hypotheses,
    )


def chained_units() -> Probe:
    """Show what a chain of units hands on. Of 1,920 channels the first third drives the sum up to 10.3 million, past
    2^23, the second takes turns, and the last drives it back: the total fits 16 bits, what was cut on the way does not
    come back. The weights add up to 0: S1 = 0."""
    third, n = 640, 64
    weights = np.concatenate([np.full(third, 127), np.tile([127, -127], third // 2), np.full(third, -127)])
    up = np.linspace(-third, third, n).round().astype(int)
    down = np.abs(up) - np.minimum(np.arange(n) % 3, np.abs(up))  # one or two products of 127 * 127 remain
    driven = np.concatenate([np.arange(third)[:, None] < count for count in (np.abs(up), 2 * (np.abs(up) // 2), down)])
    x = np.where(driven, 127 * np.sign(up), 0).astype(np.int8)
    shape = (1, weights.size, 8, 8)
    proto = models.conv("chained_units", shape, weights.reshape(1, -1, 1, 1), (2.0**-5, 2.0**-7, 2.0**-4))
    hypotheses = (
        Hypothesis("every unit hands on the whole sum, or one that wraps and comes back", NarrowThenAffine(TIE)),
        *(Hypothesis(text, answer=answer) for text, answer in chained_answers(weights, x)),
    )
    return Probe(
        "chained_units",
        "What does one unit of a chain hand to the next, where many input channels are cut?",
        "The sum passes 2^23 in the first third of the channels and comes back in the last.",
        proto,
        {"x": x.reshape(shape)},
        hypotheses,
    )


def _within(weights: Int64, rng: np.random.Generator) -> Codes:
    """Keep the sum, and bring every weight within int8: what is too much for one weight goes to others."""
    flat = weights.reshape(-1)
    while np.abs(flat).max() > 127:
        at = int(np.argmax(np.abs(flat)))
        step = int(np.sign(flat[at]))
        flat[at] -= step
        flat[int(rng.integers(1, flat.size))] += step
    return weights.astype(np.int8)
