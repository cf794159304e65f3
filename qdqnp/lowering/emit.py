"""The last stage of every lowering: a Graph in QLinear form becomes a Program of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qdqnp.errors import Problems
from qdqnp.graph import Graph, Node, Value
from qdqnp.lowering.base import Lowering
from qdqnp.lowering.halves import in_float32
from qdqnp.ops.examine import examine
from qdqnp.ops.known import Knowledge, value_known
from qdqnp.ops.node_check import NodeCheck, Refused
from qdqnp.ops.operator import Inferred, ShapeError
from qdqnp.ops.registry import operator_for
from qdqnp.ops.runtime_scales import with_runtime_scales
from qdqnp.ops.runtime_sizes import with_runtime_sizes
from qdqnp.program import Program, Step, Tensor
from qdqnp.quant import CODE_DTYPES, Array, Quant
from qdqnp.reader.check import check_operators

MADE = "ONNX Runtime's optimizer makes these of the file's nodes; --profile ort-unfused runs the file's own"


def lower(graph: Graph, lowering: Lowering) -> Program:
    """The program that the lowering makes of the graph. Raises ModelError with everything it cannot run."""
    with np.errstate(all="ignore"):  # infinities and NaN in constants are values here too
        lowered, refusals = lowering.lower_graph(graph)
    lowered = in_float32(lowered)
    emitter = _Emitter(lowered)
    emitter.run()
    emitter.note_shifts(graph)
    emitter.problems.raise_if_any(f"the model cannot run under the lowering '{lowering.name}'")
    return Program(lowering.name, tuple(emitter.steps), emitter.tensors, lowered.inputs, lowered.outputs, refusals)


class _Emitter:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.problems = Problems()
        self.steps: list[Step] = []
        self.tensors: dict[str, Tensor] = {}
        self.values: dict[str, Value] = {}
        self._knowledge = Knowledge()

    def run(self) -> None:
        for name in self.graph.inputs:
            value = self.graph.values[name]
            self.values[name] = value_known(value)
            self.tensors[name] = Tensor(name, value.dtype, value.shape)
        if check_operators(self.graph.nodes, (), self.problems):
            self.problems.advice.append(MADE)
        for node in self.graph.nodes:
            try:
                self._node(node)
            except Refused:
                continue
        self._drop_sizes()
        for name in self.graph.outputs:
            if self._value(name) is not None:
                self._constant(name, None)
        self._read_codes_backwards()

    def note_shifts(self, file: Graph) -> None:
        """Codes whose dtype is not that of the file."""
        for name, tensor in self.tensors.items():
            value = file.values.get(name)
            if value is not None and value.dtype != tensor.dtype:
                self.tensors[name] = replace(tensor, file_dtype=value.dtype)

    def _node(self, node: Node) -> None:
        known = tuple(self._value(name) if name else None for name in node.inputs)
        if any(name and value is None for name, value in zip(node.inputs, known, strict=True)):
            raise Refused  # its problem was noted where the tensor failed to be made
        check = NodeCheck(node, self.graph.opset, known, self.problems)
        operator = operator_for(node)
        if operator is None:
            raise Refused  # noted by check_operators
        try:
            attributes, inferred = examine(operator, check)
        except ShapeError as error:
            check.refuse("shapes", error.expected, error.got)
        step = operator.step(check, attributes)
        if check.runtime_scales:
            step = with_runtime_scales(operator, check, step)
        if check.runtime_sizes:
            step = with_runtime_sizes(check, step, inferred)
        elements = self._knowledge.of(operator, check, attributes, inferred)
        step = replace(step, op=node.op, doubt=node.doubt, given=node.given)
        self._emit(node, step if node.limits is None else limited(step, node.limits), inferred, elements)

    def _emit(self, node: Node, step: Step, inferred: Inferred, known: Sequence[Array | None]) -> None:
        for operand in step.inputs:
            if operand is not None:
                self._constant(operand.name, operand.quant)
        names = [name for name in node.outputs if name]
        made = [(*kind, found) for name, kind, found in zip(node.outputs, inferred, known, strict=False) if name]
        for operand, (dtype, shape, elements) in zip(step.outputs, made, strict=False):
            quant = operand.quant or self._inherited(step, dtype.type)
            self.values[operand.name] = Value(operand.name, dtype, shape, None, elements)
            self.tensors[operand.name] = Tensor(operand.name, dtype, shape, quant)
        assert len(names) == len(step.outputs)
        self.steps.append(step)

    def _drop_sizes(self) -> None:
        """Drop steps that compute sizes which are known, where nobody reads them: they are in attributes already."""
        read = set(self.graph.outputs)
        kept: list[Step] = []
        for step in reversed(self.steps):
            values = [self.values[name].known for name in step.output_names]
            known = all(value is not None and value.dtype != object for value in values)
            if known and read.isdisjoint(step.output_names):
                for name in step.output_names:
                    del self.tensors[name]
                continue
            kept.append(step)
            read.update(step.input_names)
        self.steps = kept[::-1]
        unread = [n for n, t in self.tensors.items() if t.const is not None and n not in read]
        for name in unread:
            del self.tensors[name]

    def _value(self, name: str) -> Value | None:
        found = self.values.get(name)
        if found is None and self.graph.constant(name) is not None:
            found = self.values[name] = self.graph.values[name]
        return found

    def _constant(self, name: str, quant: Quant | None) -> None:
        if name not in self.tensors:
            value = self.values[name]
            self.tensors[name] = Tensor(name, value.dtype, value.shape, quant, value.const)

    def _inherited(self, step: Step, dtype: type) -> Quant | None:
        """Codes that are only moved or compared keep their meaning."""
        moved = bool(step.input_names) and step.given is None
        quant = self.tensors[step.input_names[0]].quant if moved else None
        return quant if quant is not None and quant.dtype == dtype else None

    def _read_codes_backwards(self) -> None:
        """Codes that enter as graph inputs, or come from operators without scales, mean what their reader reads."""
        for step in reversed(self.steps):
            for operand in step.inputs:
                if operand is None:
                    continue
                tensor = self.tensors[operand.name]
                if tensor.quant is None and operand.quant is not None and tensor.dtype in CODE_DTYPES:
                    self.tensors[operand.name] = replace(tensor, quant=operand.quant)


def limited(step: Step, limits: tuple[int, int]) -> Step:
    """Return the step whose output is kept between two codes. It must be one that makes codes by itself."""
    (y,) = step.outputs
    assert y.quant is not None
    return replace(step, outputs=(replace(y, quant=replace(y.quant, limits=limits)),))
