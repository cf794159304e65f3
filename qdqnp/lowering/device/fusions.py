"""The table of fusions of devices: as ONNX Runtime's, without what only its session or its kernels ask for.

Operators that only move codes are not in it: `movement` has them run on codes.
"""

from __future__ import annotations

from qdqnp.graph import DEVICES, MICROSOFT, ONNX
from qdqnp.lowering.ort import fusions as ort
from qdqnp.lowering.ort.fusions import Fusion, Group, Guard, dq_inputs
from qdqnp.quant import EIGHT_BIT

#: Every input from a DQ of its own, and every output to a Q.
ALL_DQ = (dq_inputs(), ort.quantized_output)
ONE_DQ = (dq_inputs(1), ort.quantized_output)


def eight_bit(group: Group) -> str | None:
    """Require 8-bit codes: of others there are no tables, and no order of the least."""
    kind = group.code_in(0)
    return None if kind in EIGHT_BIT else f"{kind} codes have no integer kernel"


def _unary(op: str, integer_op: str, *guards: Guard, domain: str = MICROSOFT) -> Fusion:
    return Fusion(op, integer_op, domain, (*ONE_DQ, *guards, ort.same_codes, ort.single_parameters()), ort.unary)


FUSIONS: tuple[Fusion, ...] = (
    Fusion("ArgMax", "ArgMax", ONNX, (dq_inputs(1), eight_bit, ort.constant_parameters), ort.codes),
    _unary("AveragePool", "QLinearAveragePool"),
    _unary("LeakyRelu", "QLinearLeakyRelu", eight_bit),
    _unary("GlobalAveragePool", "QLinearGlobalAveragePool"),
    _unary("Sigmoid", "QLinearSigmoid", eight_bit),
    *(_unary(op, f"QLinear{op}", eight_bit, domain=DEVICES) for op in ("Tanh", "HardSwish", "HardSigmoid")),
    Fusion(
        "Softmax",
        "QLinearSoftmax",
        MICROSOFT,
        (*ONE_DQ, eight_bit, ort.same_codes, ort.constant_input),
        ort.unary,
        ort.softmax_opset,
    ),
    Fusion("Add", "QLinearAdd", MICROSOFT, (*ALL_DQ, ort.same_codes, ort.single_parameters()), ort.binary),
    Fusion("Sub", "QLinearSub", DEVICES, (*ALL_DQ, ort.same_codes, ort.single_parameters()), ort.binary),
    Fusion("Mul", "QLinearMul", MICROSOFT, (*ALL_DQ, ort.same_codes, ort.single_parameters()), ort.binary),
    Fusion("Concat", "QLinearConcat", MICROSOFT, (*ALL_DQ, ort.same_codes, ort.single_parameters()), ort.variadic),
    Fusion(
        "Conv",
        "QLinearConv",
        ONNX,
        (*ALL_DQ, ort.same_activations, ort.matrix_codes, ort.int32_bias, ort.bias_scale),
        ort.convolution,
    ),
    Fusion(
        "MatMul",
        "QLinearMatMul",
        ONNX,
        (*ALL_DQ, ort.matrix_codes, ort.same_activations, ort.single_parameters(0), ort.matmul_weight),
        ort.binary,
    ),
    Fusion(
        "Gemm",
        "QGemm",
        MICROSOFT,
        (
            *ALL_DQ,
            ort.matrix_codes,
            ort.same_activations,
            ort.single_parameters(0),
            ort.gemm_weight,
            ort.int32_bias,
            ort.bias_scale,
            ort.unit_factors,
        ),
        ort.gemm,
        ort.without_beta,
    ),
)
