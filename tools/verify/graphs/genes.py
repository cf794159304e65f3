"""The genes of random graphs: one function each, the themes that they are drawn from, and the graph that they make.

A graph is a list of genes. Each takes tensors from those made so far and makes one, so that any subset of the genes is
a graph too: shrinking leaves genes out while the difference stays. A seed always draws the same graph.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from tools.verify.graphs import elementwise, layers, modern, movement, transformer
from tools.verify.graphs.maker import Maker


def output(make: Maker) -> None:
    """Make a tensor an output of the graph."""
    if (found := make.take()) is not None:
        make.outputs.append(found[0])


GENES: dict[str, Callable[[Maker], None]] = {
    gene.__name__: gene
    for gene in (
        *(layers.conv, layers.gemm, layers.matmul, layers.pool_op, layers.reduce, layers.arg_max),
        *(elementwise.binary, elementwise.activation, elementwise.silu, elementwise.reciprocal, elementwise.softmax),
        *(movement.transpose, movement.sandwich, movement.squeeze, movement.reshape, movement.flatten),
        *(movement.concat, movement.split, movement.slice, movement.parts, movement.gather, movement.pad),
        *(movement.tile, movement.blocks, movement.focus, movement.resize, output),
        *(modern.any_function, modern.gate, modern.dynamic_matmul, modern.dynamic_conv, modern.weights_only),
        *(modern.small_codes, modern.sized, modern.choose),
        *(transformer.function, transformer.gelu, transformer.norm, transformer.residual, transformer.mask),
    )
}
# What a graph may be made of; the number of mentions is the weight.
TRANSPOSES = (
    *("focus", "transpose", "sandwich", "squeeze", "reshape", "binary", "activation", "pad", "concat", "conv"),
    *("pool_op", "transpose"),
)
CONSTANTS = ("conv", "gemm", "matmul", "binary", "reshape", "flatten", "activation")
MATRICES = ("matmul", "matmul", "gemm", "gemm", "transpose", "binary", "reshape", "silu", "softmax", "reciprocal")
ALL = (
    *("conv", "binary", "activation", "silu", "reciprocal", "transpose", "sandwich", "squeeze", "reshape", "flatten"),
    *("concat", "split", "slice", "parts", "gather", "pad", "tile", "pool_op", "reduce", "arg_max", "softmax"),
    *("blocks", "resize", "matmul", "gemm", "output", "focus"),
)
TRANSFORMERS = (
    *("function", "gelu", "gelu", "norm", "norm", "residual", "residual", "mask", "matmul", "gemm", "silu", "reduce"),
    *("binary", "activation", "transpose", "reshape"),
)
DYNAMIC = (
    "dynamic_matmul",
    "dynamic_matmul",
    "dynamic_conv",
    "dynamic_conv",
    "binary",
    "activation",
    "reshape",
    "output",
)
MODERN = (
    *("any_function", "any_function", "gate", "dynamic_matmul", "dynamic_conv", "weights_only", "weights_only"),
    *(
        "small_codes",
        "small_codes",
        "sized",
        "sized",
        "choose",
        "matmul",
        "conv",
        "binary",
        "transpose",
        "norm",
        "softmax",
    ),
    *("residual", "gelu", "reduce", "output"),
)
# Drawn where none is asked for: a seed makes the same graph as ever.
DRAWN = ("all", "transposes", "constants", "matrices")
THEMES = {
    "transformers": TRANSFORMERS,
    "dynamic": DYNAMIC,
    "modern": MODERN,
    "all": ALL,
    "transposes": TRANSPOSES,
    "constants": CONSTANTS,
    "matrices": MATRICES,
}


@dataclass(frozen=True)
class Gene:
    """One step in the making of a graph."""

    #: Key in GENES.
    kind: str
    #: Seed of all its choices.
    seed: int


@dataclass(frozen=True)
class Genome:
    """A whole graph."""

    #: Seed of the opset and the inputs.
    seed: int
    #: The steps, in order.
    genes: tuple[Gene, ...]


def genome(seed: int, theme: str = "") -> Genome:
    """Draw a graph. theme: one of THEMES; '' for one that is drawn too."""
    rng = np.random.default_rng(seed)
    drawn = str(rng.choice(DRAWN))
    kinds = THEMES[theme or drawn]
    count = int(rng.integers(2, 12))
    return Genome(seed, tuple(Gene(str(rng.choice(kinds)), int(rng.integers(2**31))) for _ in range(count)))


def build(given: Genome) -> onnx.ModelProto:
    maker = Maker(given.seed)
    for gene in given.genes:
        maker.rng = np.random.default_rng(gene.seed)
        GENES[gene.kind](maker)
    if not maker.nodes:
        elementwise.activation(maker)
    return maker.model()
