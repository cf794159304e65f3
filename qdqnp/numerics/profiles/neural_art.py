"""ST Neural-ART (STM32N6), one profile for each generation of its compiler. Experimental; ST has not stated it.

What is established rests on a board's outputs and on the numbers in compiled networks (docs/neural-art.md). It
is not bit-exact to any ONNX Runtime, as ST says itself.
"""

from __future__ import annotations

from dataclasses import replace

from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles.families import NO_FLOATS, UNDEFINED
from qdqnp.numerics.rules.accumulate import ExactSum
from qdqnp.numerics.rules.add import AlignedAdd
from qdqnp.numerics.rules.average import ReciprocalAverage
from qdqnp.numerics.rules.convert import FloatConvert
from qdqnp.numerics.rules.lookup import AffineLookup
from qdqnp.numerics.rules.mean import NarrowMean
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine
from qdqnp.numerics.rules.requantize.narrow_thrice import NarrowThrice
from qdqnp.numerics.status import ESTABLISHED

# The tie rule is not known for sure: half-up, which the description of the pooling unit states, or half-away.
TIE = "half-up"

_NARROW = NarrowThenAffine(TIE, status=ESTABLISHED)
_THRICE = NarrowThrice(TIE, status=ESTABLISHED)
_MEAN = NarrowMean(TIE)

NEURAL_ART = Profile(
    name="neural-art-1.1.3",
    summary="ST Neural-ART, compiler 1.1.3 (ST Edge AI 3): two narrowings, 16-bit multipliers (experimental)",
    status="inferred",
    source="a board's outputs (920 of 920), coefficients of two published compiled networks (192 of 192 convolutions)",
    lowering="device",
    host_float=False,
    convert=FloatConvert(),
    accumulate=ExactSum(),
    conv=_NARROW,
    matmul=NarrowThenAffine(TIE),
    gemm=_NARROW,
    add=AlignedAdd(TIE, status=ESTABLISHED),
    mul=UNDEFINED,
    concat=AffineLookup(TIE),
    lookup=UNDEFINED,
    average_pool=ReciprocalAverage(_MEAN, TIE),
    global_average_pool=_MEAN,
    softmax=UNDEFINED,
    resize=UNDEFINED,
    float_sum=NO_FLOATS,
)

OLDER = replace(
    NEURAL_ART,
    name="neural-art-1.1.1",
    summary="ST Neural-ART, compilers 1.1.0 and 1.1.1 (ST Edge AI 2.1, 2.2): three narrowings (experimental)",
    source="coefficients of twelve published compiled networks (139 convolutions, 33 Adds, 10 dense layers)",
    conv=_THRICE,
    matmul=NarrowThrice(TIE),
    gemm=_THRICE,
)

ORDER = 3
PROFILES = (NEURAL_ART, OLDER)
ALIASES = {"neural-art": NEURAL_ART.name}
