"""Functions of single codes that ONNX Runtime has no integer operator for: the lowerings of devices make these."""

from __future__ import annotations

from typing import Any

from qdqnp.graph import DEVICES
from qdqnp.numerics.rules.lookup import HardSigmoidFunction, HardSwishFunction, RealFunction, TanhFunction
from qdqnp.ops.float.hard_sigmoid import HardSigmoidAttributes
from qdqnp.ops.integer.unary import UnaryOperator
from qdqnp.ops.operator import Binding

NOT_OF_ORT = "ONNX Runtime has no such integer operator"


class DeviceFunction(UnaryOperator):
    """A table of quantize(function(dequantize(x)))."""

    domain = DEVICES

    def doubt(self, binding: Binding) -> str:
        return NOT_OF_ORT if binding.profile.lowering.startswith("ort") else ""


class QLinearTanh(DeviceFunction):
    op = "QLinearTanh"

    def function(self, attributes: Any) -> RealFunction:
        return TanhFunction()


class QLinearHardSwish(DeviceFunction):
    op = "QLinearHardSwish"

    def function(self, attributes: Any) -> RealFunction:
        return HardSwishFunction()


class QLinearHardSigmoid(DeviceFunction):
    op = "QLinearHardSigmoid"
    Attributes = HardSigmoidAttributes

    def function(self, attributes: HardSigmoidAttributes) -> RealFunction:
        return HardSigmoidFunction(attributes.alpha, attributes.beta)
