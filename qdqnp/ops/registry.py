"""Finds the operator for a node. The one place that lists them."""

from __future__ import annotations

from collections.abc import Mapping

from qdqnp.ops.add import Add
from qdqnp.ops.average_pool import AveragePool
from qdqnp.ops.base import Operator
from qdqnp.ops.batch_normalization import BatchNormalization
from qdqnp.ops.clip import Clip
from qdqnp.ops.concat import Concat
from qdqnp.ops.conv import Conv
from qdqnp.ops.dequantize_linear import DequantizeLinear, MicrosoftDequantizeLinear
from qdqnp.ops.flatten import Flatten
from qdqnp.ops.gemm import Gemm
from qdqnp.ops.global_average_pool import GlobalAveragePool
from qdqnp.ops.identity import Identity
from qdqnp.ops.leaky_relu import LeakyRelu
from qdqnp.ops.matmul import MatMul
from qdqnp.ops.max_pool import MaxPool
from qdqnp.ops.mul import Mul
from qdqnp.ops.qgemm import QGemm
from qdqnp.ops.qlinear_add import QLinearAdd
from qdqnp.ops.qlinear_average_pool import QLinearAveragePool
from qdqnp.ops.qlinear_concat import QLinearConcat
from qdqnp.ops.qlinear_conv import QLinearConv
from qdqnp.ops.qlinear_global_average_pool import QLinearGlobalAveragePool
from qdqnp.ops.qlinear_leaky_relu import QLinearLeakyRelu
from qdqnp.ops.qlinear_matmul import QLinearMatMul
from qdqnp.ops.qlinear_mul import QLinearMul
from qdqnp.ops.qlinear_sigmoid import QLinearSigmoid
from qdqnp.ops.qlinear_softmax import QLinearSoftmax
from qdqnp.ops.quantize_linear import MicrosoftQuantizeLinear, QuantizeLinear
from qdqnp.ops.reduce_mean import ReduceMean
from qdqnp.ops.relu import Relu
from qdqnp.ops.reshape import Reshape
from qdqnp.ops.sigmoid import Sigmoid
from qdqnp.ops.softmax import Softmax
from qdqnp.ops.squeeze import Squeeze
from qdqnp.ops.transpose import Transpose
from qdqnp.ops.unsqueeze import Unsqueeze

_CLASSES: tuple[type[Operator], ...] = (
    Add, AveragePool, BatchNormalization, Clip, Concat, Conv, DequantizeLinear, Flatten, Gemm, GlobalAveragePool,
    Identity, LeakyRelu, MatMul, MaxPool, MicrosoftDequantizeLinear, MicrosoftQuantizeLinear, Mul, QGemm, QLinearAdd,
    QLinearAveragePool, QLinearConcat, QLinearConv, QLinearGlobalAveragePool, QLinearLeakyRelu, QLinearMatMul,
    QLinearMul, QLinearSigmoid, QLinearSoftmax, QuantizeLinear, ReduceMean, Relu, Reshape, Sigmoid, Softmax, Squeeze,
    Transpose, Unsqueeze,
)  # fmt: skip

OPERATORS: Mapping[tuple[str, str], Operator] = {(kind.domain, kind.op): kind() for kind in _CLASSES}


def lookup(domain: str, op: str) -> Operator | None:
    """The operator of that domain ('' is ONNX's own) and name, or None."""
    return OPERATORS.get((domain, op))


def supported() -> list[str]:
    """Names of all supported operators; those outside ONNX's domain with their domain."""
    return sorted(f"{domain}.{op}" if domain else op for domain, op in OPERATORS)
