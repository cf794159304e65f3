"""A program is what we run. A lowering maps Graph to Program; an executor runs its steps in order.

A program knows logical NCHW codes only: layouts, buffers and float32 shadows are not visible here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.lazy import lazy
from qdqnp.quant import EIGHT_BIT, Array, Quant, shifted


@dataclass(frozen=True)
class Promise:
    """What is promised of a tensor's values: bit-exact for the profile, or the reason why not."""

    #: Why the values are not promised to be exact; '' where they are.
    reason: str = ""
    #: The label of the step that was the first to lose the promise.
    step: str = ""

    @property
    def exact(self) -> bool:
        return not self.reason

    def __str__(self) -> str:
        return self.reason or "exact"


EXACT = Promise()


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of a program under its ONNX name."""

    name: str
    dtype: np.dtype[Any]
    shape: Shape
    #: How the tensor's codes are read: with the producer's parameters, or those of the first consumer for a graph
    #: input. None for float tensors and for integers that are not codes.
    quant: Quant | None = None
    #: The read-only array of a constant.
    const: Array | None = None
    #: The dtype in the model file, where the lowering made int8 codes uint8.
    file_dtype: np.dtype[Any] | None = None

    def as_in_file(self, codes: Array) -> Array:
        """Return the tensor's codes in the dtype of the model file."""
        return codes if self.file_dtype is None else shifted(codes, self.file_dtype)

    def as_here(self, codes: Array) -> Array:
        """Return 8-bit codes of another program's tensor of this name in the dtype that they have in this program."""
        both = codes.dtype in EIGHT_BIT and self.dtype in EIGHT_BIT
        return shifted(codes, self.dtype) if both else codes


@dataclass(frozen=True, eq=False)
class Operand:
    """A tensor as one step uses it.

    Two steps may read the same codes with different parameters, so the quantization belongs to the use.
    """

    name: str
    #: How the codes are read; None where the step does not interpret codes.
    quant: Quant | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """One operator on explicit inputs: the unit of execution."""

    op: str
    domain: str
    #: The operator's own frozen dataclass.
    attributes: Any
    #: Operands in the operator's order, None where an optional one is absent.
    inputs: tuple[Operand | None, ...]
    outputs: tuple[Operand, ...]
    #: Labels of the ONNX nodes that this step stands for.
    origin: tuple[str, ...]
    #: Why the lowering does not promise the step's results; '' where it does.
    doubt: str = ""
    #: The operator that was given for the load of the model; None for those that qdqnp has.
    given: Any = None

    @property
    def label(self) -> str:
        return self.origin[0]

    def quant(self, index: int) -> Quant:
        """Return the quantization of an input that an integer operator reads as codes."""
        operand = self.inputs[index]
        assert operand is not None and operand.quant is not None  # the operator's own `step` gave it
        return operand.quant

    @property
    def y(self) -> Quant:
        """The quantization of the first output, for an operator that makes codes."""
        quant = self.outputs[0].quant
        assert quant is not None
        return quant

    @property
    def quantizes(self) -> bool:
        """Whether the step makes codes of one real tensor and does nothing else."""
        return len(self.inputs) == 1 and self._real(self.inputs[0]) and self.outputs[0].quant is not None

    @property
    def dequantizes(self) -> bool:
        """Whether the step makes a real tensor of codes and does nothing else."""
        return len(self.inputs) == 1 and not self._real(self.inputs[0]) and self.outputs[0].quant is None

    @staticmethod
    def _real(operand: Operand | None) -> bool:
        return operand is None or operand.quant is None

    @lazy
    def input_names(self) -> tuple[str, ...]:
        return tuple(operand.name for operand in self.inputs if operand is not None)

    @lazy
    def output_names(self) -> tuple[str, ...]:
        return tuple(operand.name for operand in self.outputs)


@dataclass(frozen=True, eq=False)
class Refusal:
    """Why a pass left a node of the file as it was."""

    node: str
    pass_name: str
    #: One sentence, for `inspect`.
    reason: str
    #: Whether ONNX Runtime's session refuses the whole model for it. Then its profiles do too; others that run the same
    #: program need not.
    session: bool = False


@dataclass(frozen=True, eq=False)
class Program:
    """The steps of a lowered model."""

    #: The name of the lowering that made the program.
    lowering: str
    #: Steps in topological order.
    steps: tuple[Step, ...]
    #: Every tensor by name.
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    #: What the lowering says about the nodes that it left alone.
    refusals: tuple[Refusal, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))

    @lazy
    def makers(self) -> Mapping[str, Step]:
        """The step that makes each tensor; inputs and constants are missing."""
        return {name: step for step in self.steps for name in step.output_names}

    @lazy
    def order(self) -> Mapping[Step, int]:
        """The index of each step."""
        return {step: index for index, step in enumerate(self.steps)}
