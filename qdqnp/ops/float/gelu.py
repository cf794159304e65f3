"""Gelu, ONNX's and com.microsoft's, and what ONNX Runtime fuses to it: BiasGelu, FastGelu, QuickGelu."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import MICROSOFT, Shape
from qdqnp.numerics import mlas
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.float.elementwise import Elementwise
from qdqnp.ops.geometry.broadcast import may_equal
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array

APPROXIMATIONS = ("none", "tanh")


@dataclass(frozen=True)
class GeluAttributes:
    #: 'none': by the error function; 'tanh': by the hyperbolic tangent.
    approximate: str = "none"


class Gelu(Elementwise):
    op = "Gelu"
    Attributes = GeluAttributes

    def infer(self, check: NodeCheck, attributes: GeluAttributes) -> Inferred:
        if attributes.approximate not in APPROXIMATIONS:
            check.refuse("attribute 'approximate'", " or ".join(APPROXIMATIONS), attributes.approximate)
        return super().infer(check, attributes)

    def apply(self, x: Array, attributes: GeluAttributes) -> Array:
        return mlas.gelu_tanh(x) if attributes.approximate == "tanh" else mlas.gelu(x)


class MicrosoftGelu(Elementwise):
    op = "Gelu"
    domain = MICROSOFT

    def apply(self, x: Array, attributes: Any) -> Array:
        return mlas.gelu(x)


@dataclass(frozen=True)
class QuickGeluAttributes:
    alpha: float = 1.702


class QuickGelu(Elementwise):
    """x sigmoid(alpha x)."""

    op = "QuickGelu"
    domain = MICROSOFT
    reads = ("float_sum",)
    Attributes = QuickGeluAttributes

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        if binding.step.attributes.alpha == 1:
            return (binding.profile.float_sum.silu(x),)
        return super().compute(binding, x)

    def apply(self, x: Array, attributes: QuickGeluAttributes) -> Array:
        return np.asarray(x * mlas.sigmoid(x * np.float32(attributes.alpha)))


class FastGelu(Operator):
    """The Gelu by the hyperbolic tangent, of x + bias."""

    op = "FastGelu"
    domain = MICROSOFT
    arity = (1, 2)
    function = staticmethod(mlas.gelu_tanh)

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        check.dtype_in(0, (np.float32,), "x")
        x = check.value(0).shape
        if len(x) == 0:
            check.refuse("input 0 x", "rank 1 or more", "rank 0")
        if check.given(1):
            check.dtype_in(1, (np.float32,), "bias")
        return ((FLOAT32, self.shapes(attributes, x, check.value(1).shape if check.given(1) else None)[0]),)

    def shapes(self, attributes: Any, x: Shape, bias: Shape | None = None) -> tuple[Shape, ...]:
        if bias is not None and not may_equal(bias, x[-1:]):
            raise ShapeError(f"a bias of shape {list(x[-1:])}", str(list(bias)))
        return (x,)

    def compute(self, binding: Binding, x: Array, bias: Array | None = None) -> tuple[Array, ...]:
        return (self.function(x if bias is None else x + bias),)

    def origin(self, step: Step, output: int, index: Index, x: Array, bias: Array | None = None) -> Any:
        return x[index] if bias is None else [x[index], bias[index[-1]]]


class BiasGelu(FastGelu):
    """The Gelu of x + bias."""

    op = "BiasGelu"
    arity = (2, 2)
    function = staticmethod(mlas.gelu)
