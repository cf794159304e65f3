"""What a step of a program is, whichever of its forms it has: its operator's kind, the clamp that it is, the layer of
weights behind a tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from qdqnp.element_types import is_float
from qdqnp.graph import Graph
from qdqnp.program import Program, Step
from qdqnp.quant import Array

#: A clamp: the least and the largest value that it lets through.
Clamp = tuple[float, float]
OPEN: Clamp = (-math.inf, math.inf)
#: Operators that multiply with weights.
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
#: Operators that a layer may have taken into itself.
TAKEN_IN = ("Relu", "Clip", "BatchNormalization")
#: Operators that change no value, and those between real values and codes.
PASSING = ("Identity", "Dropout", "Cast")
CONVERTING = ("QuantizeLinear", "DequantizeLinear")
#: Kinds of products that a bias may make one of the other.
PRODUCTS = frozenset(("Gemm", "MatMul"))
#: Operators that multiply real numbers with quantized weights.
WITH_CODES = (*WEIGHTED, "MatMulNBits", "DynamicQuantizeMatMul")
#: Operators that no float network has.
INTEGER = frozenset(("QuantizeLinear", "QLinearConv", "QLinearMatMul", "QGemm"))
#: Operators that hand values on: as they are, and within limits.
KEEP, LIMIT = "Identity", "Clip"
#: Kinds of one and the same operation.
_SAME = {"FusedConv": "Conv", "FusedMatMul": "MatMul", "FusedGemm": "Gemm", "Sum": "Add"}


def kind_of(op: str) -> str:
    """Return the float operator that an operator stands for.

    >>> kind_of("QLinearConv"), kind_of("QGemm"), kind_of("Relu")
    ('Conv', 'Gemm', 'Relu')
    """
    for prefix in ("QLinear", "Q"):
        if op.startswith(prefix) and op not in CONVERTING and op[len(prefix) :][:1].isupper():
            op = op[len(prefix) :]
            break
    return _SAME.get(op, op)


def clamp_of(step: Step) -> Clamp | None:
    """Return what a Relu or a Clip lets through; None for other operators."""
    if step.op == "Relu":
        return (0.0, math.inf)
    if step.op == "Clip":
        low, high = step.attributes.min, step.attributes.max
        return (-math.inf if low is None else float(low), math.inf if high is None else float(high))
    return None


def both(first: Clamp, second: Clamp) -> Clamp:
    """Return what two clamps let through, one after the other."""
    return (max(first[0], second[0]), min(first[1], second[1]))


def output_axis(step: Step, at: int, rank: int) -> int:
    """Return the axis of a step's weights that counts output channels.

    at: which input the weights are.
    rank: how many axes they have.
    """
    kind = kind_of(step.op)
    if kind in ("Conv", "ConvTranspose"):
        return 0 if kind == "Conv" else 1
    if kind == "Gemm" and at == 1 and step.attributes.transB:
        return 0
    return rank - 1 if at == 1 else rank - 2


@dataclass(frozen=True, eq=False)
class Connections:
    """Who makes and who reads each tensor of a program, and the operators of the file that each step stands for."""

    program: Program
    #: By tensor, the steps that read it.
    readers: dict[str, list[Step]]
    #: By label of a node of the file, its operator.
    ops: dict[str, str]

    @classmethod
    def of(cls, program: Program, graph: Graph) -> Connections:
        readers: dict[str, list[Step]] = {}
        for step in program.steps:
            for name in dict.fromkeys(step.input_names):
                readers.setdefault(name, []).append(step)
        return cls(program, readers, {node.label: node.op for node in graph.nodes})

    def constant(self, name: str) -> bool:
        """Tell whether a tensor is a constant, or made of one by a DequantizeLinear or a QuantizeLinear alone."""
        while True:
            tensor, step = self.program.tensors.get(name), self.program.makers.get(name)
            if tensor is not None and tensor.const is not None:
                return True
            if step is None or not self.converts(step):
                return False
            name = step.input_names[0]

    def data(self, step: Step) -> tuple[str, ...]:
        """Return the inputs of a step that are no constants."""
        return tuple(name for name in step.input_names if not self.constant(name))

    def kinds(self, step: Step) -> frozenset[str]:
        """Return the kinds of the operators that a step stands for, those between codes and values left out."""
        if self.converts(step):
            return frozenset()
        found = {kind_of(self.ops.get(label, step.op)) for label in step.origin} | {kind_of(step.op)}
        return frozenset(found.difference(CONVERTING, PASSING))

    def converts(self, step: Step) -> bool:
        """Tell whether a step stands between values and codes, or changes nothing; a Clip of codes is part of their
        making."""
        if step.op == "Clip":
            return not is_float(self.program.tensors[step.output_names[0]].dtype)
        return step.op in (*CONVERTING, *PASSING)

    def root(self, name: str) -> str:
        """Return the tensor that one has its values from, back through conversions and what changes nothing."""
        step = self.program.makers.get(name)
        while step is not None and self.converts(step) and step.input_names:
            name = step.input_names[0]
            step = self.program.makers.get(name)
        return name

    def chain(self, name: str) -> Iterator[Step]:
        """Yield the steps behind a tensor, from its maker back, through what a layer may have taken into itself."""
        while (step := self.program.makers.get(name)) is not None:
            yield step
            if not self.converts(step) and step.op not in TAKEN_IN and not self.adds_bias(step):
                return
            name = next(iter(self.data(step)), "")

    def adds_bias(self, step: Step) -> bool:
        """Tell whether a step adds a constant to one tensor."""
        return step.op == "Add" and len(self.data(step)) == 1

    def quantized_in(self, graph: Graph, name: str) -> list[str]:
        """Return the real tensors of the file that codes are made of, and that are made of them."""
        maker = graph.producer(name)
        made = [maker.inputs[0]] if maker is not None and maker.op == CONVERTING[0] else []
        return made + [n.outputs[0] for n, at in graph.uses(name) if n.op == CONVERTING[1] and at == 0]

    def clips_codes(self, step: Step) -> bool:
        """Tell whether a step is a Clip of codes."""
        return step.op == LIMIT and self.converts(step)

    def weighted(self, name: str) -> Step | None:
        """Return the step with weights whose result a tensor is, clamped or converted; None where there is none."""
        steps = [step for step in self.chain(name) if kind_of(step.op) in WEIGHTED]
        return steps[0] if steps and self.weights_name(steps[0]) else None

    def weights_name(self, step: Step) -> str:
        """Return the tensor of a step's weights; '' where none of its factors is a constant."""
        factors = [operand.name for operand in step.inputs[:2] if operand is not None]
        constants = [name for name in factors if self.constant(name)]
        return constants[0] if len(constants) == 1 else ""

    def clamp(self, name: str) -> Clamp:
        """Return the clamp that made a tensor what it is; OPEN where none did."""
        found = OPEN
        for step in self.chain(name):
            own = None if self.converts(step) else clamp_of(step)
            if own is None:
                break
            found = both(found, own)
        return found


def clamped(array: Array, clamp: Clamp) -> Array:
    """Return the values, each brought between the limits."""
    if clamp == OPEN:
        return array
    low, high = (array.dtype.type(limit) for limit in clamp)
    return np.asarray(np.clip(array, low, high))
