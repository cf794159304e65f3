"""Define the probes, one function each. The docstring of each says what its weights and scales are chosen for."""

from __future__ import annotations

from itertools import product

import numpy as np

from qdqnp.diagnosis.probe.probes import Hypothesis, Probe, on_sums, telling
from qdqnp.diagnosis.probe.split import split_answers
from qdqnp.numerics.multiplier import QuantizeMultiplier
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.profiles.neural_art import TIE
from qdqnp.numerics.questions import Pairs
from qdqnp.numerics.rounding import ROUNDINGS
from qdqnp.numerics.rules.add import AlignedAdd
from qdqnp.numerics.rules.mean import NarrowMean
from qdqnp.numerics.rules.requantize.narrow import ACCUMULATORS, NarrowThenAffine
from qdqnp.numerics.rules.requantize.rational import RationalScale
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.stages import MultiplyShift
from qdqnp.numerics.width import saturate, wrap
from qdqnp.quant import Codes, Int64, Quant
from qdqnp.reader import builder as models

INT8 = np.dtype(np.int8)
EVERY = np.arange(-128, 128, dtype=np.int8)


def probes() -> list[Probe]:
    """List all probes, in the order in which to run them."""
    return [
        first_tie(),
        second_tie(),
        add_tie(),
        add_inner(),
        add_inner_2(),
        accumulator_24(),
        accumulator_32(),
        average_49(),
        large_kernel(),
    ]


def first_tie() -> Probe:
    """Show the first rounding. Weights (1, 127, 1): max |sum of w| = 129 makes S1 = 1. Only channel 0 is driven, so the
    sum is its code x. With M = 1/2 the second stage is exact: the output is the first rounding of x / 2."""
    weights = np.array([1, 127, 1], np.int8).reshape(1, 3, 1, 1)
    proto = models.conv("first_tie", (1, 3, 16, 16), weights, (2.0**-4, 2.0**-6, 2.0**-9))
    x = np.zeros((1, 3, 16, 16), np.int8)
    x[0, 0] = EVERY.reshape(16, 16)
    return Probe(
        "first_tie",
        "How does the first stage round exact halves?",
        "Every code x is halved; odd x are exact halves of both signs. A device that rounds once shows its "
        "only tie rule here and in second_tie alike.",
        proto,
        {"x": x},
        tuple(Hypothesis(tie, NarrowThenAffine(TIE, first_tie=tie)) for tie in ROUNDINGS),
    )


def second_tie() -> Probe:
    """Show the second rounding. One weight of 1: S1 = 0, so the first stage is exact, and M = 1/2 leaves the halves to
    the second stage."""
    proto = models.conv("second_tie", (1, 1, 16, 16), np.ones((1, 1, 1, 1)), (2.0**-4, 2.0**-6, 2.0**-9))
    return Probe(
        "second_tie",
        "How does the second (last) stage round exact halves?",
        "Every code x is halved; the first stage has nothing to round.",
        proto,
        {"x": EVERY.reshape(1, 1, 16, 16)},
        tuple(Hypothesis(tie, NarrowThenAffine(tie)) for tie in ROUNDINGS),
    )


def add_tie() -> Probe:
    """Show the rounding of an Add. Both operands count half: neither needs an inner rounding, and odd sums are exact
    halves."""
    scales, zeros = (2.0**-5, 2.0**-5, 2.0**-4), (0, 0, 3)
    hypotheses = [Hypothesis(tie, AlignedAdd(tie)) for tie in ROUNDINGS]
    return _add(
        "add_tie",
        "How does Add round exact halves?",
        "(a + b) / 2 for 1,024 pairs of codes; odd sums are exact halves.",
        scales,
        zeros,
        hypotheses,
    )


def add_inner() -> Probe:
    """Show the inner rounding of an Add. The second operand counts a third of the first: Neural-ART shifts its product
    before the sum. These scales, of 500 tried, separate all five ways of rounding that shift under the default tie
    rule."""
    return _inner("add_inner", (0.0484, 0.0161, 0.0686), (-19, 2, 11))


def add_inner_2() -> Probe:
    """Show the inner rounding with other scales, of 300 tried. Together with add_inner and add_tie they separate every
    inner rule under every outer one, except half-up and half-even under an outer floor."""
    return _inner("add_inner_2", (0.0759, 0.0218, 0.0608), (-10, -1, -5))


def _inner(name: str, scales: tuple[float, float, float], zeros: tuple[int, int, int]) -> Probe:
    hypotheses = [
        Hypothesis(f"inner {inner}, outer {tie}", AlignedAdd(tie, inner)) for tie, inner in product(ROUNDINGS, repeat=2)
    ]
    hypotheses += [Hypothesis(f"as {one}", PROFILES[one].add) for one in ("ort", "tflite", "tflite-single", "exact")]
    return _add(
        name,
        "How does Add round the operand that it aligns to the other?",
        "1,024 pairs of codes, those first on which the ways of rounding the aligned operand differ.",
        scales,
        zeros,
        hypotheses,
    )


def _add(
    name: str,
    question: str,
    how: str,
    scales: tuple[float, float, float],
    zeros: tuple[int, int, int],
    hypotheses: list[Hypothesis],
) -> Probe:
    shape = (1, 1, 32, 32)
    proto = models.add(name, shape, scales, zeros)
    quants = tuple(
        Quant(INT8, np.asarray(np.float32(s)), np.asarray(np.int8(z))) for s, z in zip(scales, zeros, strict=True)
    )
    none = np.zeros(0, INT8)
    pairs = Pairs("add", name, (quants[0], quants[1], quants[2]), none, none).everything()
    chosen = telling([pairs.codes(h.rule) for h in hypotheses], 1024, np.random.default_rng(1))
    codes = {"a": pairs.a[chosen].reshape(shape), "b": pairs.b[chosen].reshape(shape)}
    return Probe(name, question, how, proto, codes, tuple(hypotheses))


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


def average_49() -> Probe:
    """Show the mean's arithmetic. 1/49 is not a binary fraction: the 16-bit reciprocal, its shift and the rounding of
    each stage show in the mean. These scales, of 3,000 tried, separate every hypothesis."""
    count, planes = 49, 128
    shape = (1, planes, 7, 7)
    scales, zeros = (0.033, 0.022), (17, -14)
    proto = models.global_average("average_49", shape, scales, zeros)
    hypotheses = [Hypothesis(f"16-bit reciprocal, two stages, {tie}", NarrowMean(tie)) for tie in ROUNDINGS]
    for name in ("ort", "exact", "tflite", "tflite-single"):
        hypotheses.append(Hypothesis(f"as {name}", PROFILES[name].global_average_pool))
    x, y = (Quant(INT8, np.asarray(np.float32(s)), np.asarray(np.int8(z))) for s, z in zip(scales, zeros, strict=True))
    totals = np.arange(-128 * count, 127 * count + 1)  # of codes
    sums = totals - int(x.zero_point) * count
    answers = [h.rule.bind(x, y, count)(sums) for h in hypotheses]
    chosen = totals[telling(answers, planes, np.random.default_rng(2))]
    codes = (chosen[:, None] // count + (np.arange(count) < (chosen % count)[:, None])).astype(np.int8)
    return Probe(
        "average_49",
        "How is an average over 49 elements divided?",
        "128 planes of 7x7, those sums first on which the ways of dividing differ.",
        proto,
        {"x": codes.reshape(shape)},
        tuple(hypotheses),
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


def _within(weights: Int64, rng: np.random.Generator) -> Codes:
    """Keep the sum, and bring every weight within int8: what is too much for one weight goes to others."""
    flat = weights.reshape(-1)
    while np.abs(flat).max() > 127:
        at = int(np.argmax(np.abs(flat)))
        step = int(np.sign(flat[at]))
        flat[at] -= step
        flat[int(rng.integers(1, flat.size))] += step
    return weights.astype(np.int8)
