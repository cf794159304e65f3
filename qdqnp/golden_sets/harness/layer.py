"""LayerCode: what one layer becomes in C, while the function of its operator writes it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from qdqnp.errors import GoldenError, Problem
from qdqnp.executor.plan import BoundStep
from qdqnp.golden_sets.inner import parameters
from qdqnp.golden_sets.layouts import Layout, activation_layout
from qdqnp.graph import Sizes
from qdqnp.program import Operand, Step
from qdqnp.quant import Array, Quant

INT8 = np.dtype(np.int8)
#: Kernels hold sizes in 16 bits.
LARGEST_SIZE = 65535
#: The fields of CMSIS-NN's structs.
WINDOWED = ("stride", "padding", "dilation", "activation")
FIELDS: Mapping[str, tuple[str, ...]] = {
    "cmsis_nn_dims": ("n", "h", "w", "c"),
    "cmsis_nn_conv_params": ("input_offset", "output_offset", *WINDOWED),
    "cmsis_nn_dw_conv_params": ("input_offset", "output_offset", "ch_mult", *WINDOWED),
    "cmsis_nn_fc_params": ("input_offset", "filter_offset", "output_offset", "activation"),
    "cmsis_nn_pool_params": ("stride", "padding", "activation"),
    "cmsis_nn_per_channel_quant_params": ("multiplier", "shift"),
    "cmsis_nn_quant_params": ("multiplier", "shift", "is_per_channel"),
    "cmsis_nn_transpose_params": ("num_dims", "permutations"),
}


class NoKernelError(Exception):
    """The library has no kernel that computes this layer."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected, self.got = expected, got


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant array of a layer."""

    c_type: str
    values: Array
    #: What it is, for a comment.
    note: str


@dataclass(eq=False)
class LayerCode:
    """One layer in C: its constants, parameter structs and statements."""

    #: The step under the profile.
    bound: BoundStep
    #: Concrete shapes of the program's tensors, by name.
    shapes: Mapping[str, Sizes]
    #: Kernels of the library that are called, in order.
    kernels: list[str] = field(default_factory=list)
    #: Constant arrays by C name.
    constants: dict[str, Constant] = field(default_factory=dict)
    #: Lines in front of the layer's function.
    structs: list[str] = field(default_factory=list)
    #: Statements of the layer's function.
    statements: list[str] = field(default_factory=list)
    #: Tensors of the arena that the statements use: C name, tensor or temporary, whether it is written.
    pointers: dict[str, tuple[str, bool]] = field(default_factory=dict)
    #: Bytes of memory that the layer needs only for itself, by name.
    temporaries: dict[str, int] = field(default_factory=dict)
    #: The C expression of the scratch memory that the kernel wants, and the most bytes that it may be.
    scratch: tuple[str, int] | None = None
    #: Whether the output is the input's memory under another name.
    view: bool = False

    @property
    def step(self) -> Step:
        return self.bound.step

    # -- what the layer is ---------------------------------------------------------------------------------------------
    def operand(self, index: int) -> Operand:
        found = self.step.inputs[index]
        assert found is not None
        return found

    def shape(self, index: int) -> Sizes:
        """Return the shape of an input, in the order of ONNX."""
        return self.shapes[self.operand(index).name]

    @property
    def output_shape(self) -> Sizes:
        return self.shapes[self.step.output_names[0]]

    def constant_of(self, index: int, what: str) -> Array:
        """Return an input that has to be a constant."""
        name = self.operand(index).name
        if name not in self.bound.consts:
            raise NoKernelError(f"constant {what}", f"'{name}', which is computed")
        return self.bound.consts[name]

    def quant(self, index: int) -> Quant:
        """Return an input's quantization, of int8 codes and per tensor."""
        return self._one(self.step.quant(index), f"input {index}")

    @property
    def y(self) -> Quant:
        quant = self.step.outputs[0].quant
        if quant is None:
            raise NoKernelError("int8 codes as output", "real values")
        return self._one(quant, "the output")

    @staticmethod
    def _one(quant: Quant, what: str) -> Quant:
        if quant.dtype != INT8 or not quant.per_tensor:
            raise NoKernelError("int8 codes of one scale", f"{quant.dtype} as {what}")
        return quant

    def numbers(self) -> dict[str, Array]:
        """Return the parameters of the profile's arithmetic, with CMSIS-NN's signs, by name."""
        names = [name for name in self.step.input_names if name not in self.bound.consts]
        zeros = {name: np.zeros(self.shapes[name], INT8) for name in names}
        return parameters(self.bound, zeros, cmsis_nn=True)

    # -- what it becomes -----------------------------------------------------------------------------------------------
    def array(self, name: str, c_type: str, values: Array, note: str) -> str:
        """Add a constant array and return its C name."""
        self.constants[name] = Constant(c_type, np.ascontiguousarray(values).reshape(-1), note)
        return name

    def struct(self, kind: str, name: str, *fields: str) -> str:
        """Add a constant struct with its fields in the order of FIELDS, and return a pointer to it."""
        pairs = [f".{field} = {value}" for field, value in zip(FIELDS[kind], fields, strict=True)]
        self.structs.append(wrapped(f"static const {kind} {name} = {{", pairs, "};"))
        return f"&{name}"

    def dims(self, name: str, sizes: Sequence[int]) -> str:
        """Add a cmsis_nn_dims (n, h, w, c) and return a pointer to it."""
        if any(size > LARGEST_SIZE for size in sizes):
            raise NoKernelError(f"sizes of at most {LARGEST_SIZE}", " x ".join(map(str, sizes)))
        return self.struct("cmsis_nn_dims", name, *map(str, sizes))

    def input(self, index: int = 0, name: str = "input", shape: Sizes | None = None) -> str:
        """Return the C name of an input in its stored order: of a place in the arena, or of a constant.

        shape: what a constant is broadcast to; None for its own.
        """
        tensor = self.operand(index).name
        if tensor in self.bound.consts:
            array = self.bound.consts[tensor]
            if array.dtype != INT8:
                raise NoKernelError("int8 codes", f"{array.dtype} in '{tensor}'")
            array = np.broadcast_to(array, shape or array.shape)
            return self.array(name, "int8_t", stored(array), f"'{tensor}', a constant")
        self.pointers[name] = (tensor, False)
        return name

    def output(self) -> str:
        """Return the C name of the output's place."""
        self.pointers["output"] = (self.step.output_names[0], True)
        return "output"

    def temporary(self, name: str, size: int) -> str:
        """Return the C name of memory for this layer alone."""
        self.temporaries[name] = size
        self.pointers[name] = (name, True)
        return name

    def call(self, kernel: str, *arguments: object) -> None:
        """Call a kernel that returns a status."""
        self.plain_call(f"QDQNP_TRY({kernel}", *arguments, end="));", kernel=kernel)

    def plain_call(self, start: str, *arguments: object, end: str = ");", kernel: str = "") -> None:
        """Call a kernel without a status."""
        name = kernel or start
        if name not in self.kernels:
            self.kernels.append(name)
        self.statements.append(wrapped(f"{start}(", [str(argument) for argument in arguments], end))

    def wants_scratch(self, expression: str, most: int) -> None:
        self.scratch = (expression, most)


def stored(array: Array) -> Array:
    """Return an array in the order in which the harness has it in memory."""
    return layout_of(array.ndim).stored(array)


def layout_of(rank: int) -> Layout:
    """Return the order of axes in memory: images and sequences have their channels last."""
    return activation_layout(rank, "NHWC")


def axes_of(rank: int) -> tuple[int, ...]:
    """Return which axis of ONNX each axis in memory is."""
    return layout_of(rank).axes or tuple(range(rank))


def image_sizes(shape: Sizes) -> tuple[int, int, int, int]:
    """Return (n, h, w, c) of an image (N, C, H, W), a sequence (N, C, W) or rows (N, C)."""
    if len(shape) == 4:
        return shape[0], shape[2], shape[3], shape[1]
    if len(shape) == 3:
        return shape[0], 1, shape[2], shape[1]
    if len(shape) == 2:
        return shape[0], 1, 1, shape[1]
    raise NoKernelError("an image or a sequence", f"{len(shape)} axes")


def count(shape: Sizes) -> int:
    return math.prod(shape)


def wrapped(start: str, arguments: Sequence[str], end: str, width: int = 116) -> str:
    """Return a call in as many lines as it needs, those after the first one indented to its bracket."""
    lines, line = [], start
    for index, argument in enumerate(arguments):
        piece = argument + ("," if index < len(arguments) - 1 else end)
        if len(line) + len(piece) + 1 > width and line.strip() and index:
            lines.append(line.rstrip())
            line = " " * len(start)
        line += piece + " "
    return "\n".join([*lines, line.rstrip()])


def offset_of(quant: Quant) -> int:
    """Return the zero point with the sign that CMSIS-NN gives inputs."""
    return -int(quant.zero_point)


def refused(title: str, found: Sequence[tuple[str, Any]], advice: Sequence[str]) -> GoldenError:
    """Return the error that lists every layer without a kernel."""
    problems = [Problem(f"layer '{label}'", why.expected, why.got) for label, why in found]
    return GoldenError(title, problems, advice)
