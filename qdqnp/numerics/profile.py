"""Profile: a named arithmetic. A value that names a lowering and one rule per operator family."""

from __future__ import annotations

from dataclasses import dataclass

from qdqnp.numerics.rules.accumulate import AccumulateRule
from qdqnp.numerics.rules.average import AverageRule
from qdqnp.numerics.rules.binary import BinaryRule
from qdqnp.numerics.rules.convert import ConvertRule
from qdqnp.numerics.rules.float_sum import FloatSumRule
from qdqnp.numerics.rules.lookup import LookupRule
from qdqnp.numerics.rules.mean import MeanRule
from qdqnp.numerics.rules.requantize import RequantizeRule
from qdqnp.numerics.rules.softmax import SoftmaxRule

#: The fields of a profile whose rules answer questions with codes.
RULES = (
    "conv",
    "matmul",
    "gemm",
    "add",
    "mul",
    "concat",
    "lookup",
    "average_pool",
    "global_average_pool",
    "softmax",
)


@dataclass(frozen=True)
class Profile:
    """Which arithmetic each operator uses.

    Fields go by operator because devices differ by operator too: TFLite's FullyConnected does not requantize as its
    Conv does, nor ONNX Runtime's GlobalAveragePool as its Conv.

    status: 'established', 'inferred' or 'unknown'; source: where the arithmetic was read or measured.
    lowering: name of the lowering that decides what is integer at all. host_float: whether operators that the lowering
    leaves in float run in float32; a device without a float unit refuses them (inputs are quantized and outputs
    dequantized on the host in any case).
    """

    name: str
    summary: str
    status: str
    source: str
    lowering: str
    host_float: bool
    convert: ConvertRule
    accumulate: AccumulateRule
    conv: RequantizeRule
    matmul: RequantizeRule
    gemm: RequantizeRule
    add: BinaryRule
    mul: BinaryRule
    concat: LookupRule
    lookup: LookupRule
    average_pool: AverageRule
    global_average_pool: MeanRule
    softmax: SoftmaxRule
    float_sum: FloatSumRule
