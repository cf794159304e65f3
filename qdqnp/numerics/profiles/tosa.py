"""TOSA: every operator as the specification defines it, rescaled by RESCALE; and Arm's Ethos-U, which implements it.

A TOSA graph says itself which RESCALE stands where. These rows are the graphs that TensorFlow's converter writes
(tensorflow/compiler/mlir/tosa/transforms): an Add is two RESCALEs, ADD, RESCALE; a Mul is MUL and RESCALE; a Concat
rescales inputs of another scale; a global average is REDUCE_SUM and RESCALE.
"""

from __future__ import annotations

from dataclasses import replace

from qdqnp.numerics.multiplier import QuantizeMultiplier, VelaPooling
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles.families import complete, requantization, whole
from qdqnp.numerics.rules.add import ThreeRescaleAdd
from qdqnp.numerics.rules.lookup import RescaledLookup
from qdqnp.numerics.rules.mean import RescaleMean, SummedMean
from qdqnp.numerics.rules.mul import RescaledMul
from qdqnp.numerics.rules.reciprocal_average import FixedReciprocalAverage
from qdqnp.numerics.rules.requantize.rescale import Rescale
from qdqnp.numerics.rules.tables import RoundedTable, VelaTable
from qdqnp.numerics.rules.tflite_softmax import FixedSoftmax
from qdqnp.numerics.stages import DoubleRound, MultiplyShift
from qdqnp.numerics.status import INFERRED

SPECIFICATION = "TOSA specification; TensorFlow's converter to TOSA"
VELA = "ethos-u-vela and the Ethos-U technical reference"

NATURAL = Rescale(QuantizeMultiplier(), (MultiplyShift("half-up"),), shifts=(2, 62))
SINGLE = replace(NATURAL, bounded=True)
DOUBLE = Rescale(QuantizeMultiplier(), (DoubleRound(),), shifts=(2, 62))


def tosa(name: str, summary: str, rescale: Rescale) -> Profile:
    """AVG_POOL2D rounds once in both modes."""
    return complete(
        name,
        summary,
        SPECIFICATION,
        rescale,
        lookup=RoundedTable(),
        average_pool=FixedReciprocalAverage(MultiplyShift("half-up"), RescaledLookup(rescale)),
        global_average_pool=SummedMean(rescale),
        softmax=FixedSoftmax(RescaledLookup(rescale)),
    )


# Vela does not halve a multiplier of 2^31.
TFL = Rescale(QuantizeMultiplier(carries=False), (DoubleRound(),), shifts=(2, 62))
POOLED = RescaledLookup(Rescale(VelaPooling(), (MultiplyShift("half-up"),), precision="float32"))
ETHOS_U = whole(
    "ethos-u",
    "Ethos-U55 and U65 as Vela programs them, TFLite rounding (their default)",
    "ethos-u-vela 5.2.0 (scaling.py and others) and the Ethos-U technical reference",
    conv=TFL,
    matmul=replace(TFL, status=INFERRED),
    gemm=replace(TFL, precision="float32-products"),
    # Vela gives the numbers; that the operands' own scaling rounds as a RESCALE is inferred
    add=ThreeRescaleAdd(TFL, status=INFERRED, folded=True),
    mul=RescaledMul(replace(TFL, precision="float32")),
    concat=POOLED,
    lookup=VelaTable(),
    # windows that reach into the padding are scaled by the hardware itself
    average_pool=FixedReciprocalAverage(DoubleRound(), POOLED, bits=31, centered=False, status=INFERRED),
    global_average_pool=RescaleMean(TFL),
    # the steps of Vela's softmax.py are gemmlowp's, with its table of exponentials; their roundings are inferred
    softmax=FixedSoftmax(POOLED, INFERRED),
)

ORDER = 4
PROFILES = (
    tosa("tosa-single", "TOSA, RESCALE with SINGLE_ROUND", SINGLE),
    tosa("tosa-double", "TOSA, RESCALE with DOUBLE_ROUND", DOUBLE),
    ETHOS_U,
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
