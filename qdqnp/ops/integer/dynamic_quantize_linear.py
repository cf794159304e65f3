"""DynamicQuantizeLinear: uint8 codes whose scale and zero point are those of the values' own range."""

from __future__ import annotations

from typing import Any

import numpy as np

from qdqnp.errors import Problem, ProfileError
from qdqnp.graph import Shape
from qdqnp.numerics import float32
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array, Codes, Float32

UINT8 = np.dtype(np.uint8)


class DynamicQuantizeLinear(Operator):
    """Makes codes, their scale and their zero point, of float32 values."""

    op = "DynamicQuantizeLinear"

    def infer(self, check: NodeCheck, attributes: Any) -> Inferred:
        check.dtype_in(0, (np.float32,), "x")
        return ((UINT8, check.value(0).shape), (FLOAT32, ()), (UINT8, ()))

    def shapes(self, attributes: Any, x: Shape) -> tuple[Shape, ...]:
        return (x, (), ())

    def check_profile(self, binding: Binding) -> None:
        check_float(binding)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        scale, zero = parameters_of(x)
        return (float32.quantize(x, scale, zero, UINT8), scale, zero)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        """Return all elements: each may be the least or the largest."""
        return x.reshape(-1)


def parameters_of(x: Float32) -> tuple[Float32, Codes]:
    """Return scale and zero point of the range of values, 0 included: float32 and uint8, of shape ().

    NaNs are passed over; ONNX Runtime forgets with them what came before in the same lane of a vector. Where the scale
    is infinite, or 0, a zero point that is no number becomes 255.
    Source: ONNX Runtime 1.32, core/util/qmath.h (GetQuantizationParameter).
    """
    values = x.reshape(-1)
    low, high = np.fmin.reduce(values, initial=np.float32(0)), np.fmax.reduce(values, initial=np.float32(0))
    scale = np.float32(1) if high == low else np.float32(np.float32(high - low) / np.float32(255))
    start = np.float32(np.float32(0) - np.float32(low / scale))
    zero = 255 if np.isnan(start) else np.rint(np.clip(start, np.float32(0), np.float32(255)))
    return np.asarray(scale), np.asarray(zero, np.uint8)


def check_float(binding: Binding) -> None:
    """Raise ProfileError where a profile has no float32, in which scales of data are found."""
    if not binding.profile.host_float:
        problem = Problem(
            "operator",
            "scales that are known before a run",
            f"{binding.step.op}, which finds them in float32",
            "Quantize statically, with calibration data, or use a profile of ONNX Runtime.",
        )
        raise ProfileError("scales that depend on data", [problem])
