"""ST Neural-ART (STM32N6), as inferred from networks compiled with version 1.1.3. Experimental; ST has not stated it.

The arithmetic is not bit-exact to any ONNX Runtime, as ST says itself.
"""

from __future__ import annotations

from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles.families import NO_FLOATS, UNDEFINED
from qdqnp.numerics.rules.accumulate import ExactSum
from qdqnp.numerics.rules.add import AlignedAdd
from qdqnp.numerics.rules.average import ReciprocalAverage
from qdqnp.numerics.rules.convert import FloatConvert
from qdqnp.numerics.rules.lookup import AffineLookup
from qdqnp.numerics.rules.mean import NarrowMean
from qdqnp.numerics.rules.requantize.narrow import NarrowThenAffine

# The tie rule is not known for sure; the description of the pooling unit states this one.
TIE = "half-up"

_NARROW = NarrowThenAffine(TIE)
_MEAN = NarrowMean(TIE)

NEURAL_ART = Profile(
    name="neural-art-1.1.3",
    summary="ST Neural-ART, compiler 1.1.3: two narrowings, 16-bit multipliers (experimental)",
    status="inferred",
    source="coefficients of two published compiled networks, 192 of 192 matched convolutions",
    lowering="device",
    host_float=False,
    convert=FloatConvert(),
    accumulate=ExactSum(),
    conv=_NARROW,
    matmul=_NARROW,
    gemm=_NARROW,
    add=AlignedAdd(TIE),
    mul=UNDEFINED,
    concat=AffineLookup(TIE),
    lookup=UNDEFINED,
    average_pool=ReciprocalAverage(_MEAN, TIE),
    global_average_pool=_MEAN,
    softmax=UNDEFINED,
    float_sum=NO_FLOATS,
)

ORDER = 3
PROFILES = (NEURAL_ART,)
ALIASES = {"neural-art": NEURAL_ART.name}
