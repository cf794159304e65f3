"""Which kernel of CMSIS-NN stands for which operator: one row each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qdqnp.golden_sets.harness.codes import addition, clip, concatenation, product, softmax
from qdqnp.golden_sets.harness.layer import LayerCode
from qdqnp.golden_sets.harness.moves import border, same_elements, transposition
from qdqnp.golden_sets.harness.pools import average, largest, plane
from qdqnp.golden_sets.harness.sums import convolution, matrix

CALLS: Mapping[str, Callable[[LayerCode], None]] = {
    "QLinearConv": convolution,  # arm_convolve_wrapper_s8, arm_depthwise_conv_wrapper_s8
    "QGemm": matrix,  # arm_fully_connected_wrapper_s8
    "QLinearMatMul": matrix,
    "QLinearAdd": addition,  # arm_elementwise_add_s8
    "QLinearMul": product,  # arm_elementwise_mul_s8
    "QLinearConcat": concatenation,  # arm_concatenation_s8_x, _y, _z, _w
    "Concat": concatenation,
    "QLinearSoftmax": softmax,  # arm_softmax_s8
    "Clip": clip,  # arm_max_pool_s8
    "MaxPool": largest,  # arm_max_pool_s8
    "QLinearAveragePool": average,  # arm_avgpool_s8
    "QLinearGlobalAveragePool": plane,  # arm_avgpool_s8
    "Pad": border,  # arm_pad_s8
    "Transpose": transposition,  # arm_transpose_s8
    "Reshape": same_elements,  # none, or arm_transpose_s8 where channels lie last
    "Flatten": same_elements,
    "Squeeze": same_elements,
    "Unsqueeze": same_elements,
    "Identity": same_elements,
}
