"""The stages of reading, in order. Each notes its problems and goes on; one error is raised at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

import numpy as np
import onnx

from qdqnp.errors import ModelError, Problems, shorten
from qdqnp.graph import Graph, Node, Value
from qdqnp.limits import MAX_ENTRIES
from qdqnp.quant import Array
from qdqnp.reader.branches import without_branches
from qdqnp.reader.calls import Call, read_call
from qdqnp.reader.check import Inference, advise_cut, check_operators
from qdqnp.reader.constants import constant_array, is_constant
from qdqnp.reader.cut import cut_model
from qdqnp.reader.external import ExternalData
from qdqnp.reader.functions import Inlined, Inliner, TooLarge
from qdqnp.reader.opsets import check_opsets, read_opsets
from qdqnp.reader.proto import Opened, Source, open_model
from qdqnp.reader.structure import Definitions, check_uses, define_outputs, order
from qdqnp.reader.tensors import read_tensor
from qdqnp.reader.text import read_text
from qdqnp.reader.types import Declared, check_declared, input_value, is_tensor, read_declared

NEWEST_IR = onnx.IR_VERSION


def read(source: Source) -> Graph:
    """Read a Graph from a path, bytes or a ModelProto.

    Raises ModelError, which lists every problem of the model: damaged, invalid, too large or unsupported.
    """
    opened = open_model(source)
    problems = Problems()
    try:
        graph = _Assembly(opened, problems).graph()
    except TooLarge:
        graph = None
    problems.raise_if_any(f"cannot load {opened.name}")
    assert graph is not None  # TooLarge has noted a problem
    return graph


class _Assembly:
    """One reading of one model."""

    def __init__(self, opened: Opened, problems: Problems) -> None:
        self._model, self._problems = without_branches(opened.model, partial(_from_sizes, opened)), problems
        self._proto = self._model.graph
        self._given = {(operator.domain, operator.op): operator for operator in opened.given}
        self._external = ExternalData(opened.folder, problems)
        self._definitions = Definitions(problems)
        self._values: dict[str, Value] = {}
        self._declared: dict[str, list[Declared]] = {}

    def graph(self) -> Graph:
        self._check_size()
        self._check_ir_version()
        opsets = read_opsets(self._model.opset_import, "the model", self._problems)
        self._read_initializers()
        inputs = self._read_inputs()
        outputs = self._read_outputs()
        self._read_value_info()
        inlined = self._inline(inputs, outputs, opsets)
        nodes = self._fold_constants(inlined)
        define_outputs(nodes, self._definitions)
        check_uses(nodes, outputs, self._definitions, self._problems)
        self._check_constants()
        bad_domains = check_opsets(opsets, (node.domain for node in nodes), self._problems)
        missing = check_operators(nodes, inlined.broken, self._problems)
        ordered = order(nodes, self._definitions, self._problems)
        named = {name for node in self._proto.node for name in node.output}
        advise_cut(ordered, set(missing), inputs, named, self._problems)
        unknown = self._definitions.ambiguous
        known = {name: value for name, value in self._values.items() if name not in unknown}
        inference = Inference(known, self._declared, inlined.broken, unknown, opsets, bad_domains, self._problems)
        inference.run(ordered)
        name = read_text(self._proto.name, "the graph's name", self._problems)
        return Graph(tuple(ordered), inference.values, inputs, outputs, opsets, name)

    def _check_size(self) -> None:
        """Refuse a file with millions of entries before its entries are read. Raises TooLarge."""
        graph, functions = self._proto, self._model.functions
        parts = (graph.node, graph.initializer, graph.sparse_initializer, graph.input, graph.output, graph.value_info)
        count = sum(map(len, parts)) + len(functions) + sum(len(function.node) for function in functions)
        if count <= MAX_ENTRIES:
            bodies = (graph.node, *(function.node for function in functions))
            count += sum(len(node.input) + len(node.output) + len(node.attribute) for body in bodies for node in body)
        if count > MAX_ENTRIES:
            self._problems.add(
                "the model",
                f"at most {MAX_ENTRIES} nodes, their inputs, outputs and attributes, initializers and declarations",
                count,
            )
            raise TooLarge

    def _check_ir_version(self) -> None:
        version = self._model.ir_version
        if not 3 <= version <= NEWEST_IR:
            self._problems.add(
                "the model, ir_version",
                f"a version from 3 to {NEWEST_IR}",
                version,
                "Export it again, or update the onnx package.",
            )

    # -- what the graph declares -----------------------------------------------------------------------------
    def _read_initializers(self) -> None:
        for proto in self._proto.initializer:
            name = read_text(proto.name, "an initializer's name", self._problems)
            where = f"initializer '{name}'"
            if not name:
                self._problems.add("an initializer", "a name", "an empty one")
                continue
            self._define_constant(name, read_tensor(proto, where, self._external, self._problems), "an initializer")
        for sparse in self._proto.sparse_initializer:
            name = read_text(sparse.values.name, "a sparse initializer's name", self._problems)
            self._problems.add(
                f"sparse initializer '{name}'",
                "a dense initializer",
                "a sparse one",
                "Store the weights as an ordinary initializer.",
            )
            self._definitions.define(name, "a sparse initializer")

    def _define_constant(self, name: str, array: Array | None, by: str) -> None:
        self._definitions.define(name, by)
        if array is not None:
            self._values.setdefault(name, Value(name, array.dtype, array.shape, array))

    def _read_inputs(self) -> tuple[str, ...]:
        """Return the names of the real inputs.

        Inputs that are initializers too are constants: IR version 3 lists all initializers as inputs.
        """
        constants = set(self._values) | {proto.name for proto in self._proto.initializer}
        names = []
        for info in self._proto.input:
            declared = read_declared(info, "graph input", self._problems)
            if declared.name in constants:
                self._declared.setdefault(declared.name, []).append(declared)
            elif not declared.name:
                self._problems.add("a graph input", "a name", "an empty one")
            else:
                names.append(declared.name)
                self._definitions.define(declared.name, f"graph input {len(names) - 1}")
                value = input_value(declared, self._problems)
                if value is not None:
                    self._values.setdefault(declared.name, value)
        return tuple(names)

    def _read_outputs(self) -> tuple[str, ...]:
        names: dict[str, None] = {}
        for info in self._proto.output:
            declared = read_declared(info, "graph output", self._problems)
            if not declared.name:
                self._problems.add("a graph output", "a name", "an empty one")
                continue
            if declared.name in names:
                self._problems.add(declared.where, "each output once", "two graph outputs of this name")
            names[declared.name] = None
            if is_tensor(declared, self._problems):
                self._declared.setdefault(declared.name, []).append(declared)
        if not self._proto.output:
            self._problems.add("the graph", "at least one output", "none", "The file may be cut off.")
        return tuple(names)

    def _read_value_info(self) -> None:
        for info in self._proto.value_info:
            declared = read_declared(info, "value_info", self._problems)
            self._declared.setdefault(declared.name, []).append(declared)

    def _check_constants(self) -> None:
        """Compare declarations of constants and graph inputs; those of computed tensors wait for inference."""
        for name, value in self._values.items():
            origin = "the graph input" if value.const is None else "the constant itself"
            for declared in self._declared.get(name, ()):
                check_declared(declared, value, origin, self._problems)

    # -- nodes -----------------------------------------------------------------------------------------------
    def _inline(self, inputs: Iterable[str], outputs: Iterable[str], opsets: dict[str, int]) -> Inlined:
        calls = [read_call(node, "", self._external, self._problems, self._given) for node in self._proto.node]
        taken = {*inputs, *outputs, *self._values, *self._declared, *_all_names(calls)}
        inliner = Inliner(self._model, taken, opsets, self._external, self._problems, self._given)
        return inliner.run(calls)

    def _fold_constants(self, inlined: Inlined) -> list[Node]:
        """Turn Constant nodes into constants; return the other nodes."""
        nodes = []
        for node in inlined.nodes:
            if not is_constant(node) or node in inlined.broken:
                nodes.append(node)
                continue
            array = constant_array(node, self._problems)
            for name in filter(None, node.outputs):
                self._define_constant(name, array, f"Constant node {shorten(node.label, 80)}")
        return nodes


def _all_names(calls: Iterable[Call]) -> Iterable[str]:
    for call in calls:
        yield from call.inputs
        yield from call.outputs


def _from_sizes(opened: Opened, model: onnx.ModelProto, name: str) -> bool | None:
    """Return a condition that follows from sizes that are all declared; None for others, or where a thing is wrong."""
    problems = Problems()
    try:
        part = cut_model(model, [name], opened.name)
        if any(node.op_type == "If" for node in part.graph.node) or not all(map(_is_closed, part.graph.input)):
            return None
        value = _Assembly(replace(opened, model=part), problems).graph().values[name]
    except (ModelError, TooLarge, KeyError):
        return None
    known = value.const if value.const is not None else value.known
    if problems.count or known is None or value.dtype != np.bool_ or known.size != 1:
        return None
    element = known.reshape(-1)[0]
    return bool(element) if isinstance(element, (bool, np.bool_)) else None


def _is_closed(info: onnx.ValueInfoProto) -> bool:
    """Tell whether all sizes of a graph input are declared."""
    shape = info.type.tensor_type.shape
    return info.type.tensor_type.HasField("shape") and all(dim.dim_value > 0 for dim in shape.dim)
