"""ONNX Runtime's integer kernels on x86-64 with FMA3, every QDQ group fused (int8 allowed)."""

from __future__ import annotations

from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.average import FloatAverage
from qdqnp.numerics.rules.binary import FloatAdd, FloatMul
from qdqnp.numerics.rules.convert import FloatConvert
from qdqnp.numerics.rules.lookup import FloatLookup
from qdqnp.numerics.rules.mean import FloatMean
from qdqnp.numerics.rules.requantize import FloatScale
from qdqnp.numerics.rules.softmax import TableSoftmax

ORT = Profile(
    name="ort",
    summary="ONNX Runtime 1.32, integer kernels, session.qdqisint8allowed=1",
    status="established",
    source="onnxruntime 1.32.0 on x86-64, compared bitwise",
    lowering="ort",
    host_float=True,
    convert=FloatConvert(),
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
)
