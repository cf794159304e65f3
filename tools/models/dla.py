"""Describe Deep Layer Aggregation (DLA) networks as a tape of layers.

The networks are those of Yu, Wang, Shelhamer and Darrell, "Deep Layer Aggregation" (CVPR 2018, arXiv 1707.06484).
Shapes and key names follow the authors' code (ucbdrive/dla, dla.py) and timm's (huggingface/pytorch-image-models,
timm/models/dla.py). The parameters that a network needs, its ONNX nodes and the calibration of seeded weights are all
read off the tape, so the structure is stated only here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

INPUT, OUTPUT = "input", "output"

# The tensors of a BatchNormalization, by channel; the first two are trained, the others are statistics.
NORM_PARTS = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Architecture:
    """One network of the family."""

    #: The network's name.
    name: str
    #: Depths of levels 0 to 5.
    depths: tuple[int, ...]
    #: Channels of levels 0 to 5.
    channels: tuple[int, ...]
    #: Kind of block, 'basic' or 'bottleneck'.
    block: str = "bottleneck"
    #: Groups of the blocks' 3x3 convolutions.
    groups: int = 1


_COMPACT = (16, 32, 64, 64, 128, 256)  # the suffix _c
_WIDE = (16, 32, 128, 256, 512, 1024)
ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        Architecture("dla34", (1, 1, 1, 2, 2, 1), (16, 32, 64, 128, 256, 512), block="basic"),
        Architecture("dla46_c", (1, 1, 1, 2, 2, 1), _COMPACT),
        Architecture("dla46x_c", (1, 1, 1, 2, 2, 1), _COMPACT, groups=32),
        Architecture("dla60x_c", (1, 1, 1, 2, 3, 1), _COMPACT, groups=32),
        Architecture("dla60", (1, 1, 1, 2, 3, 1), _WIDE),
    )
}


@dataclass(frozen=True)
class ConvShape:
    """A convolution without its data: a square kernel, padded so that stride 1 keeps the size."""

    #: Number of input channels.
    inputs: int
    #: Number of output channels.
    outputs: int
    #: Size of the kernel.
    kernel: int
    #: The stride.
    stride: int = 1
    #: Number of groups.
    groups: int = 1
    #: Key prefix of the BatchNormalization behind it; a convolution without one has a bias.
    norm: str | None = None


@dataclass(frozen=True)
class Layer:
    """One step of the tape.

    A Conv with a BatchNormalization is one layer. Its output has the BatchNormalization's name, folded or not, so that
    the float and the quantized file have the same tensor names.
    """

    #: The ONNX operator.
    op: str
    #: The key prefix.
    name: str
    #: Names of the input tensors.
    inputs: tuple[str, ...]
    #: Name of the output tensor.
    output: str
    #: The convolution's shape; None for other operators.
    conv: ConvShape | None = None


@dataclass
class Tape:
    """A list of layers in the order they run. Each method appends a layer and returns the name of its output."""

    #: The layers.
    layers: list[Layer] = field(default_factory=list)
    #: Number of channels of each tensor, by name.
    channels: dict[str, int] = field(default_factory=lambda: {INPUT: 3})

    def add(self, op: str, name: str, *inputs: str, output: str | None = None) -> str:
        """Append a layer without parameters."""
        output = output or name
        self.layers.append(Layer(op, name, inputs, output))
        joined = inputs if op == "Concat" else inputs[:1]
        self.channels[output] = sum(self.channels[name] for name in joined)
        return output

    def conv(self, name: str, norm: str, x: str, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> str:
        """Append a Conv and a BatchNormalization."""
        shape = ConvShape(self.channels[x], outputs, kernel, stride, groups, norm)
        self.layers.append(Layer("Conv", name, (x,), norm, shape))
        self.channels[norm] = outputs
        return norm

    def classifier(self, name: str, x: str, classes: int) -> str:
        """Append a 1x1 Conv with a bias."""
        self.layers.append(Layer("Conv", name, (x,), name, ConvShape(self.channels[x], classes, kernel=1)))
        self.channels[name] = classes
        return name


def describe(architecture: Architecture, classes: int) -> list[Layer]:
    """Describe the whole network, from the input picture to one score for each class."""
    tape = Tape()
    x = tape.conv("base_layer.0", "base_layer.1", INPUT, architecture.channels[0], kernel=7)
    x = tape.add("Relu", "base_layer.2", x)
    for level in (0, 1):
        depth, outputs = architecture.depths[level], architecture.channels[level]
        x = _plain_level(tape, f"level{level}", x, depth, outputs, stride=1 + level)
    for level in (2, 3, 4, 5):
        depth, outputs = architecture.depths[level], architecture.channels[level]
        # From level 3 on, the root of a level also sees the level's input.
        x = _tree(tape, architecture, f"level{level}", x, depth, outputs, stride=2, keep_input=level > 2)
    x = tape.classifier("fc", tape.add("GlobalAveragePool", "global_pool", x), classes)
    tape.add("Flatten", "flatten", x, output=OUTPUT)
    return tape.layers


def _plain_level(tape: Tape, prefix: str, x: str, depth: int, outputs: int, stride: int) -> str:
    """Append `depth` 3x3 convolutions in a row, each with its ReLU; the first one has the stride."""
    for index in range(depth):
        conv, norm, relu = (f"{prefix}.{3 * index + part}" for part in range(3))
        x = tape.conv(conv, norm, x, outputs, 3, stride if index == 0 else 1)
        x = tape.add("Relu", relu, x)
    return x


def _tree(
    tape: Tape,
    architecture: Architecture,
    prefix: str,
    x: str,
    depth: int,
    outputs: int,
    stride: int,
    keep_input: bool = False,
    aggregated: Sequence[str] = (),
) -> str:
    """Append two subtrees, or at depth 1 two blocks, and a root that aggregates them. A tree of depth above 1 does not
    have a root of its own: it passes the output of its first subtree to the root of its second.

        aggregated: earlier outputs that the root takes in besides its own two blocks.
        keep_input: whether the root takes in the tree's input too.
    """
    # Pooling is added only where it is used, as an exporter that traces the network would leave it.
    pooled = stride > 1 and (keep_input or depth == 1)
    bottom = tape.add("MaxPool", f"{prefix}.downsample", x) if pooled else x
    if keep_input:
        aggregated = (*aggregated, bottom)
    tree1, tree2 = f"{prefix}.tree1", f"{prefix}.tree2"
    if depth > 1:
        first = _tree(tape, architecture, tree1, x, depth - 1, outputs, stride)
        aggregated = (*aggregated, first)
        return _tree(tape, architecture, tree2, first, depth - 1, outputs, 1, aggregated=aggregated)
    shortcut = bottom
    if tape.channels[x] != outputs:
        shortcut = tape.conv(f"{prefix}.project.0", f"{prefix}.project.1", bottom, outputs, kernel=1)
    first = _block(tape, architecture, tree1, x, shortcut, outputs, stride)
    second = _block(tape, architecture, tree2, first, first, outputs, 1)
    return _root(tape, f"{prefix}.root", (second, first, *aggregated), outputs)


def _block(
    tape: Tape, architecture: Architecture, prefix: str, x: str, shortcut: str, outputs: int, stride: int
) -> str:
    """Append a residual block: two 3x3 convolutions (basic), or 1x1, 3x3 and 1x1 (bottleneck)."""

    def conv(index: int, x: str, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> str:
        return tape.conv(f"{prefix}.conv{index}", f"{prefix}.bn{index}", x, outputs, kernel, stride, groups)

    if architecture.block == "basic":
        x = tape.add("Relu", f"{prefix}.relu1", conv(1, x, outputs, 3, stride))
        x = conv(2, x, outputs, 3)
    else:
        # The plain bottleneck is half as wide inside as its output; the grouped one (DLA-X) is as wide.
        width = outputs // 2 if architecture.groups == 1 else outputs
        x = tape.add("Relu", f"{prefix}.relu1", conv(1, x, width, 1))
        x = tape.add("Relu", f"{prefix}.relu2", conv(2, x, width, 3, stride, architecture.groups))
        x = conv(3, x, outputs, 1)
    return tape.add("Relu", f"{prefix}.relu", tape.add("Add", f"{prefix}.add", x, shortcut))


def _root(tape: Tape, prefix: str, inputs: Sequence[str], outputs: int) -> str:
    """Join `inputs` along the channels and mix them with a 1x1 convolution."""
    x = tape.add("Concat", f"{prefix}.concat", *inputs)
    return tape.add("Relu", f"{prefix}.relu", tape.conv(f"{prefix}.conv", f"{prefix}.bn", x, outputs, kernel=1))


def parameter_shapes(layers: Sequence[Layer]) -> dict[str, tuple[int, ...]]:
    """Return name, as in timm, and shape of every tensor that the network needs, in the order of the tape."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in layers:
        conv = layer.conv
        if conv is None:
            continue
        shapes[f"{layer.name}.weight"] = (conv.outputs, conv.inputs // conv.groups, conv.kernel, conv.kernel)
        if conv.norm is None:
            shapes[f"{layer.name}.bias"] = (conv.outputs,)
        else:
            shapes |= {f"{conv.norm}.{part}": (conv.outputs,) for part in NORM_PARTS}
    return shapes


def count_parameters(layers: Sequence[Layer]) -> int:
    """Return the number of trained parameters: everything but BatchNormalization's statistics."""
    return sum(prod(shape) for name, shape in parameter_shapes(layers).items() if ".running_" not in name)


def unused_projections(architecture: Architecture) -> Iterator[str]:
    """Yield the key prefixes of the projections that the authors' code creates and never uses.

    That code gives one to every tree that changes the number of channels, but only a tree of depth 1 passes its result
    on to a block. timm has left the others out.
    """
    for level in (2, 3, 4, 5):
        if architecture.channels[level] != architecture.channels[level - 1]:
            for nesting in range(architecture.depths[level] - 1):
                yield f"level{level}" + ".tree1" * nesting + ".project."
