"""What is wrong with how a layer is quantized, as far as its numbers say so, and how many dB that costs.

A healthy layer has none of these:

scale     it is over twice as wide as the network's middle layer has it, as multiples of what the values need, or over 4
          times what they need; rounding costs 20 log10 of the multiple
range     the range holds less than half of the values' range, or cuts off a tenth of the values
weights   they have over 1 dB less than as many bits can give, with a symmetric scale for each channel
bias      it is off by over a tenth of its largest value
other     its own noise is over 10 dB above what its range, its scale and its weights' error come to

Few inputs fill no layer's range: hence scales are held against the middle layer's. Weights do not depend on data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from qdqnp.layer_quality.measure import LayerSums
from qdqnp.layer_quality.weights import WeightError
from qdqnp.quant import Quant, code_range

#: Which part of the values' range must be held.
HALF = 0.5
#: Which share of the values may be cut off.
CUT = 0.1
#: How much noise may have no reason, in dB.
OTHER_DB = 10.0
#: How much wider than the middle layer's a scale may be, and how wide whatever the others are.
WIDER, WIDEST = 2.0, 4.0
#: What weights may lose, in dB.
WEIGHTS_DB = 1.0
#: What a bias may be off by, as a share of its largest value.
BIAS_SHARE = 0.1


@dataclass(frozen=True)
class QualityFinding:
    """One thing that is wrong with a layer's quantization."""

    #: 'scale', 'range', 'weights', 'bias' or 'other'.
    kind: str
    #: What it costs, in dB of the layer's own SQNR; 0 where that cannot be said.
    cost: float
    #: The sentence for a report.
    text: str


@dataclass(frozen=True)
class RangeUse:
    """How a tensor's range of codes fits the float network's values."""

    #: The share of the codes' range that the values need.
    used: float
    #: The share of the values' range that the codes hold.
    held: float
    #: The scale as a multiple of that which just holds the values.
    scale: float


def range_use(sums: LayerSums, quant: Quant | None) -> RangeUse | None:
    """Return how the range fits; None for real values, for a scale per channel, and where no value was seen."""
    if quant is None or not quant.per_tensor or sums.least > sums.most:
        return None
    low, high = code_range(quant.dtype)
    scale, zero = float(quant.scale), float(quant.zero_point)
    first, last = (low - zero) * scale, (high - zero) * scale
    least, most = min(0.0, sums.least), max(0.0, sums.most)
    shared = max(0.0, min(most, last) - max(least, first))
    needed = most - least
    if not needed or not math.isfinite(needed) or not scale:
        return None
    return RangeUse(shared / (last - first), shared / needed, scale * (high - low) / needed)


def widest_scale(uses: Iterable[RangeUse | None]) -> float:
    """Return how wide a scale may be, as a multiple of what the values need.

    uses: how the ranges of the network's tensors fit that have a scale of their own.
    """
    middle = np.median([use.scale for use in uses if use is not None] or [1.0])
    return min(WIDEST, WIDER * max(1.0, float(middle)))


def findings_of(
    sums: LayerSums, use: RangeUse | None, widest: float, weights: WeightError | None, misled: bool = False
) -> tuple[QualityFinding, ...]:
    """Return what is wrong with a layer's quantization, the costliest first.

    sums: what was counted of it.
    use: how its range fits; None where it has no scale of its own.
    widest: how wide a scale may be, as a multiple of what the values need.
    weights: the error of its weights; None where it has none.
    misled: whether it reads a tensor whose scale or range is wrong: its bias, which was made for another, costs nothing
        of its own then.
    """
    other = 0.0 if misled else unexplained(sums, weights)
    found = [] if use is None else _of_range(sums, use, widest)
    if weights is not None:
        found += _of_weights(weights, other)
    if use is not None and not found and other > OTHER_DB:
        text = f"its noise is {other:.0f} dB above that of its scale and its weights"
        found.append(QualityFinding("other", other, text))
    return tuple(sorted(found, key=lambda finding: -finding.cost))


def _of_range(sums: LayerSums, use: RangeUse, widest: float) -> list[QualityFinding]:
    cut = sums.cut / sums.values if sums.values else 0.0
    if use.held < HALF or cut > CUT:
        best = sums.rounding * Fraction(1 / use.scale) ** 2
        cost = 10 * math.log10((sums.rounding + sums.clipping) / best) if best and sums.clipping else 0.0
        return [QualityFinding("range", cost, f"its range cuts off {percent(cut)} of the values")]
    if use.scale > widest:
        text = f"its scale is {use.scale:.1f} times what the values need"
        return [QualityFinding("scale", 20 * math.log10(use.scale), text)]
    return []


def unexplained(sums: LayerSums, weights: WeightError | None) -> float:
    """Return how many dB a layer's own noise is above what its scale, its range and the error of its weights come to.

    The answer is 0 where it is not above, or where these come to nothing.
    """
    if not sums.single.signal:
        return 0.0
    explained = float((sums.rounding + sums.clipping) / sums.single.signal)
    explained += 0.0 if weights is None else min(1.0, weights.sums.share)
    if not explained or not sums.own.noise or not sums.own.signal:
        return 0.0
    return max(0.0, 10 * math.log10(sums.own.share / explained))


def percent(share: float) -> str:
    """Format a share; what is not zero is never shown as zero.

    >>> percent(0.000023), percent(0.0), percent(0.5)
    ('0.0023 %', '0', '50 %')
    """
    return "0" if not share else f"{100 * share:.2g} %"


def _of_weights(weights: WeightError, other: float) -> list[QualityFinding]:
    found = []
    lost = weights.at_best - weights.sums.sqnr
    if lost > WEIGHTS_DB:
        why = "one scale for all channels" if weights.per_tensor else "the scales"
        worst, level = weights.worst(1)[0]
        text = f"{why} of its weights costs {lost:.1f} dB, most in channel {worst} ({level:.1f} dB)"
        found.append(QualityFinding("weights", lost, text))
    if weights.bias is not None and weights.bias > BIAS_SHARE:
        text = f"its bias is off by {100 * weights.bias:.0f} % of its largest value"
        found.append(QualityFinding("bias", other, text))
    return found
