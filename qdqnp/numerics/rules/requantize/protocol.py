"""What every rule from sums to codes is given, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.multiplier import Real
from qdqnp.numerics.values import StageValue
from qdqnp.quant import Codes, Float32, Int64, Quant, Signs


@dataclass(frozen=True, eq=False)
class SumContext:
    """What a rule of sums may look at besides the sums."""

    #: How the input's codes are read.
    x: Quant
    #: How the weights' codes are read, per tensor or per channel.
    w: Quant
    #: How the output's codes are read; None where the output is real (QGemm without y_scale).
    y: Quant | None
    #: int32 codes, broadcastable to (channels,).
    bias: Codes | None = None
    #: QGemm's factor.
    alpha: float = 1.0
    #: Weights less their zero points, shape (channels, K).
    weights: Int64 | None = None
    #: The layer's name, for overrides.
    label: str = ""

    @property
    def wide_bias(self) -> Int64 | None:
        return None if self.bias is None else self.bias.astype(np.int64)

    @property
    def output(self) -> Quant:
        """How the output's codes are read.

        Raises ProfileError where the output is real, which only ONNX Runtime's arithmetic defines.
        """
        if self.y is None:
            problem = Problem(
                "output",
                "integer codes",
                "a real output (Gemm without QuantizeLinear)",
                "Quantize the output, or use the profile 'ort'.",
            )
            raise ProfileError("an output that the profile does not define", [problem])
        return self.y


@dataclass(frozen=True, eq=False)
class FloatExpression:
    """A requantization that *is* one float32 expression of the int32 accumulator acc = sum + bias.

    The expression is rint(clamp(f32(acc) * multiplier)) + zero point. A kernel may compute it on a tile of exact sums.
    """

    #: float32, shape () or (channels,).
    multiplier: Float32
    #: Added to the rounded product; 0 where the product itself is the output.
    zero_point: int
    #: The type of the codes, or float32 where the product itself is the output.
    dtype: np.dtype[Any]


@dataclass(frozen=True, eq=False)
class Slope:
    """What a cheap expression of the sum may look like: near sum * multiplier + offset, in units of output codes."""

    multiplier: Real
    offset: Real
    #: Constants worth trying where a rule rounds twice.
    nudges: tuple[Real, ...] = ()
    #: If not 0, the sum is first divided by 2^first_shift and rounded half up, and multiplier applies to that.
    first_shift: int = 0
    #: The least and the largest sum (before bias) between which the rule is monotone and defined; outside them only the
    #: rule itself may be used.
    low: int = -(2**31)
    high: int = 2**31 - 1


class Requantizer(Protocol):
    """A bound rule of sums. Calling it maps int64 sums, shape (..., channels), to codes of the same shape."""

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    @property
    def bias(self) -> Int64 | None: ...

    @property
    def y(self) -> Quant | None: ...

    @property
    def expression(self) -> FloatExpression | None:
        """The rule as one float32 expression of the accumulator, if it is one."""
        ...

    @property
    def slope(self) -> Slope | None:
        """Where to look for a cheap expression that may equal the rule; None if nowhere."""
        ...

    def __call__(self, sums: Int64) -> Codes: ...

    def stages(self, sums: Int64) -> list[StageValue]:
        """Return every value between sum and code: 'acc', the rule's own in order, 'unclipped', 'y'.

        'unclipped' is the code before the final clip; it is absent where the output is real.
        """
        ...

    def ties(self, sums: Int64) -> Signs:
        """Mark the sums that meet an exact half at a rounding, int8 in the shape of `sums`.

        A mark is the sign, -1 or 1, of the value that is rounded (at the last such rounding), and 0 for the other sums.
        """
        ...


class RequantizeRule(Protocol):
    """A rule of sums."""

    @property
    def status(self) -> str: ...

    def bind(self, context: SumContext) -> Requantizer:
        """Bind the rule to the numbers of a layer. Raises ProfileError where the layer is outside its domain."""
        ...
