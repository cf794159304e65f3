"""TOSA's RESCALE and Arm's Ethos-U, which implements it."""

from __future__ import annotations

from dataclasses import replace

from qdqnp.numerics.multiplier import QuantizeMultiplier
from qdqnp.numerics.profiles.families import requantization
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.stages import DoubleRound, MultiplyShift

SPECIFICATION = "TOSA specification, apply_scale_32"
VELA = "ethos-u-vela and the Ethos-U technical reference"

NATURAL = Rescale(QuantizeMultiplier(), (MultiplyShift("half-up"),), shifts=(2, 62))
SINGLE = replace(NATURAL, bounded=True)
DOUBLE = Rescale(QuantizeMultiplier(), (DoubleRound(),), shifts=(2, 62))

ORDER = 4
PROFILES = (
    requantization("tosa-single", "TOSA RESCALE, SINGLE_ROUND", SPECIFICATION, SINGLE),
    requantization("tosa-double", "TOSA RESCALE, DOUBLE_ROUND", SPECIFICATION, DOUBLE),
    requantization("ethos-u", "Ethos-U55 and U65, TFLite rounding (their default)", VELA, DOUBLE, ("matmul",)),
    requantization("ethos-u-natural", "Ethos-U, natural rounding", VELA, NATURAL, ("matmul",)),
    requantization(
        "ethos-u-truncate",
        "Ethos-U, truncation",
        VELA,
        Rescale(QuantizeMultiplier(), (MultiplyShift("truncate"),), shifts=(2, 62)),
        inferred=("matmul",),
    ),
    requantization(
        "ethos-u85-dasym",
        "Ethos-U85, double rounding without the sign",
        VELA,
        Rescale(QuantizeMultiplier(), (DoubleRound(signed=False),), shifts=(2, 62)),
        inferred=("matmul",),
    ),
)
