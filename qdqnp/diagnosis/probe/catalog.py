"""Define the probes, one function each. The docstring of each says what its weights and scales are chosen for."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from qdqnp.diagnosis.probe.averages import average_49, average_raw
from qdqnp.diagnosis.probe.probes import Hypothesis, Probe, telling
from qdqnp.diagnosis.probe.widths import accumulator_24, accumulator_32, chained_units, large_kernel
from qdqnp.numerics.multiplier import QuantizeMultiplier
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.profiles.neural_art import TIE
from qdqnp.numerics.questions import Pairs
from qdqnp.numerics.rounding import NEAREST, ROUNDINGS
from qdqnp.numerics.rules.add import AlignedAdd
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine
from qdqnp.numerics.rules.requantize.narrow_thrice import NarrowThrice
from qdqnp.numerics.rules.requantize.protocol import SumContext
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.rules.tables import RoundedTable
from qdqnp.numerics.stages import MultiplyHigh, ShiftLeft, ShiftRight
from qdqnp.quant import Quant
from qdqnp.reader import builder as models

INT8 = np.dtype(np.int8)
EVERY = np.arange(-128, 128, dtype=np.int8)
#: What the two generations of Neural-ART's compiler do.
TWO, THREE = "two narrowings (ST Edge AI 3)", "three narrowings (ST Edge AI 2)"


def probes() -> list[Probe]:
    """List all probes, in the order in which to run them."""
    return [
        first_tie(),
        second_tie(),
        roundings(),
        add_tie(),
        add_inner(),
        add_inner_2(),
        generation(),
        accumulator_24(),
        accumulator_32(),
        chained_units(),
        large_kernel(),
        average_49(),
        average_raw(),
        activation(),
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


def roundings() -> Probe:
    """Show how often a sum is rounded. With M = 0.29 the 31-bit multiplier leaves one bit to the shift behind it: a
    quarter of all sums are rounded up to an odd number first, and then up again. That tells gemmlowp's two roundings
    from one; in first_tie and second_tie, where M is a power of two, both give the same codes."""
    scales = (2.0**-4, 2.0**-6, 2.0**-10 / 0.29)
    proto = models.conv("roundings", (1, 1, 16, 16), np.ones((1, 1, 1, 1)), scales)
    seconds = ("half-away", "half-up", "half-even", "floor", "truncate")
    hypotheses = [
        Hypothesis("once (as tflite-single, cmsis-nn-single, ort, exact)", PROFILES["tflite-single"].conv),
        *(Hypothesis(f"twice, {second}{_known(second)}", _twice(second)) for second in seconds),
        Hypothesis("in two stages of 16 bits (Neural-ART)", NarrowThenAffine(TIE)),
    ]
    return Probe(
        "roundings",
        "Is a sum rounded once or twice?",
        "Every code x times 0.29: where the first of two roundings makes an odd number, the second one shows.",
        proto,
        {"x": EVERY.reshape(1, 1, 16, 16)},
        tuple(hypotheses),
    )


def _known(second: str) -> str:
    names = {"half-away": "tflite, tflm, cmsis-nn", "half-up": "tflite-ruy"}
    return f" (as {names[second]})" if second in names else ""


def _twice(second: str) -> Rescale:
    """Return the requantization by a 31-bit multiplier, rounded half up, and a shift, rounded as `second` says."""
    return Rescale(QuantizeMultiplier(), (ShiftLeft(), MultiplyHigh(), ShiftRight(second)))


def generation() -> Probe:
    """Show the generation of Neural-ART's compiler: a narrowing to a power-of-two scale between the two others, or
    none. Few codes differ, and by one, so 1,024 of 65,536 pairs are chosen; the sum of weights is 136: S1 = 1. Only the
    first rounding meets ties."""
    scales, channels = (2.0**-5, 0.0063, 0.0437), (3, 113, 20)
    weights = np.array(channels, np.int8).reshape(1, 3, 1, 1)
    proto = models.conv("generation", (1, 3, 32, 32), weights, scales, zero=5, bias=np.array([77]))
    hypotheses = [
        *(Hypothesis(f"{TWO}, first {first}", NarrowThenAffine(TIE, first_tie=first)) for first in NEAREST),
        *(Hypothesis(f"{THREE}, first {first}", NarrowThrice(TIE, first_tie=first)) for first in NEAREST),
        *(Hypothesis(f"as {one}", PROFILES[one].conv) for one in ("ort", "tflite", "tflite-single", "exact")),
    ]
    pairs = np.stack(np.meshgrid(EVERY, EVERY)).reshape(2, -1)
    x, w, y = (
        Quant(INT8, np.asarray(np.float32(scale)), np.asarray(np.int8(zero)))
        for scale, zero in zip(scales, (0, 0, 5), strict=True)
    )
    context = SumContext(x, w, y, np.array([77]), weights=np.array([channels]))
    sums = (np.array(channels[:2]) @ pairs.astype(np.int64))[:, None]
    answers = [h.rule.bind(context)(sums)[:, 0] for h in hypotheses]
    chosen = telling(answers, 1024, np.random.default_rng(4))
    codes = np.zeros((1, 3, 32, 32), np.int8)
    codes[0, :2] = pairs[:, chosen].reshape(2, 32, 32)
    return Probe(
        "generation",
        "Which generation of ST's compiler narrows: twice, or three times?",
        "1,024 sums, those first on which the generations, their ties and other arithmetics differ.",
        proto,
        {"x": codes},
        tuple(hypotheses),
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
        more=[Hypothesis("three rescalings, two roundings each (as tflite, tflm, cmsis-nn)", PROFILES["tflite"].add)],
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
    more: Sequence[Hypothesis] = (),
) -> Probe:
    """Return a probe of an addition. `more` are hypotheses that have no say in which codes are chosen."""
    shape = (1, 1, 32, 32)
    proto = models.add(name, shape, scales, zeros)
    quants = tuple(
        Quant(INT8, np.asarray(np.float32(s)), np.asarray(np.int8(z))) for s, z in zip(scales, zeros, strict=True)
    )
    none = np.zeros(0, INT8)
    pairs = Pairs("add", name, (quants[0], quants[1], quants[2]), none, none).everything()
    chosen = telling([pairs.codes(h.rule) for h in hypotheses], 1024, np.random.default_rng(1))
    codes = {"a": pairs.a[chosen].reshape(shape), "b": pairs.b[chosen].reshape(shape)}
    return Probe(name, question, how, proto, codes, (*hypotheses, *more))


def activation() -> Probe:
    """Show how a table of 256 codes is filled: every code of a Sigmoid. Whoever interpolates shows as a third way."""
    shape, scales, zeros = (1, 1, 16, 16), (0.047, 1 / 256), (7, -128)
    proto = models.sigmoid("activation", shape, scales, zeros)
    hypotheses = (
        Hypothesis("a table, rounded to nearest (as ort, tflite, cmsis-nn, exact)", RoundedTable("half-away")),
        Hypothesis("a table, cut off", RoundedTable("floor")),
    )
    return Probe(
        "activation",
        "How is a Sigmoid computed: by a table, and how is that filled?",
        "All 256 codes: the answer is the table itself.",
        proto,
        {"x": EVERY.reshape(shape)},
        hypotheses,
    )
