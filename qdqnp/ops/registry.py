"""Finds the operator for a node. The one place that lists them."""

from __future__ import annotations

from collections.abc import Mapping

from qdqnp.ops.base import Operator
from qdqnp.ops.float.add import Add
from qdqnp.ops.float.average_pool import AveragePool
from qdqnp.ops.float.batch_normalization import BatchNormalization
from qdqnp.ops.float.clip import Clip
from qdqnp.ops.float.conv import Conv
from qdqnp.ops.float.div import Div
from qdqnp.ops.float.gemm import Gemm
from qdqnp.ops.float.global_average_pool import GlobalAveragePool
from qdqnp.ops.float.hard_sigmoid import HardSigmoid
from qdqnp.ops.float.hard_swish import HardSwish
from qdqnp.ops.float.leaky_relu import LeakyRelu
from qdqnp.ops.float.matmul import MatMul
from qdqnp.ops.float.mul import Mul
from qdqnp.ops.float.neg import Neg
from qdqnp.ops.float.reduce_mean import ReduceMean
from qdqnp.ops.float.relu import Relu
from qdqnp.ops.float.sigmoid import Sigmoid
from qdqnp.ops.float.softmax import Softmax
from qdqnp.ops.float.sqrt import Sqrt
from qdqnp.ops.float.sub import Sub
from qdqnp.ops.integer.dequantize_linear import DequantizeLinear, MicrosoftDequantizeLinear
from qdqnp.ops.integer.qgemm import QGemm
from qdqnp.ops.integer.qlinear_add import QLinearAdd
from qdqnp.ops.integer.qlinear_average_pool import QLinearAveragePool
from qdqnp.ops.integer.qlinear_concat import QLinearConcat
from qdqnp.ops.integer.qlinear_conv import QLinearConv
from qdqnp.ops.integer.qlinear_global_average_pool import QLinearGlobalAveragePool
from qdqnp.ops.integer.qlinear_leaky_relu import QLinearLeakyRelu
from qdqnp.ops.integer.qlinear_matmul import QLinearMatMul
from qdqnp.ops.integer.qlinear_mul import QLinearMul
from qdqnp.ops.integer.qlinear_sigmoid import QLinearSigmoid
from qdqnp.ops.integer.qlinear_softmax import QLinearSoftmax
from qdqnp.ops.integer.quantize_linear import MicrosoftQuantizeLinear, QuantizeLinear
from qdqnp.ops.movement.arg_max import ArgMax
from qdqnp.ops.movement.concat import Concat
from qdqnp.ops.movement.depth_to_space import DepthToSpace
from qdqnp.ops.movement.expand import Expand
from qdqnp.ops.movement.flatten import Flatten
from qdqnp.ops.movement.gather import Gather
from qdqnp.ops.movement.identity import Identity
from qdqnp.ops.movement.max_pool import MaxPool
from qdqnp.ops.movement.pad import Pad
from qdqnp.ops.movement.reduce_max import ReduceMax
from qdqnp.ops.movement.reduce_min import ReduceMin
from qdqnp.ops.movement.reshape import Reshape
from qdqnp.ops.movement.resize import Resize
from qdqnp.ops.movement.slice import Slice
from qdqnp.ops.movement.space_to_depth import SpaceToDepth
from qdqnp.ops.movement.split import Split
from qdqnp.ops.movement.squeeze import Squeeze
from qdqnp.ops.movement.tile import Tile
from qdqnp.ops.movement.transpose import Transpose
from qdqnp.ops.movement.unsqueeze import Unsqueeze

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
