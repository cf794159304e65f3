"""Finds the operator for a node. The one place that lists them."""

from __future__ import annotations

from collections.abc import Mapping

from qdqnp.ops.add import Add
from qdqnp.ops.arg_max import ArgMax
from qdqnp.ops.average_pool import AveragePool
from qdqnp.ops.base import Operator
from qdqnp.ops.batch_normalization import BatchNormalization
from qdqnp.ops.clip import Clip
from qdqnp.ops.concat import Concat
from qdqnp.ops.conv import Conv
from qdqnp.ops.depth_to_space import DepthToSpace
from qdqnp.ops.dequantize_linear import DequantizeLinear, MicrosoftDequantizeLinear
from qdqnp.ops.div import Div
from qdqnp.ops.expand import Expand
from qdqnp.ops.flatten import Flatten
from qdqnp.ops.gather import Gather
from qdqnp.ops.gemm import Gemm
from qdqnp.ops.global_average_pool import GlobalAveragePool
from qdqnp.ops.hard_sigmoid import HardSigmoid
from qdqnp.ops.hard_swish import HardSwish
from qdqnp.ops.identity import Identity
from qdqnp.ops.leaky_relu import LeakyRelu
from qdqnp.ops.matmul import MatMul
from qdqnp.ops.max_pool import MaxPool
from qdqnp.ops.mul import Mul
from qdqnp.ops.neg import Neg
from qdqnp.ops.pad import Pad
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
from qdqnp.ops.reduce_max import ReduceMax
from qdqnp.ops.reduce_mean import ReduceMean
from qdqnp.ops.reduce_min import ReduceMin
from qdqnp.ops.relu import Relu
from qdqnp.ops.reshape import Reshape
from qdqnp.ops.resize import Resize
from qdqnp.ops.sigmoid import Sigmoid
from qdqnp.ops.slice import Slice
from qdqnp.ops.softmax import Softmax
from qdqnp.ops.space_to_depth import SpaceToDepth
from qdqnp.ops.split import Split
from qdqnp.ops.sqrt import Sqrt
from qdqnp.ops.squeeze import Squeeze
from qdqnp.ops.sub import Sub
from qdqnp.ops.tile import Tile
from qdqnp.ops.transpose import Transpose
from qdqnp.ops.unsqueeze import Unsqueeze

_CLASSES: tuple[type[Operator], ...] = (
    Add,
    ArgMax,
    AveragePool,
    BatchNormalization,
    Clip,
    Concat,
    Conv,
    DepthToSpace,
    DequantizeLinear,
    Div,
    Expand,
    Flatten,
    Gather,
    Gemm,
    GlobalAveragePool,
    HardSigmoid,
    HardSwish,
    Identity,
    LeakyRelu,
    MatMul,
    MaxPool,
    MicrosoftDequantizeLinear,
    MicrosoftQuantizeLinear,
    Mul,
    Neg,
    Pad,
    QGemm,
    QLinearAdd,
    QLinearAveragePool,
    QLinearConcat,
    QLinearConv,
    QLinearGlobalAveragePool,
    QLinearLeakyRelu,
    QLinearMatMul,
    QLinearMul,
    QLinearSigmoid,
    QLinearSoftmax,
    QuantizeLinear,
    ReduceMax,
    ReduceMean,
    ReduceMin,
    Relu,
    Reshape,
    Resize,
    Sigmoid,
    Slice,
    Softmax,
    SpaceToDepth,
    Split,
    Sqrt,
    Squeeze,
    Sub,
    Tile,
    Transpose,
    Unsqueeze,
)

OPERATORS: Mapping[tuple[str, str], Operator] = {(kind.domain, kind.op): kind() for kind in _CLASSES}


def lookup(domain: str, op: str) -> Operator | None:
    """The operator of that domain ('' is ONNX's own) and name, or None."""
    return OPERATORS.get((domain, op))


def supported() -> list[str]:
    """Names of all supported operators; those outside ONNX's domain with their domain."""
    return sorted(f"{domain}.{op}" if domain else op for domain, op in OPERATORS)
