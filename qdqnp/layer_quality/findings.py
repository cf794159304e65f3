"""What is wrong with how a layer is quantized, as far as its numbers say so, and how many dB that costs.

A healthy layer has none of these:

scale     it is over twice as wide as the network's middle layer has it, as multiples of what the values need, or over 4
          times what they need; rounding costs 20 log10 of the multiple
range     the range holds less than half of the values' range: the rest is cut off
weights   they have over 1 dB less than as many bits can give, with a symmetric scale for each channel
bias      it is off by over a tenth of its largest value

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
#: How much wider than the middle layer's a scale may be, and how wide whatever the others are.
WIDER, WIDEST = 2.0, 4.0
#: What weights may lose, in dB.
WEIGHTS_DB = 1.0
#: What a bias may be off by, as a share of its largest value.
BIAS_SHARE = 0.1


@dataclass(frozen=True)
class QualityFinding:
    """One thing that is wrong with a layer's quantization."""

    #: 'scale', 'range', 'weights' or 'bias'.
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
    sums: LayerSums, use: RangeUse | None, widest: float, weights: WeightError | None
) -> tuple[QualityFinding, ...]:
    """Return what is wrong with a layer's quantization, the costliest first.

    sums: what was counted of it.
    use: how its range fits; None where it has no scale of its own.
    widest: how wide a scale may be, as a multiple of what the values need.
    weights: the error of its weights; None where it has none.
    """
    found = [] if use is None else _of_range(sums, use, widest)
    if weights is not None:
        found += _of_weights(weights)
    return tuple(sorted(found, key=lambda finding: -finding.cost))


def _of_range(sums: LayerSums, use: RangeUse, widest: float) -> list[QualityFinding]:
    if use.held < HALF:
        best = sums.rounding * Fraction(1 / use.scale) ** 2
        cost = 10 * math.log10((sums.rounding + sums.clipping) / best) if best and sums.clipping else 0.0
        return [QualityFinding("range", cost, f"its range holds {100 * use.held:.0f} % of the values' range")]
    if use.scale > widest:
        text = f"its scale is {use.scale:.1f} times what the values need"
        return [QualityFinding("scale", 20 * math.log10(use.scale), text)]
    return []


def _of_weights(weights: WeightError) -> list[QualityFinding]:
    found = []
    lost = weights.at_best - weights.sums.sqnr
    if lost > WEIGHTS_DB:
        why = "one scale for all channels" if weights.per_tensor else "the scales"
        worst, level = weights.worst(1)[0]
        text = f"{why} of its weights costs {lost:.1f} dB, most in channel {worst} ({level:.1f} dB)"
        found.append(QualityFinding("weights", lost, text))
    if weights.bias is not None and weights.bias > BIAS_SHARE:
        found.append(QualityFinding("bias", 0.0, f"its bias is off by {100 * weights.bias:.0f} % of its largest value"))
    return found
