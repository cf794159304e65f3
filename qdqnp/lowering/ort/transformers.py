"""Every graph transformer and rewrite rule of onnxruntime 1.32, and what this lowering makes of it.

`python -m qdqnp.lowering.ort.transformers` prints the table of docs/onnxruntime-lowering.md. A test compares the names
with those that the installed library has: core/optimizer/graph_transformer_utils.cc says what runs at which level.
"""

from __future__ import annotations

from dataclasses import dataclass

REPRODUCED = "reproduced"
HARMLESS = "cannot change a number"
UNPROMISED = "cancels the promise"
NOT_RUN = "does not run"
EFFECTS = (REPRODUCED, HARMLESS, UNPROMISED, NOT_RUN)
BASIC, EXTENDED, EVERY = "BASIC", "EXTENDED", "every"


@dataclass(frozen=True)
class Transformer:
    """One class of ONNX Runtime's optimizer.

    name: of the class in C++.
    levels: those at which it runs on the CPU in a session without options: BASIC, EXTENDED, and ALL where it moves what
        would be promised; EVERY where it runs without optimization too.
    effect: one of EFFECTS.
    why: where a reader would ask: what makes it harmless, how it is recognized, why it does not run.
    passes: the names of our passes that do what it does.
    rule: whether it is a rewrite rule, which runs inside the transformer of all rules of a level.
    """

    name: str
    levels: tuple[str, ...]
    effect: str
    why: str = ""
    passes: tuple[str, ...] = ()
    rule: bool = False


def _needs(*operators: str) -> str:
    return f"needs {' or '.join(operators)}, which qdqnp refuses"


def _does(name: str, passes: str, levels: tuple[str, ...] = (BASIC,), why: str = "", rule: bool = False) -> Transformer:
    return Transformer(name, levels, REPRODUCED, why, tuple(passes.split()), rule)


def _rule(name: str, passes: str, levels: tuple[str, ...] = (BASIC,), why: str = "") -> Transformer:
    return _does(name, passes, levels, why, rule=True)


def _harmless(name: str, why: str, levels: tuple[str, ...] = (EXTENDED,), rule: bool = False) -> Transformer:
    return Transformer(name, levels, HARMLESS, why, rule=rule)


def _unpromised(name: str, why: str, passes: str) -> Transformer:
    return Transformer(name, (EXTENDED,), UNPROMISED, why, tuple(passes.split()))


def _not_run(name: str, why: str, rule: bool = False) -> Transformer:
    return Transformer(name, (), NOT_RUN, why, rule=rule)


BOTH = (BASIC, EXTENDED)

TRANSFORMERS: tuple[Transformer, ...] = (
    # -- rules of level BASIC, some of them at EXTENDED again --------------------------------------------------------
    _rule("EliminateIdentity", "eliminate"),
    _rule("EliminateSlice", "eliminate"),
    _rule("UnsqueezeElimination", "fold-constants", why="Unsqueeze of a constant"),
    _rule("EliminateDropout", "eliminate"),
    _rule("ExpandElimination", "eliminate"),
    _rule("CastElimination", "eliminate"),
    _not_run("CastChainElimination", "only with session.enable_cast_chain_elimination", rule=True),
    _harmless("PreShapeNodeElimination", "a Cast of which only the shape is read", (BASIC,), rule=True),
    _rule("NoopElimination", "eliminate"),
    _rule("DivMulFusion", "div-mul"),
    _rule("FuseReluClip", "relu-clip"),
    _harmless("GemmSumFusion", _needs("Sum"), (BASIC,), rule=True),
    _rule("GemmTransposeFusion", "gemm-transpose", BOTH),
    _rule("NotWhereFusion", "not-where"),
    _rule("ConvAddFusion", "conv-constants"),
    _rule("ConvMulFusion", "conv-constants"),
    _rule("ConvBNFusion", "conv-constants"),
    _rule("PadFusion", "pad-fusion"),
    _rule("MatmulBNFusion", "matmul-bn"),
    _harmless("LabelEncoderFusion", _needs("LabelEncoder"), (BASIC,), rule=True),
    _rule("ClipQuantFusion", "clip-quant", (EXTENDED,)),
    _rule("ReluQuantFusion", "relu-quant", (EXTENDED,)),
    # -- level BASIC, in the order in which they run -----------------------------------------------------------------
    _does("DoubleQDQPairsRemover", "double-qdq"),
    _does("ConstantSharing", "share-constants", why="once"),
    _does("CommonSubexpressionElimination", "cse"),
    Transformer(
        "ConstantFolding",
        (BASIC,),
        REPRODUCED,
        "nodes whose own result is not exact, integer operators and very large products stay, and what reads them "
        "loses its promise",
        ("fold-constants",),
    ),
    _does("MatMulAddFusion", "matmul-add", BOTH),
    _does(
        "ReshapeFusion",
        "reshapes",
        why="the rest makes computed shapes constant",
    ),
    _harmless("FreeDimensionOverrideTransformer", "a session without overrides has nothing for it", (BASIC,)),
    _does("SliceConcatToSpaceToDepthFusion", "space-to-depth"),
    _does("GeluFusion", "gelu", BOTH, "BASIC since opset 20, before that EXTENDED"),
    _does("LayerNormFusion", "layer-norm", BOTH, "BASIC since opset 17, before that EXTENDED"),
    _does("QDQPropagationTransformer", "propagate"),
    _does("WeightBiasQuantization", "weight-bias"),
    _does("EnsureUniqueDQForNodeUnit", "unique-dq", why="at every level, optimization off included"),
    _does("WhereDummyDq", "where-dummy"),
    _does(
        "TransposeOptimizer",
        "transposes",
        BOTH,
        "once a level; at EXTENDED the pools keep their Transposes here, which moves no code to another tensor",
    ),
    # -- level EXTENDED, likewise ------------------------------------------------------------------------------------
    _does("QDQS8ToU8Transformer", "s8-to-u8", (EXTENDED,), "not with session.qdqisint8allowed=1"),
    _does("QDQSelectorActionTransformer", "fuse", (EXTENDED,)),
    _harmless("GemmActivationFusion", "FusedGemm gives the bits of Gemm and the activation: compared"),
    _does("MatMulIntegerToFloatFusion", "integer-to-float", (EXTENDED,)),
    _does("DynamicQuantizeMatMulFusion", "dynamic-matmul", (EXTENDED,)),
    _harmless("ConvActivationFusion", "FusedConv gives the bits of Conv and the activation: compared"),
    _does("SimplifiedLayerNormFusion", "root-norm", (EXTENDED,), "to RMSNormalization, which is the same"),
    _unpromised("AttentionFusion", "three products of one layer normalization", "attention"),
    _unpromised("EmbedLayerNormFusion", "the layer normalization of a sum of looked up vectors", "attention"),
    _does("GatherSliceToSplitFusion", "slices-to-split", (EXTENDED,)),
    _harmless("GatherToSliceFusion", "a Gather by a Range; the Slice moves the same elements"),
    _unpromised(
        "MatmulTransposeFusion",
        "of two matrices it is Gemm, reproduced; of stacks of matrices: a Transpose of the last two axes, or of the "
        "first behind the others, before MatMul",
        "matmul-transpose expand-fused-matmul",
    ),
    _harmless("BiasGeluFusion", "BiasGelu gives the bits of Add and Gelu: compared"),
    _harmless("GroupQueryAttentionFusion", "of CUDA's execution provider"),
    _harmless("GroupQueryAttentionPreNormFusion", _needs("GroupQueryAttention")),
    _does("SkipLayerNormFusion", "skip-layer-norm", (EXTENDED,)),
    _does("BiasSkipLayerNormFusion", "bias-skip-layer-norm", (EXTENDED,)),
    _does("FastGeluFusion", "fast-gelu", (EXTENDED,)),
    _does("QuickGeluFusion", "silu", (EXTENDED,), "x * Sigmoid(c x) gives the same bits as QuickGelu, and stays"),
    _harmless("SwiGluFusion", "QuickGelu and the product behind it stay two operators on the CPU"),
    _harmless("BiasSoftmaxFusion", "Add and Softmax stay two operators on the CPU"),
    _harmless("BiasDropoutFusion", "of CUDA's execution provider"),
    _unpromised(
        "MatMulScaleFusion",
        "of two matrices it is Gemm, reproduced; of stacks of matrices: a Mul or Div by a constant scalar before or "
        "after MatMul",
        "matmul-scale expand-fused-matmul",
    ),
    _harmless("MatMulActivationFusion", "of DirectML's execution provider"),
    _does("MatMulNBitsFusion", "nbits-bias", (EXTENDED,)),
    _does("QDQFinalCleanupTransformer", "final-cleanup", (EXTENDED,)),
    # -- in the library, but at neither level of such a session ------------------------------------------------------
    _not_run("Avx2WeightS8ToU8Transformer", "only with session.x64quantprecision, where it changes no product"),
    Transformer(
        "ConvAddActivationFusion",
        ("ALL",),
        UNPROMISED,
        "an Add of two images of one shape, one of them made by a float Conv with a bias",
        ("conv-add",),
    ),
    _not_run("ConstantFoldingDQ", "of other execution providers, while they take nodes"),
    _not_run("DQMatMulNBitsFusion", "only with session.enable_dq_matmulnbits_fusion"),
    _not_run("FuseInitializersTransformer", "float16 alone"),
    _not_run("GeluApproximation", "only with optimization.enable_gelu_approximation"),
    _not_run("GqaValueLayoutTransformer", _needs("GroupQueryAttention")),
    _does("InsertCastTransformer", "insert-casts", (EVERY,), why="float16; see below"),
    _not_run("MatMulNBitsMlpFusion", "of WebGPU's execution provider"),
    _not_run("MatMulNBitsQLoRAFusion", "of other execution providers"),
    _not_run("MatMulNBitsQkvFusion", "of WebGPU's execution provider"),
    _not_run("MemcpyTransformer", "copies between devices"),
    _not_run("NchwcTransformer", "level ALL, where ort and ort-x64 promise no float Conv"),
    _not_run("NhwcTransformer", "level ALL; the same integer arithmetic in another layout"),
    _not_run("PatternRewriter", "base of others"),
    _does("RemoveDuplicateCastTransformer", "insert-casts", (EVERY,), why="part of InsertCastTransformer"),
    _not_run("RuleBasedGraphTransformer", "runs the rules"),
    _not_run("SelectorActionTransformer", "base of others"),
)


def markdown() -> str:
    """The table as docs/onnxruntime-lowering.md has it."""
    lines = ["| transformer | level | effect | pass here, or why |", "|---|---|---|---|"]
    for row in TRANSFORMERS:
        told = "; ".join(part for part in (", ".join(f"`{name}`" for name in row.passes), row.why) if part)
        lines.append(f"| {row.name}{' (rule)' * row.rule} | {', '.join(row.levels) or '-'} | {row.effect} | {told} |")
    return "\n".join(lines)


def summary() -> str:
    """The counts of the table, which the document has above it."""
    rules = sum(row.rule for row in TRANSFORMERS)
    counts = (f"{effect} {sum(row.effect == effect for row in TRANSFORMERS)}" for effect in EFFECTS)
    return f"{len(TRANSFORMERS) - rules} transformers and {rules} rules: {', '.join(counts)}."


if __name__ == "__main__":
    print(summary(), markdown(), sep="\n\n")
