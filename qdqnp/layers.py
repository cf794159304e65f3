"""What a user sees of a program: its tensors, and its layers by name, each with what it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.numerics.float32 import dequantize
from qdqnp.program import Operand, Program
from qdqnp.quant import Array, Quant

#: One number, or one for each slice of an axis.
Numbers = tuple[float, ...] | float


@dataclass(frozen=True, eq=False)
class ModelTensor:
    """A tensor, and how its codes are read."""

    #: The ONNX name.
    name: str
    #: The NumPy dtype.
    dtype: np.dtype[Any]
    #: Sizes; a name where the file leaves one open, None where it is not known.
    shape: Shape
    #: How codes are read; None for real values and for integers that are no codes.
    quant: Quant | None = None

    @property
    def scale(self) -> Numbers | None:
        """Return the scale, one for each slice where there are several; None for what holds no codes."""
        return None if self.quant is None else _numbers(self.quant.scale)

    @property
    def zero_point(self) -> Numbers | None:
        """Return the zero point, as `scale`."""
        return None if self.quant is None else _numbers(self.quant.zero_point)

    def real(self, array: Array) -> Array:
        """Return the real values of codes, float32 (code - zero point) * scale; other arrays as they are.

        array: of the tensor's dtype and shape.
        """
        if self.quant is None or array.dtype.kind == "f":
            return array
        aligned = self.quant.aligned(array.shape)
        return dequantize(array, aligned.scale, aligned.zero_point)

    def __repr__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        read = "" if self.quant is None else f" scale {_short(self.scale)} zero point {_short(self.zero_point)}"
        return f"<{self.name} {self.dtype}[{sizes}]{read}>"


@dataclass(frozen=True, eq=False)
class ModelLayer:
    """One layer of a program, by the names that it goes by."""

    #: Its place among the layers.
    index: int
    #: Its operator.
    op: str
    #: Labels of the ONNX nodes that it stands for; the first is its own.
    origin: tuple[str, ...]
    #: The tensors that it reads, constants among them, and those that it makes.
    inputs: tuple[ModelTensor, ...]
    outputs: tuple[ModelTensor, ...]

    @property
    def label(self) -> str:
        """Return the layer's label."""
        return self.origin[0]

    @property
    def name(self) -> str:
        """Return the ONNX name of the first tensor that it makes."""
        return self.outputs[0].name

    @property
    def shape(self) -> Shape:
        """Return the shape of that tensor."""
        return self.outputs[0].shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the dtype of that tensor."""
        return self.outputs[0].dtype

    @property
    def scale(self) -> Numbers | None:
        """Return the scale of that tensor; None where it holds no codes."""
        return self.outputs[0].scale

    @property
    def zero_point(self) -> Numbers | None:
        """Return the zero point of that tensor; None where it holds no codes."""
        return self.outputs[0].zero_point

    @property
    def output_names(self) -> tuple[str, ...]:
        """Return the names of the tensors that it makes."""
        return tuple(tensor.name for tensor in self.outputs)

    def __repr__(self) -> str:
        return f"<layer {self.index} {self.label!r}: {self.op}, makes {self.outputs[0]!r}>"


def tensor_of(program: Program, name: str, use: Operand | None = None) -> ModelTensor:
    """Return a tensor of a program, read as one of its users reads it.

    program: the steps that run.
    name: the tensor.
    use: the user; the first that makes or reads it if None.
    """
    tensor = program.tensors[name]
    quant = use.quant if use is not None and use.quant is not None else tensor.quant
    return ModelTensor(name, tensor.dtype, tensor.shape, quant)


def layer_of(program: Program, index: int) -> ModelLayer:
    """Return a layer of a program."""
    step = program.steps[index]
    return ModelLayer(
        index,
        step.op,
        step.origin,
        tuple(tensor_of(program, use.name, use) for use in step.inputs if use is not None),
        tuple(tensor_of(program, use.name, use) for use in step.outputs),
    )


def layers_of(program: Program) -> tuple[ModelLayer, ...]:
    """Return every layer of a program, in the order in which they run."""
    return tuple(layer_of(program, index) for index in range(len(program.steps)))


def _numbers(array: Array) -> Numbers:
    value = array.tolist()
    return tuple(array.reshape(-1).tolist()) if isinstance(value, list) else value


def _short(value: Numbers | None) -> str:
    return f"of {len(value)} slices" if isinstance(value, tuple) else f"{value:.6g}"
