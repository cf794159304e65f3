"""The operators that qdqnp does not have: for what reason, and what helps a model that has them.

Every operator of ONNX's own domain that is not registered has its place here, and so do those of ONNX Runtime that
quantizers write. docs/operators.md prints the table, and the reader says of a model's operators what it says.
"""

from __future__ import annotations

from dataclasses import dataclass

from qdqnp.graph import MICROSOFT, ONNX

PREPROCESS = "run python -m onnxruntime.quantization.preprocess, best before quantizing"
CUT_TAIL = "let the model end in front of them (outputs=[...], --outputs), and do outside what they do"
FLOAT_PART = "export the model with operators that are there, or cut it in front of them (outputs=[...], --outputs)"


@dataclass(frozen=True)
class Unsupported:
    """Operators that are refused for one reason."""

    #: Why: what follows their names in a sentence.
    reason: str
    #: What can be done about it; '' where there is nothing but to cut the model.
    help: str
    #: Their names.
    operators: tuple[str, ...]
    domain: str = ONNX


def _group(reason: str, advice: str, operators: str, domain: str = ONNX) -> Unsupported:
    return Unsupported(reason, advice, tuple(operators.split()), domain)


GROUPS = (
    _group(
        "are control flow, where data decide what is computed",
        "export the model with fixed sizes, without branches and loops",
        "If Loop Scan",
    ),
    _group("make outputs whose size depends on data", CUT_TAIL, "NonZero NonMaxSuppression Unique Compress"),
    _group(
        "handle sequences and optional values, which are no tensors",
        "export the model with a fixed number of tensors",
        "SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap "
        "SplitToSequence ConcatFromSequence Optional OptionalGetElement OptionalHasElement",
    ),
    _group("handle text", CUT_TAIL, "RegexFullMatch StringConcat StringNormalizer StringSplit TfIdfVectorizer"),
    _group(
        "draw random numbers",
        "export the model for inference",
        "Bernoulli Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike",
    ),
    _group(
        "serve training",
        f"export the model for inference (model.eval() in PyTorch); or {PREPROCESS}: goes",
        "NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss",
    ),
    _group("are recurrent, and feed back float32 sums whose order is not known", FLOAT_PART, "GRU LSTM RNN"),
    _group(
        "add up float32 in an order of ONNX Runtime's that is not reproduced yet",
        FLOAT_PART,
        "DeformConv Det",
    ),
    _group(
        "process signals and pictures in float32",
        "let the model begin behind them, and compute them outside",
        "AffineGrid BlackmanWindow DFT HammingWindow HannWindow ImageDecoder MaxRoiPool MelWeightMatrix RoiAlign STFT",
    ),
    _group(
        "multiply by weights that alone are quantized, in blocks or as the activation arrives",
        "quantize the activations too, statically, in 8 bits (onnxruntime.quantization.quantize_static)",
        "MatMulBnb4 GatherBlockQuantized QMoE",
        MICROSOFT,
    ),
    _group(
        "compute attention, embeddings and normalizations partly in float32",
        "quantize a model that was not optimized for transformers before",
        "QEmbedLayerNormalization QOrderedAttention QOrderedGelu QOrderedLayerNormalization QOrderedMatMul "
        "QOrderedLongformerAttention Attention MultiHeadAttention EmbedLayerNormalization",
        MICROSOFT,
    ),
    _group(
        "are made by ONNX Runtime's optimizer, for itself",
        "save the model without optimization, or with the level BASIC",
        "FusedConv FusedGemm FusedMatMul NhwcMaxPool",
        MICROSOFT,
    ),
    _group("compute with codes, and are not there yet", FLOAT_PART, "QLinearReduceMean", MICROSOFT),
)

LATER = Unsupported("are not there yet", FLOAT_PART, ())
STRANGE = Unsupported(
    "are of a domain that qdqnp does not know",
    "give the operator with qdqnp.load(MODEL, operators=[...]) or --operators FILE.py, or export the model with ONNX's "
    "operators, or with model-local functions that are made of them",
    (),
)


def why_not(domain: str, op: str) -> Unsupported:
    """Return why an operator that is not registered is not supported, and what helps."""
    if domain not in (ONNX, MICROSOFT):
        return STRANGE
    return next((group for group in GROUPS if group.domain == domain and op in group.operators), LATER)
