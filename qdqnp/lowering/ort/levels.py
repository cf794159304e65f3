"""The lowerings of ONNX Runtime 1.32's CPU provider: level EXTENDED with and without int8, and no optimization."""

from __future__ import annotations

from collections.abc import Collection

from qdqnp.lowering.base import Lowering, Pass, repeat
from qdqnp.lowering.ort.passes.clip_quant import clip_quant
from qdqnp.lowering.ort.passes.conv_add import conv_add
from qdqnp.lowering.ort.passes.conv_constants import conv_constants
from qdqnp.lowering.ort.passes.cse import cse
from qdqnp.lowering.ort.passes.div_mul import div_mul
from qdqnp.lowering.ort.passes.double_qdq import double_qdq
from qdqnp.lowering.ort.passes.dynamic_matmul import dynamic_matmul, integer_to_float
from qdqnp.lowering.ort.passes.eliminate import eliminate
from qdqnp.lowering.ort.passes.final_cleanup import final_cleanup
from qdqnp.lowering.ort.passes.fold_constants import fold_constants
from qdqnp.lowering.ort.passes.fuse import fusion
from qdqnp.lowering.ort.passes.fused_matmul import expand_fused_matmul, matmul_scale, matmul_transpose
from qdqnp.lowering.ort.passes.gelu import fast_gelu, gelu, silu
from qdqnp.lowering.ort.passes.gemm_transpose import gemm_transpose
from qdqnp.lowering.ort.passes.inline_functions import inline_functions
from qdqnp.lowering.ort.passes.insert_casts import doubt_rewrites, hide_halves, insert_casts, show_halves
from qdqnp.lowering.ort.passes.layer_norm import layer_norm, root_norm
from qdqnp.lowering.ort.passes.matmul_add import matmul_add
from qdqnp.lowering.ort.passes.matmul_bn import matmul_bn
from qdqnp.lowering.ort.passes.nbits_bias import nbits_bias
from qdqnp.lowering.ort.passes.not_where import not_where
from qdqnp.lowering.ort.passes.pad_fusion import pad_fusion
from qdqnp.lowering.ort.passes.propagate import propagate
from qdqnp.lowering.ort.passes.relu_clip import relu_clip
from qdqnp.lowering.ort.passes.relu_quant import relu_quant
from qdqnp.lowering.ort.passes.reshapes import reshapes
from qdqnp.lowering.ort.passes.s8_to_u8 import s8_to_u8
from qdqnp.lowering.ort.passes.share_constants import share_constants
from qdqnp.lowering.ort.passes.skip_layer_norm import attention, bias_skip_layer_norm, skip_layer_norm
from qdqnp.lowering.ort.passes.slices_to_split import slices_to_split
from qdqnp.lowering.ort.passes.space_to_depth import space_to_depth
from qdqnp.lowering.ort.passes.unique_dq import unique_dq
from qdqnp.lowering.ort.passes.weight_bias import weight_bias
from qdqnp.lowering.ort.passes.where_dummy import where_dummy
from qdqnp.lowering.ort.transposes.optimize import transposes

UNIQUE_DQ = Pass("unique-dq", unique_dq, about="DequantizeLinear")
MATMUL_ADD = Pass("matmul-add", matmul_add, about="MatMul")
GEMM_TRANSPOSE = Pass("gemm-transpose", gemm_transpose, about="Gemm")

# After level BASIC, with what it leaves for the kernels: until then a DQ in front of a HardSwish has one reader.
INLINE_FUNCTIONS = Pass("inline-functions", inline_functions, about="HardSwish")

# Of level ALL, which the session of a user has: the one rewrite there that moves float sums that are promised here.
CONV_ADD = Pass("conv-add", conv_add, about="Conv")

# Behind all others, which see Sigmoid and Mul: ONNX Runtime's that run after QuickGeluFusion look at neither.
SILU = Pass("silu", silu, about="Sigmoid")

# float16 that the CPU has no kernel for: out of the sight of level EXTENDED, and computed in float32 at last.
DOUBT_HALVES = Pass("doubt-halves", doubt_rewrites)
HIDE_HALVES, SHOW_HALVES = Pass("hide-halves", hide_halves), Pass("show-halves", show_halves)
INSERT_CASTS = Pass("insert-casts", insert_casts)

EXPAND = Pass("expand-fused-matmul", expand_fused_matmul, about="FusedMatMul")

LAST = (CONV_ADD, SILU, EXPAND)

BASIC = (
    Pass("eliminate", eliminate),
    Pass("div-mul", div_mul, about="Div"),
    Pass("relu-clip", relu_clip, about="Clip"),
    Pass("not-where", not_where, about="Not"),
    GEMM_TRANSPOSE,
    Pass("conv-constants", conv_constants, about="Conv"),
    Pass("pad-fusion", pad_fusion, about="Pad"),
    Pass("matmul-bn", matmul_bn, about="BatchNormalization"),
    Pass("double-qdq", double_qdq, about="DequantizeLinear"),
    Pass("share-constants", share_constants, once=True),
    Pass("cse", cse),
    Pass("fold-constants", fold_constants),
    MATMUL_ADD,
    Pass("reshapes", reshapes, about="Reshape"),
    Pass("space-to-depth", space_to_depth, about="Slice"),
    Pass("gelu", gelu(basic=True), about="Erf"),
    Pass("layer-norm", layer_norm(basic=True), about="ReduceMean"),
    Pass("propagate", propagate),
    Pass("weight-bias", weight_bias),
    UNIQUE_DQ,
    Pass("where-dummy", where_dummy, about="Where"),
    Pass("transposes", transposes(extended=False), once=True),
)


def extended(int8_allowed: bool) -> tuple[Pass, ...]:
    """The passes of level EXTENDED. int8_allowed: ONNX Runtime's session.qdqisint8allowed, by default 0 on x86-64."""
    return (
        Pass("clip-quant", clip_quant, about="Clip"),
        Pass("relu-quant", relu_quant, about="Relu"),
        GEMM_TRANSPOSE,
        Pass("transposes", transposes(extended=True), once=True),
        *(() if int8_allowed else (Pass("s8-to-u8", s8_to_u8),)),
        Pass("fuse", fusion(int8_allowed)),
        Pass("integer-to-float", integer_to_float, about="MatMulInteger"),
        Pass("dynamic-matmul", dynamic_matmul, about="DynamicQuantizeLinear"),
        Pass("gelu", gelu(basic=False), about="Erf"),
        Pass("layer-norm", layer_norm(basic=False), about="ReduceMean"),
        Pass("root-norm", root_norm, about="ReduceMean"),
        Pass("attention", attention, about="LayerNormalization"),
        Pass("slices-to-split", slices_to_split),
        Pass("matmul-transpose", matmul_transpose),
        MATMUL_ADD,
        Pass("skip-layer-norm", skip_layer_norm, about="LayerNormalization"),
        Pass("bias-skip-layer-norm", bias_skip_layer_norm, about="SkipLayerNormalization"),
        Pass("fast-gelu", fast_gelu, about="Tanh"),
        Pass("matmul-scale", matmul_scale),
        Pass("nbits-bias", nbits_bias, about="MatMulNBits"),
        Pass("final-cleanup", final_cleanup),
    )


def optimized(name: str, int8_allowed: bool, without: Collection[str] = ()) -> Lowering:
    """A lowering of levels BASIC and EXTENDED. without: names of passes to leave out, for experiments."""

    def kept(passes: tuple[Pass, ...]) -> tuple[Pass, ...]:
        return tuple(step for step in passes if step.name not in without)

    basic, more = repeat("basic", kept(BASIC)), repeat("extended", kept(extended(int8_allowed)))
    later = (HIDE_HALVES, more, *kept(LAST), SHOW_HALVES)
    return Lowering(name, (UNIQUE_DQ, DOUBT_HALVES, basic, INLINE_FUNCTIONS, *later, INSERT_CASTS), int8_allowed)


ORT = optimized("ort", True)
ORT_X64 = optimized("ort-x64", False)
# What ONNX Runtime does at every level, ORT_DISABLE_ALL included.
ORT_UNFUSED = Lowering("ort-unfused", (UNIQUE_DQ, INLINE_FUNCTIONS, INSERT_CASTS))
