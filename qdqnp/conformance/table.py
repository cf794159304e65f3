"""The layers of each integer operator of the registry. An operator without layers here has a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from qdqnp.conformance.conversions import dequantizers, dynamic_products, dynamic_quantizers, quantizers
from qdqnp.conformance.layer import LayerCase
from qdqnp.conformance.moves import MOVES, moves
from qdqnp.conformance.singles import (
    averages,
    interpolations,
    joins,
    lookups,
    pairs,
    requantizations,
    softmaxes,
)
from qdqnp.conformance.sums import convolutions, gemms, matrices
from qdqnp.graph import DEVICES, MICROSOFT
from qdqnp.ops import integer
from qdqnp.ops.registry import operators

Layers = Callable[[str], Iterator[LayerCase]]

LAYERS: Mapping[str, Layers] = {
    "QLinearConv": convolutions,
    "ConvInteger": convolutions,
    "QLinearMatMul": matrices,
    "MatMulInteger": matrices,
    "MatMulIntegerToFloat": partial(matrices, domain=MICROSOFT),
    "QGemm": gemms,
    "DynamicQuantizeMatMul": dynamic_products,
    "QuantizeLinear": quantizers,
    "DequantizeLinear": dequantizers,
    "DynamicQuantizeLinear": dynamic_quantizers,
    "QLinearAdd": pairs,
    "QLinearMul": pairs,
    "QLinearSub": partial(pairs, domain=DEVICES),
    "QLinearConcat": joins,
    "QLinearWhere": joins,
    "QLinearLeakyRelu": partial(lookups, attributes={"alpha": 0.1}),
    "QLinearSigmoid": lookups,
    "QLinearTanh": partial(lookups, domain=DEVICES),
    "QLinearHardSwish": partial(lookups, domain=DEVICES),
    "QLinearHardSigmoid": partial(lookups, domain=DEVICES),
    "QLinearRequantize": requantizations,
    "QLinearResizeLinear": interpolations,
    "QLinearSoftmax": softmaxes,
    "QLinearAveragePool": averages,
    "QLinearGlobalAveragePool": averages,
    **dict.fromkeys(MOVES, moves),
}
#: Operators of the registry's integer room that have no layers here, and why.
LEFT_OUT: Mapping[str, str] = {
    "QAttention": "its integers are inside; its output is float32 behind a Softmax",
    "DynamicQuantizeLSTM": "its integers are inside; its outputs are float32 behind sigmoid and tanh",
}


def integer_operators() -> list[str]:
    """Return the names of the operators whose files are in the registry's room of integers, sorted.

    >>> "QLinearConv" in integer_operators()
    True
    """
    room = f"{integer.__name__}."
    return sorted({op for (_, op), operator in operators().items() if type(operator).__module__.startswith(room)})


def layers_of(op: str) -> list[LayerCase]:
    """Return the layers of one operator; none where it has a reason in LEFT_OUT."""
    return list(LAYERS[op](op)) if op in LAYERS else []
