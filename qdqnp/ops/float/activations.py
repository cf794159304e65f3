"""Functions of one float32 as ONNX Runtime approximates them; each is one row of the table.

Some are MLAS's, the same wherever an element stands; others are Eigen's, which leave the last few to the C library.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.numerics import eigen, mlas
from qdqnp.ops.float.apart import sums_apart
from qdqnp.ops.float.elementwise import Elementwise, binary, unary, with_attributes
from qdqnp.ops.operator import Binding, Operator
from qdqnp.quant import Array, Float32

F = np.float32


@dataclass(frozen=True)
class EluAttributes:
    alpha: float = 1.0


@dataclass(frozen=True)
class SeluAttributes:
    #: The float32 nearest to the constants of the paper, as ONNX has them.
    alpha: float = 1.6732631921768188
    gamma: float = 1.0507010221481323


@dataclass(frozen=True)
class ThresholdedReluAttributes:
    alpha: float = 1.0


@dataclass(frozen=True)
class SwishAttributes:
    alpha: float = 1.0


def elu(x: Float32, attributes: EluAttributes) -> Float32:
    """Compute x where x >= 0, else alpha (exp(x) - 1)."""
    return np.where(x >= 0, x, F(attributes.alpha) * (eigen.exp(x) - F(1)))


def celu(x: Float32, attributes: EluAttributes) -> Float32:
    """Compute max(x, 0) + min(alpha (exp(x / alpha) - 1), 0)."""
    alpha = F(attributes.alpha)
    return np.asarray(np.maximum(x, F(0)) + np.minimum(alpha * (eigen.exp(x / alpha) - F(1)), F(0)))


def selu(x: Float32, attributes: SeluAttributes) -> Float32:
    """Compute gamma x where x > 0, else gamma alpha (exp(x) - 1)."""
    alpha, gamma = F(attributes.alpha), F(attributes.gamma)
    return np.where(x > 0, gamma * x, gamma * alpha * (eigen.exp(x) - F(1)))


def thresholded_relu(x: Float32, attributes: ThresholdedReluAttributes) -> Float32:
    """Compute x where x > alpha, else 0."""
    return np.where(x > F(attributes.alpha), x, F(0))


def swish(x: Float32, attributes: SwishAttributes) -> Float32:
    """Compute x sigmoid(alpha x)."""
    return np.asarray(x * mlas.sigmoid(x * F(attributes.alpha)))


def prelu(x: Float32, slope: Float32) -> Float32:
    return np.where(x >= 0, x, x * slope)


def softsign(x: Float32) -> Float32:
    return np.asarray(F(1) / (F(1) + np.abs(x)) * x)


def mish(x: Float32) -> Float32:
    return np.asarray(x * mlas.tanh(eigen.softplus(x)))


def unpromised(op: str, function: Callable[[Any], Any], why: str = "") -> type[Operator]:
    """Define a function whose last bits are not known. function: of float32 or float64; why: why they are not."""
    doubt = why or "the C library's function, or Eigen's, whose last bits are not reproduced"

    def apply(self: Operator, x: Array, attributes: Any) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(function(x.astype(np.float64)), F)

    def error(self: Operator, binding: Binding, x: Array) -> Array:
        """Two such functions are taken to be within 8 roundings of the result each."""
        return sums_apart(np.abs(self.compute(binding, x)[0].astype(np.float64)), 16)

    fields = {"op": op, "apply": apply, "doubt": lambda self, binding: doubt, "error": error}
    return type(op, (Elementwise,), fields)


LAST = "its last elements, up to three, are the C library's log1pf, whose last bits are not reproduced"

#: The operators of this file.
OPERATORS = (
    unary("Exp", mlas.exp),
    unary("Log", eigen.log),
    unary("Tanh", mlas.tanh),
    unary("Erf", mlas.erf),
    unary("Softsign", softsign),
    unary("Reciprocal", np.reciprocal),
    unary("Ceil", np.ceil),
    unary("Floor", np.floor),
    unary("Round", np.rint),
    with_attributes("Elu", elu, EluAttributes),
    with_attributes("Celu", celu, EluAttributes),
    with_attributes("Selu", selu, SeluAttributes),
    with_attributes("ThresholdedRelu", thresholded_relu, ThresholdedReluAttributes),
    with_attributes("Swish", swish, SwishAttributes),
    binary("PRelu", prelu),
    unpromised("Softplus", eigen.softplus, LAST),
    unpromised("Mish", mish, LAST),
    *(
        unpromised(op, function)
        for op, function in {
            **{"Sin": np.sin, "Cos": np.cos, "Tan": np.tan, "Asin": np.arcsin, "Acos": np.arccos, "Atan": np.arctan},
            **{"Sinh": np.sinh, "Cosh": np.cosh, "Asinh": np.arcsinh, "Acosh": np.arccosh, "Atanh": np.arctanh},
        }.items()
    ),
)
