"""A compiled network: what ST's compiler for the Neural-ART NPU chose, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field

from qdqnp.quant import Int64


@dataclass(frozen=True)
class Pool:
    """A memory of the device."""

    #: What its file is called after, such as 'xSPI2'.
    name: str
    #: Its first address.
    base: int
    #: Bytes that it has; 0 where the files do not say.
    size: int
    #: What the file of its first bytes holds; None without such a file.
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Epoch:
    """What runs at once: units of the NPU, or a function of the CPU."""

    number: int
    #: 'hardware', 'software', or 'none' where nothing runs.
    runs: str
    #: The nodes that run in it, in the compiler's order.
    nodes: tuple[str, ...]


@dataclass(frozen=True)
class TensorPlace:
    """Where a tensor lies, and how its numbers are read."""

    #: The compiler's name for it.
    name: str
    #: Its first address; None where the user's firmware gives the memory.
    address: int | None
    #: Its bytes.
    size: int
    #: The pool that it lies in, by name; '' where that is not known.
    pool: str
    #: Sizes in the order (batch, channel, height, width).
    shape: tuple[int, ...]
    #: The first epoch that writes it, and the last that reads it; -1 where that is not known.
    first_epoch: int
    last_epoch: int
    #: Bits of one number.
    bits: int
    signed: bool
    #: 'first', 'last', or 'both' where there is no difference; '' where that is not known.
    channels: str
    #: Channels that lie side by side.
    batch: int
    #: Bits before and behind the binary point.
    qm: int
    qn: int
    #: Scales and zero points; empty where it holds no codes.
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    #: 'parameter', 'input', 'output' or 'activation'.
    role: str


@dataclass(frozen=True)
class KernelPart:
    """A part of a convolution that is too large for one unit."""

    #: The unit's node.
    node: str
    #: Where its weights begin and end in (output channel, input channel, row, column); None where the files do not say.
    begin: tuple[int, int, int, int] | None
    end: tuple[int, int, int, int] | None
    #: Rows and columns of its kernel.
    kernel: tuple[int, int]


@dataclass(frozen=True, eq=False)
class CompiledSum:
    """A convolution or a dense layer, and its numbers: those of `NarrowThenAffine` or of `NarrowThrice`."""

    #: The node of the graph that was compiled.
    name: str
    #: The epochs of its units.
    epochs: tuple[int, ...]
    channels: int
    #: The shift of the first narrowing.
    s1: int
    #: The multiplier of x16, one number or one for each channel: A, or A1 where there are three narrowings.
    a: Int64
    #: The addend of the last narrowing, one number or one for each channel.
    bc: Int64
    #: The shift of the last narrowing.
    s2: int
    #: Of the narrowing in the middle, where there is one: its shift, and the multiplier of what it leaves.
    sh1: int | None
    a2: int | None
    #: How the input's zero point is taken off: 'to uint8', 'fsub' or 'none'.
    zero_point: str
    #: The number that is subtracted where that is 'fsub'.
    fsub: int
    #: Parts of the kernel, each narrowed and then added with saturation; empty where one unit has it all.
    parts: tuple[KernelPart, ...] = ()
    #: Units that pass sums of 24 bits on to each other; 1 where one unit has all input channels.
    chained: int = 1
    #: The tensor that it makes, by the compiler's name; '' where it goes straight into another unit.
    output: str = ""

    @property
    def narrowings(self) -> int:
        return 2 if self.sh1 is None else 3


@dataclass(frozen=True)
class CompiledAdd:
    """An addition and its numbers, as `AlignedAdd` names them."""

    name: str
    epochs: tuple[int, ...]
    numbers: tuple[tuple[str, int], ...]
    #: What comes in as A and B: a tensor, or the node that makes it in the same epoch; '' where the files do not say.
    operands: tuple[str, str] = ("", "")
    output: str = ""


@dataclass(frozen=True)
class CompiledPool:
    """A pooling and its numbers."""

    name: str
    epochs: tuple[int, ...]
    #: 'max', 'min' or 'average'; with 'global ' before it where the window is the whole plane.
    operation: str
    #: Rows and columns of the window; (0, 0) where that is the whole plane.
    window: tuple[int, int]
    #: What sums are multiplied with, and the shift behind; 0 where codes are compared.
    multiplier: int
    shift: int
    #: Bits of a result.
    bits: int
    output: str = ""


@dataclass(frozen=True)
class CompiledLookup:
    """An activation that the unit for functions computes: pieces of polynomials from two tables, or one table."""

    name: str
    epochs: tuple[int, ...]
    #: The operator, such as 'Sigmoid'.
    operator: str
    #: 'function', 'table', 'relu', 'prelu' or 'trelu'.
    operation: str
    #: Shifts and parameters by the compiler's name.
    numbers: tuple[tuple[str, int], ...]
    #: The tables' bytes by name, as far as the files have them.
    tables: tuple[tuple[str, bytes], ...]
    output: str = ""


@dataclass(frozen=True)
class OnProcessor:
    """A node that the CPU runs."""

    name: str
    epoch: int
    operator: str


@dataclass(frozen=True)
class CompiledNetwork:
    """Everything that was read."""

    #: The release of the compiler, such as '1.1.1-14'; '' where the files do not say.
    compiler: str
    #: The profile of its generation.
    profile: str
    pools: tuple[Pool, ...]
    epochs: tuple[Epoch, ...]
    sums: tuple[CompiledSum, ...]
    adds: tuple[CompiledAdd, ...]
    poolings: tuple[CompiledPool, ...]
    lookups: tuple[CompiledLookup, ...]
    processor: tuple[OnProcessor, ...]
    places: tuple[TensorPlace, ...]
    #: Nodes of the NPU whose units are none of these, with the reason.
    unexplained: tuple[tuple[str, str], ...] = ()
    #: Names of the model's own nodes, by the node of the compiled graph.
    originals: tuple[tuple[str, tuple[str, ...]], ...] = ()
    #: The graph that was compiled, by its file's name; '' where it is not there.
    graph: str = ""
