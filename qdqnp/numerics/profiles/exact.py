"""The ideal: every operator's real value on its dequantized inputs, rounded once, half to even."""

from __future__ import annotations

from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles.families import NO_FLOATS
from qdqnp.numerics.rules.accumulate import ExactSum
from qdqnp.numerics.rules.add import RationalAdd
from qdqnp.numerics.rules.average import MeanAverage
from qdqnp.numerics.rules.convert import FloatConvert
from qdqnp.numerics.rules.interpolate import RationalInterpolate
from qdqnp.numerics.rules.lookup import RationalLookup
from qdqnp.numerics.rules.mean import RationalMean
from qdqnp.numerics.rules.mul import RationalMul
from qdqnp.numerics.rules.requantize.rational import RationalScale
from qdqnp.numerics.rules.softmax import RationalSoftmax

EXACT = Profile(
    name="exact",
    summary="real arithmetic on the float32 scales, rounded once, half to even: what a device is judged against",
    status="established",
    source="definition",
    lowering="device-exact",
    host_float=False,
    convert=FloatConvert(),
    accumulate=ExactSum(),
    conv=RationalScale(),
    matmul=RationalScale(),
    gemm=RationalScale(),
    add=RationalAdd(),
    mul=RationalMul(),
    concat=RationalLookup(),
    lookup=RationalLookup(),
    average_pool=MeanAverage(RationalMean()),
    global_average_pool=RationalMean(),
    softmax=RationalSoftmax(),
    resize=RationalInterpolate(),
    float_sum=NO_FLOATS,
)

ORDER = 1
PROFILES = (EXACT,)
