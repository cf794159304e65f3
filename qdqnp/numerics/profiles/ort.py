"""ONNX Runtime's CPU provider: one arithmetic for the operators it fuses, and what differs by configuration and CPU."""

from __future__ import annotations

from dataclasses import replace

from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.accumulate import ExactSum, SaturatedPairs
from qdqnp.numerics.rules.add import FixedAdd, FloatAdd
from qdqnp.numerics.rules.average import FloatAverage
from qdqnp.numerics.rules.convert import FloatConvert
from qdqnp.numerics.rules.float_sum import AnySum, MlasSums
from qdqnp.numerics.rules.interpolate import RationalInterpolate
from qdqnp.numerics.rules.lookup import FloatLookup
from qdqnp.numerics.rules.mean import FloatMean
from qdqnp.numerics.rules.mul import FloatMul
from qdqnp.numerics.rules.requantize.float_scale import FloatScale
from qdqnp.numerics.rules.softmax import TableSoftmax
from qdqnp.numerics.status import INFERRED

#: A session has no such integer operator, and what one computes carries no promise; its own Resize takes codes.
OF_DEVICES = RationalInterpolate()

ORT = Profile(
    name="ort",
    summary="ONNX Runtime 1.32, integer kernels, session.qdqisint8allowed=1",
    status="established",
    source="onnxruntime 1.32.0 on x86-64, compared bitwise",
    lowering="ort",
    host_float=True,
    convert=FloatConvert(),
    accumulate=ExactSum(),
    conv=FloatScale(),
    matmul=FloatScale(),
    gemm=FloatScale(),
    add=FloatAdd(),
    mul=FloatMul(),
    concat=FloatLookup(),
    lookup=FloatLookup(),
    average_pool=FloatAverage(),
    global_average_pool=FloatMean(),
    softmax=TableSoftmax(),
    resize=OF_DEVICES,
    float_sum=MlasSums(blocked=True),
)

ORT_X64 = replace(
    ORT,
    name="ort-x64",
    summary="ONNX Runtime 1.32, the default session on x86-64: signed activations with several readers stay float",
    lowering="ort-x64",
)

ORT_UNFUSED = replace(
    ORT,
    name="ort-unfused",
    summary="ONNX Runtime 1.32 with optimization off: dequantize, float operator, quantize",
    lowering="ort-unfused",
    float_sum=MlasSums(),
)

ORT_AVX2 = replace(
    ORT_X64,
    name="ort-avx2",
    summary="ONNX Runtime 1.32, the default session on x86-64 without VNNI: uint8 x int8 products saturate in pairs",
    source="docs/numerics.md, (19); compared with onnxruntime 1.32 on an emulated CPU without VNNI",
    accumulate=SaturatedPairs(),
    float_sum=MlasSums(blocked=True, lanes=8),
)

ORT_ARM64 = Profile(
    name="ort-arm64",
    summary="ONNX Runtime 1.32, the default session on ARM64: int8 fuses, Add in 22-bit fixed point",
    status=INFERRED,
    source="ONNX Runtime's source (core/mlas/lib/qladd.cpp and others); not compared with a machine",
    lowering="ort",
    host_float=True,
    convert=FloatConvert(INFERRED),
    accumulate=ExactSum(INFERRED),
    conv=FloatScale(INFERRED),
    matmul=FloatScale(INFERRED),
    gemm=FloatScale(INFERRED),
    add=FixedAdd(),
    mul=FloatMul(INFERRED),
    concat=FloatLookup(INFERRED),
    lookup=FloatLookup(INFERRED),
    average_pool=FloatAverage(INFERRED),
    global_average_pool=FloatMean(INFERRED),
    softmax=TableSoftmax(INFERRED),
    resize=replace(OF_DEVICES, status=INFERRED),
    float_sum=AnySum("the order of sums on ARM64 is not known"),
)

ORDER = 0
PROFILES = (ORT, ORT_X64, ORT_UNFUSED, ORT_AVX2, ORT_ARM64)
