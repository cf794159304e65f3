"""Inlines model-local functions: every call is replaced by the function's body until no calls are left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import onnx

from qdqnp.errors import Problems, shorten
from qdqnp.graph import ONNX, Node
from qdqnp.limits import MAX_FUNCTION_DEPTH, MAX_MADE_NAME, MAX_NODE_PARTS
from qdqnp.ops.given import distinct_name
from qdqnp.ops.operator import Operator
from qdqnp.reader.attributes import Attribute, AttributeReference, kind_name, read_attribute
from qdqnp.reader.calls import Call, Key, read_call, trimmed
from qdqnp.reader.external import ExternalData
from qdqnp.reader.opsets import read_opsets
from qdqnp.reader.schema import BUILT_IN, check_schema
from qdqnp.reader.text import domain_name, read_domain, read_text


class TooLarge(Exception):  # noqa: N818 - not an error of its own: its problem has been noted
    """Stops the reading: the graph would grow beyond the limit."""


@dataclass(frozen=True, eq=False)
class Function:
    """A model-local function of the file."""

    key: Key
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    #: The names of all attributes that a call may give.
    parameters: frozenset[str]
    defaults: dict[str, Attribute]
    body: tuple[Call, ...]
    opsets: dict[str, int]
    #: Whether the function has problems (noted), so that its calls are not inlined.
    broken: bool

    @property
    def label(self) -> str:
        return f"{domain_name(self.key[0])}.{self.key[1]}"


@dataclass
class Scope:
    """What names and attribute references mean inside one call, or in the main graph."""

    #: The names outside by the names inside; None in the main graph.
    names: dict[str, str] | None = None
    #: The attributes of the call by name, with the function's defaults.
    attributes: dict[str, Attribute] = field(default_factory=dict)
    #: The names of all attributes that the call may give.
    parameters: frozenset[str] = frozenset()
    #: The text before names made inside the call.
    prefix: str = ""
    #: The functions whose calls lie around this scope, outermost first, with the function itself.
    chain: tuple[Function, ...] = ()


@dataclass
class Inlined:
    """The nodes of a graph without calls of functions."""

    nodes: list[Node] = field(default_factory=list)
    #: The nodes with problems, whose outputs are unknown.
    broken: set[Node] = field(default_factory=set)


class Inliner:
    """Inlines the functions of one model."""

    def __init__(
        self,
        model: onnx.ModelProto,
        taken: Iterable[str],
        opsets: dict[str, int],
        external: ExternalData,
        problems: Problems,
        given: Mapping[tuple[str, str], Operator],
    ) -> None:
        self._external, self._problems, self._opsets, self._given = external, problems, opsets, given
        self._protos = self._index(model)
        self._functions: dict[Key, Function] = {}
        self._taken = set(taken)
        self._counts: dict[str, int] = {}
        self._parts = 0
        self._seen_paths: set[frozenset[Key]] = set()
        self.result = Inlined()

    def run(self, calls: Iterable[Call]) -> Inlined:
        """Return the nodes of the main graph with all functions inlined. Raises TooLarge."""
        self._inline(calls, Scope())
        return self.result

    # -- functions of the file -------------------------------------------------------------------------------
    def _index(self, model: onnx.ModelProto) -> dict[Key, onnx.FunctionProto]:
        found: dict[Key, onnx.FunctionProto] = {}
        for proto in model.functions:
            name = read_text(proto.name, "a function's name", self._problems)
            where = f"function '{name}'"
            domain = read_domain(proto.domain, f"{where}, domain", self._problems)
            key = (domain, name, read_text(proto.overload, f"{where}, overload", self._problems))
            if key in found:
                self._problems.add(where, "each function once", "two functions with its domain and name")
            found.setdefault(key, proto)
        return found

    def _calls(self, key: Key) -> bool:
        """Tell whether a node of this key calls a function; operators win over functions of their name."""
        return key in self._protos and key[0] not in BUILT_IN and key[:2] not in self._given

    def _function(self, key: Key) -> Function | None:
        """Return the function that a node of this key calls; None where it is an operator."""
        if not self._calls(key):
            return None
        if key not in self._functions:
            self._functions[key] = self._read_function(key, self._protos[key])
        return self._functions[key]

    def _read_function(self, key: Key, proto: onnx.FunctionProto) -> Function:
        before = self._problems.count
        where = f"function '{key[1]}'"
        defaults = self._defaults(proto, where)
        parameters = [read_text(item, f"{where}, attribute name", self._problems) for item in proto.attribute]
        body = tuple(read_call(node, f"{where}, ", self._external, self._problems, self._given) for node in proto.node)
        opsets = read_opsets(proto.opset_import, where, self._problems)
        self._check_opsets(body, opsets, where)
        inputs = self._formals(proto.input, f"{where}, inputs")
        outputs = self._formals(proto.output, f"{where}, outputs")
        broken = self._problems.count > before
        return Function(key, inputs, outputs, frozenset([*parameters, *defaults]), defaults, body, opsets, broken)

    def _defaults(self, proto: onnx.FunctionProto, where: str) -> dict[str, Attribute]:
        defaults: dict[str, Attribute] = {}
        for item in proto.attribute_proto:
            name = read_text(item.name, f"{where}, attribute name", self._problems)
            value = read_attribute(item, f"{where}, attribute '{name}'", self._external, self._problems)
            if isinstance(value, Attribute):
                defaults[name] = value
            elif isinstance(value, AttributeReference):
                self._problems.add(f"{where}, attribute '{name}'", "a default value", "a reference")
        return defaults

    def _formals(self, names: Iterable[str], where: str) -> tuple[str, ...]:
        formals = tuple(read_text(name, where, self._problems) for name in names)
        if len(set(formals)) != len(formals) or "" in formals:
            self._problems.add(where, "names that are not empty and differ", list(formals))
        return formals

    def _check_opsets(self, body: tuple[Call, ...], opsets: dict[str, int], where: str) -> None:
        """Check that a function has the model's opset: its inlined nodes take the meaning of the model's."""
        for domain in sorted({call.domain for call in body if not self._calls(call.key)}):
            mine = opsets.get(domain)
            model = self._opsets.setdefault(domain, mine) if mine is not None else None
            if mine is None or mine != model:
                self._problems.add(
                    f"{where}, opset of {domain_name(domain)}",
                    f"{self._opsets.get(domain, 'an import')}, as the model",
                    "no import" if mine is None else mine,
                    "Convert the model so that all its functions use one opset.",
                )

    # -- inlining --------------------------------------------------------------------------------------------
    def _inline(self, calls: Iterable[Call], scope: Scope) -> None:
        for call in calls:
            self._spend(call.parts)
            function = self._function(call.key)
            attributes = self._attributes(call, scope)
            self._spend(sum(item.length for item in (attributes or {}).values()))
            inputs = tuple(self._name(name, scope) for name in call.inputs)
            outputs = tuple(self._name(name, scope) for name in call.outputs)
            good = attributes is not None and not call.broken
            if function is not None and good and self._may_expand(call, function, scope):
                assert attributes is not None
                self._expand(call, function, attributes, inputs, outputs, scope)
            else:
                values = {name: item.value for name, item in (attributes or {}).items()}
                given = self._given.get((call.domain, call.op))
                name = _joined(scope.prefix, call.name)
                op = call.op if given is None else distinct_name(given)
                node = Node(op, call.domain, trimmed(inputs), outputs, values, name, given=given)
                if function is None and good and given is None:
                    opset = self._opsets.get(call.domain, 1)
                    good = check_schema(call, attributes or {}, opset, f"node {node.label}", self._problems)
                self._emit(node, broken=function is not None or not good)

    def _emit(self, node: Node, broken: bool = False) -> None:
        self.result.nodes.append(node)
        if broken:
            self.result.broken.add(node)

    def _spend(self, parts: int) -> None:
        self._parts += parts
        if self._parts > MAX_NODE_PARTS:
            self._problems.add(
                "the graph",
                f"at most {MAX_NODE_PARTS} nodes, inputs, outputs and attributes",
                "more, after model-local functions are inlined",
            )
            raise TooLarge

    def _attributes(self, call: Call, scope: Scope) -> dict[str, Attribute] | None:
        """Return the call's attributes with references replaced; a reference to an attribute not given is left out."""
        found: dict[str, Attribute] = {}
        good = True
        for name, item in call.attributes.items():
            if isinstance(item, Attribute):
                found[name] = item
            elif item.name not in scope.parameters:
                where = f"node {_joined(scope.prefix, call.name) or call.op}, attribute '{name}'"
                self._problems.add(
                    where, "a reference to an attribute of the function around it", f"a reference to '{item.name}'"
                )
                good = False
            elif (bound := scope.attributes.get(item.name)) is not None:
                good = self._same_kind(call, name, item, bound, scope) and good
                found[name] = bound
        return found if good else None

    def _same_kind(self, call: Call, name: str, item: AttributeReference, bound: Attribute, scope: Scope) -> bool:
        if item.kind in (bound.kind, onnx.AttributeProto.UNDEFINED):
            return True
        where = f"node {_joined(scope.prefix, call.name) or call.op}, attribute '{name}'"
        self._problems.add(where, kind_name(item.kind), f"{kind_name(bound.kind)} from the call's '{item.name}'")
        return False

    def _may_expand(self, call: Call, function: Function, scope: Scope) -> bool:
        where = f"node {_joined(scope.prefix, call.name) or call.op}, call of function {function.label}"
        if function.broken:
            return False
        if function in scope.chain or len(scope.chain) >= MAX_FUNCTION_DEPTH:
            self._report_depth(function, scope)
            return False
        before = self._problems.count
        if len(call.inputs) > len(function.inputs):
            self._problems.add(where, f"at most {len(function.inputs)} inputs", len(call.inputs))
        if len(call.outputs) > len(function.outputs):
            self._problems.add(where, f"at most {len(function.outputs)} outputs", len(call.outputs))
        unknown = sorted(set(call.attributes) - function.parameters)
        if unknown:
            self._problems.add(where, f"attributes among {sorted(function.parameters)}", unknown)
        return self._problems.count == before

    def _report_depth(self, function: Function, scope: Scope) -> None:
        path = [*scope.chain, function]
        recursion = function in scope.chain
        if recursion:
            path = path[path.index(function) :]
        if frozenset(item.key for item in path) in self._seen_paths:
            return
        self._seen_paths.add(frozenset(item.key for item in path))
        expected = "no recursion" if recursion else f"at most {MAX_FUNCTION_DEPTH} functions inside each other"
        self._problems.add(f"function {function.label}", expected, " -> ".join(item.label for item in path))

    def _expand(
        self,
        call: Call,
        function: Function,
        attributes: dict[str, Attribute],
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        scope: Scope,
    ) -> None:
        prefix = shorten(_joined(scope.prefix, call.name or call.op), MAX_MADE_NAME)
        names = {
            "": "",
            **dict.fromkeys(function.inputs, ""),
            **dict(zip(function.inputs, inputs, strict=False)),
        }
        passed = []
        for index, formal in enumerate(function.outputs):
            actual = outputs[index] if index < len(outputs) else ""
            if formal in function.inputs:
                passed.append((names[formal], actual))
            else:
                names[formal] = actual or self._fresh(f"{prefix}/{formal}")
        inner = Scope(names, {**function.defaults, **attributes}, function.parameters, prefix, (*scope.chain, function))
        self._inline(function.body, inner)
        for source, target in passed:  # an input that is also an output has two names for one tensor
            if target:
                self._emit(Node("Identity", ONNX, (source,), (target,), {}, prefix))

    # -- names -----------------------------------------------------------------------------------------------
    def _name(self, name: str, scope: Scope) -> str:
        """Return the name outside of a name inside `scope`; it is made on first sight."""
        if scope.names is None:
            return name
        if name not in scope.names:
            scope.names[name] = self._fresh(f"{scope.prefix}/{name}")
        return scope.names[name]

    def _fresh(self, base: str) -> str:
        base = name = shorten(base, MAX_MADE_NAME)
        while name in self._taken:
            self._counts[base] = self._counts.get(base, 0) + 1
            name = f"{base}_{self._counts[base]}"
        self._taken.add(name)
        return name


def _joined(prefix: str, name: str) -> str:
    return shorten(f"{prefix}/{name}", MAX_MADE_NAME) if prefix and name else name
