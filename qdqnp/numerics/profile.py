"""A profile is a named arithmetic: it names a lowering and one rule per operator family."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from qdqnp.numerics.choices import families_of, limited_to, part
from qdqnp.numerics.rules.accumulate import AccumulateRule
from qdqnp.numerics.rules.average import AverageRule
from qdqnp.numerics.rules.binary import BinaryRule
from qdqnp.numerics.rules.convert import ConvertRule
from qdqnp.numerics.rules.float_sum import FloatSumRule
from qdqnp.numerics.rules.interpolate import InterpolateRule
from qdqnp.numerics.rules.lookup import LookupRule
from qdqnp.numerics.rules.mean import MeanRule
from qdqnp.numerics.rules.requantize.protocol import RequantizeRule
from qdqnp.numerics.rules.softmax import SoftmaxRule
from qdqnp.numerics.status import STATUSES

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
    "resize",
)

#: Lowerings that make one integer operator of DQ -> operator -> Q in the types of the file, however many they make.
ONE_INTEGER_OPERATOR = {"ort", "device", "device-16x8", "device-exact"}


@dataclass(frozen=True)
class Profile:
    """Which arithmetic each operator uses.

    Fields go by operator because devices differ by operator too: TFLite's FullyConnected does not requantize as its
    Conv does, nor ONNX Runtime's GlobalAveragePool as its Conv.
    """

    name: str
    #: What the profile is, in one line.
    summary: str
    #: How sure qdqnp is of the arithmetic, see `numerics.status`.
    status: str = field(metadata=limited_to(STATUSES))
    #: Where the arithmetic was read or measured.
    source: str
    #: The name of the lowering that decides which operators are integer at all.
    lowering: str
    #: Whether operators that the lowering leaves in float run in float32; a device without a float unit refuses them.
    #: Inputs are quantized and outputs dequantized on the host in any case.
    host_float: bool
    convert: ConvertRule = part("convert")
    accumulate: AccumulateRule = part("accumulate")
    conv: RequantizeRule = part("requantize", "undefined")
    matmul: RequantizeRule = part("requantize", "undefined")
    gemm: RequantizeRule = part("requantize", "undefined")
    add: BinaryRule = part("add", "undefined")
    mul: BinaryRule = part("mul", "undefined")
    #: The rule for the identity between two scales.
    concat: LookupRule = part("lookup", "rescaling", "undefined")
    #: The rule for any real function; a rule that only rescales would compute the identity in place of a Sigmoid.
    lookup: LookupRule = part("lookup", "undefined")
    average_pool: AverageRule = part("average", "undefined")
    global_average_pool: MeanRule = part("mean", "undefined")
    softmax: SoftmaxRule = part("softmax", "undefined")
    #: Values between codes: Resize of mode linear.
    resize: InterpolateRule = part("interpolate", "undefined")
    float_sum: FloatSumRule = part("float_sum")

    def lowers_like(self, other: Profile) -> bool:
        """Tell whether two profiles differ by their rules alone where both make an integer operator of a layer.

        Another lowering may round at other places.
        """
        return self.lowering == other.lowering or {self.lowering, other.lowering} <= ONE_INTEGER_OPERATOR


def rule_names() -> list[str]:
    """Return the fields of a profile that are rules, in order."""
    return [item.name for item in fields(Profile) if families_of(item)]
