"""Program: what we run. A lowering maps Graph to Program; an executor runs its steps in order.

Logical NCHW codes only: no layout, no buffer, no float32 shadow is visible here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from qdqnp.graph import Shape
from qdqnp.quant import EIGHT_BIT, Array, Quant, shifted


@dataclass(frozen=True)
class Promise:
    """What is promised of a tensor's values: bit-exact for the profile, or the reason why not.

    step: the label of the step that was the first to lose the promise.
    """

    reason: str = ""
    step: str = ""

    @property
    def exact(self) -> bool:
        return not self.reason

    def __str__(self) -> str:
        return self.reason or "exact"


EXACT = Promise()


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of a program under its ONNX name.

    quant: how its codes are read (the producer's parameters; of a graph input, its first consumer's);
    None for float tensors and integer ones that are no codes. const: read-only array of a constant. file_dtype: what
    the model file says, where the lowering made int8 codes uint8.
    """

    name: str
    dtype: np.dtype[Any]
    shape: Shape
    quant: Quant | None = None
    const: Array | None = None
    file_dtype: np.dtype[Any] | None = None

    def as_in_file(self, codes: Array) -> Array:
        """Its codes in the dtype that the model file gives it."""
        return codes if self.file_dtype is None else shifted(codes, self.file_dtype)

    def as_here(self, codes: Array) -> Array:
        """8-bit codes of another program's tensor of this name, in the dtype that they have in this one."""
        both = codes.dtype in EIGHT_BIT and self.dtype in EIGHT_BIT
        return shifted(codes, self.dtype) if both else codes


@dataclass(frozen=True, eq=False)
class Operand:
    """A tensor as one step uses it. Two steps may read the same codes with different parameters, so the
    quantization belongs to the use; None where the step does not look behind the codes."""

    name: str
    quant: Quant | None = None


@dataclass(frozen=True, eq=False)
class Step:
    """One operator on explicit inputs: the unit of execution.

    inputs: operands in the operator's order, None where an optional one is absent.
    origin: labels of the ONNX nodes that this step stands for.
    doubt: why the lowering does not promise its results, '' where it does.
    """

    op: str
    domain: str
    attributes: Any  # the operator's own frozen dataclass
    inputs: tuple[Operand | None, ...]
    outputs: tuple[Operand, ...]
    origin: tuple[str, ...]
    doubt: str = ""

    @property
    def label(self) -> str:
        return self.origin[0]

    def quant(self, index: int) -> Quant:
        """The quantization of an input that an integer operator reads as codes."""
        operand = self.inputs[index]
        assert operand is not None and operand.quant is not None  # the operator's own `step` gave it
        return operand.quant

    @property
    def y(self) -> Quant:
        """The quantization of the first output, of an operator that makes codes."""
        quant = self.outputs[0].quant
        assert quant is not None
        return quant

    @property
    def quantizes(self) -> bool:
        """Whether it makes codes of one real tensor and does nothing else."""
        return len(self.inputs) == 1 and self._real(self.inputs[0]) and self.outputs[0].quant is not None

    @property
    def dequantizes(self) -> bool:
        """Whether it makes a real tensor of codes and does nothing else."""
        return len(self.inputs) == 1 and not self._real(self.inputs[0]) and self.outputs[0].quant is None

    @staticmethod
    def _real(operand: Operand | None) -> bool:
        return operand is None or operand.quant is None

    @property
    def input_names(self) -> tuple[str, ...]:
        return tuple(operand.name for operand in self.inputs if operand is not None)

    @property
    def output_names(self) -> tuple[str, ...]:
        return tuple(operand.name for operand in self.outputs)


@dataclass(frozen=True, eq=False)
class Refusal:
    """Why a pass left a node of the file as it was: one sentence, for `inspect`."""

    node: str
    pass_name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Program:
    """Steps in order, every tensor by name, and what the lowering had to say about the nodes it left alone."""

    lowering: str
    steps: tuple[Step, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    refusals: tuple[Refusal, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))

    @cached_property
    def makers(self) -> Mapping[str, Step]:
        """The step that makes each tensor; inputs and constants are missing."""
        return {name: step for step in self.steps for name in step.output_names}

    @cached_property
    def order(self) -> Mapping[Step, int]:
        """The index of each step."""
        return {step: index for index, step in enumerate(self.steps)}
