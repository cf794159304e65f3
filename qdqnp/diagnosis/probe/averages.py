"""Probes of averages over whole planes, between two scales and of one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qdqnp.diagnosis.probe.probes import Hypothesis, Probe, telling
from qdqnp.numerics.profiles import PROFILES
from qdqnp.numerics.profiles.neural_art import TIE
from qdqnp.numerics.rounding import ROUNDINGS, divided
from qdqnp.numerics.rules.mean import DividedMean, NarrowMean
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.quant import Array, Codes, Quant
from qdqnp.reader import builder as models

INT8 = np.dtype(np.int8)


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
        (*hypotheses, *_raw_answers(codes.astype(np.int64).sum(axis=1), count)),
    )


def average_raw() -> Probe:
    """Show the division where input and output have one scale, as arm_avgpool_s8 and TFLite's AVERAGE_POOL_2D have it:
    over four elements, so that a quarter of all sums are exact halves, of both signs."""
    count, planes = 4, 256
    shape, scales, zeros = (1, planes, 2, 2), (0.0625, 0.0625), (-3, -3)
    proto = models.global_average("average_raw", shape, scales, zeros)
    totals = np.arange(planes) * count - 128 * count + np.arange(planes) % count
    totals[-1] = 127 * count
    codes = (totals[:, None] // count + (np.arange(count) < (totals % count)[:, None])).astype(np.int8)
    rescale = PROFILES["tflite"].conv
    assert isinstance(rescale, Rescale)
    hypotheses = [
        *(
            Hypothesis(f"the sum of raw codes by their number, {tie}", DividedMean(rescale, rounding=tie))
            for tie in ROUNDINGS
        ),
        *(Hypothesis(f"as {one}", PROFILES[one].global_average_pool) for one in ("ort", "tflite", "exact")),
        Hypothesis("16-bit reciprocal, two stages", NarrowMean(TIE)),
    ]
    return Probe(
        "average_raw",
        "How is an average of codes of one scale divided?",
        "256 planes of 2x2: sums from end to end, of which many are exact halves.",
        proto,
        {"x": codes.reshape(shape)},
        tuple(hypotheses),
    )


def _raw_answers(totals: Array, count: int) -> list[Hypothesis]:
    """Return the averages that look at no scale, which no profile has between two scales: CMSIS-NN's arm_avgpool_s8."""

    def by(tie: str) -> Callable[[object], Codes]:
        mean = divided(totals, np.asarray(count, np.int64), tie)
        return lambda _: mean.clip(-128, 127).astype(np.int8)

    texts = {"half-away": "to nearest, no rescale (arm_avgpool_s8 of CMSIS-NN)", "truncate": "cut off, no rescale"}
    return [Hypothesis(f"raw codes by their number, {text}", answer=by(tie)) for tie, text in texts.items()]
