"""Generators of cases, one per integer operator. The fast tier and tools/verify/long_tier.py draw from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from tests.ops.case import Case
from tests.ops.cases.binary import qlinear_add, qlinear_concat, qlinear_mul, qlinear_where
from tests.ops.cases.choice import (
    arg_max,
    depth_to_space,
    expand,
    gather,
    pad,
    reduction,
    resize,
    slice_,
    space_to_depth,
    tile,
    upsample,
)
from tests.ops.cases.conv import qlinear_conv
from tests.ops.cases.convert import dequantize_linear, quantize_linear
from tests.ops.cases.dynamic import (
    conv_integer,
    dynamic_quantize_linear,
    dynamic_quantize_matmul,
    matmul_integer,
    matmul_integer_to_float,
)
from tests.ops.cases.matrix import qgemm, qlinear_matmul
from tests.ops.cases.movement import flatten, reshape, squeeze, transpose, unsqueeze
from tests.ops.cases.pool import max_pool, qlinear_average_pool, qlinear_global_average_pool
from tests.ops.cases.unary import clip, qlinear_leaky_relu, qlinear_sigmoid, qlinear_softmax, relu

Generator = Callable[[np.random.Generator], Case]

CASES: Mapping[str, Generator] = {
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "QGemm": qgemm,
    "MatMulInteger": matmul_integer,
    "ConvInteger": conv_integer,
    "DynamicQuantizeLinear": dynamic_quantize_linear,
    "MatMulIntegerToFloat": matmul_integer_to_float,
    "DynamicQuantizeMatMul": dynamic_quantize_matmul,
    "QLinearAdd": qlinear_add,
    "QLinearMul": qlinear_mul,
    "QLinearConcat": qlinear_concat,
    "QLinearWhere": qlinear_where,
    "QLinearLeakyRelu": qlinear_leaky_relu,
    "QLinearSigmoid": qlinear_sigmoid,
    "QLinearSoftmax": qlinear_softmax,
    "MaxPool": max_pool,
    "QLinearAveragePool": qlinear_average_pool,
    "QLinearGlobalAveragePool": qlinear_global_average_pool,
    "Flatten": flatten,
    "Reshape": reshape,
    "Transpose": transpose,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Slice": slice_,
    "Gather": gather,
    "Pad": pad,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
    "Expand": expand,
    "Tile": tile,
    "Resize": resize,
    "Upsample": upsample,
    "ReduceMax": reduction("ReduceMax"),
    "ReduceMin": reduction("ReduceMin"),
    "ArgMax": arg_max,
    "Relu": relu,
    "Clip": clip,
}
