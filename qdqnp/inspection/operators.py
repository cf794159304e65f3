"""List the operators: what each takes, since which opset, how it is computed, and why others are not there.

Nothing of it is written down twice: an operator is shown small nodes, of every element type, and what it accepts is
noted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from textwrap import wrap
from typing import Any

import numpy as np
import onnx

from qdqnp.element_types import DTYPES
from qdqnp.errors import Problems
from qdqnp.graph import ONNX, Node, Shape, Value
from qdqnp.limits import OLDEST_OPSET
from qdqnp.numerics.profiles import PROFILES
from qdqnp.ops import logic, movement
from qdqnp.ops.node_check import NodeCheck, Refused
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.ops.registry import operators
from qdqnp.ops.unsupported import GROUPS, LATER, Unsupported, why_not
from qdqnp.quant import CODE_DTYPES, Array, Quant
from qdqnp.reader.constants import CONSTANT
from qdqnp.reader.schema import input_types

Dtype = np.dtype[Any]

FLOAT32 = np.dtype(np.float32)
#: Shapes of the first input, of the others, and of the last.
SHAPES: tuple[tuple[Shape, Shape, Shape], ...] = (
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1, 1, 1)),
    ((1, 1, 1, 1), (1, 1, 1, 1), (1,)),
    ((1, 1, 1, 1), (1,), (1,)),
    ((1, 1), (1, 1), (1, 1)),
    ((1, 1), (1,), (2,)),
    ((1, 1, 1), (1, 1, 1), (3,)),
    ((1, 1), (1,), (1,)),
)
#: Attributes that some operators cannot do without.
ATTRIBUTES: Mapping[str, Any] = {
    "kernel_shape": (1, 1),
    "axis": 0,
    "axes": (0,),
    "blocksize": 1,
    "num_outputs": 1,
    "pads": (0,) * 8,
    "direction": "LEFT",
    "fmod": 1,
    "to": 1,
}
#: What constant inputs may be: axes, sizes, steps, scales, pads; and one element of the first input's type.
CONSTANTS = (*(np.array(value) for value in ([0], [1], [1] * 4, [0] * 8)), np.ones(4, np.float32))
#: How the operators of a room come to their results.
ROOMS = {movement.__name__: "movement", logic.__name__: "exact"}
#: Of more types than these, all that ONNX gives an input are "any".
FEW = 8
#: At most this many inputs are given to operators that take any number of them.
MOST_INPUTS = 9


class Wanted(Exception):  # noqa: N818 - no error: it says what a trial has to decide next
    """A constant input that the trial has no value for yet."""

    def __init__(self, index: int) -> None:
        self.index = index


@dataclass
class Listening(NodeCheck):
    """A check that makes up what the operator asks for, and keeps in mind what was asked."""

    #: Element types of data inputs that are fixed, the first input's first; others are the first that the operator
    #: accepts, or that of the first input.
    dtypes: dict[int, Dtype] = field(default_factory=dict)
    #: The type of codes where the zero point alone says it.
    codes: Dtype = CODE_DTYPES[0]
    constants: dict[int, Array] = field(default_factory=dict)
    #: What the operator calls its data inputs, its constant inputs, and the ranks that it accepts.
    named: dict[int, str] = field(default_factory=dict)
    #: Inputs that were looked at.
    asked: set[int] = field(default_factory=set)
    #: Inputs that are scales and zero points.
    parameters: set[int] = field(default_factory=set)
    constant_names: dict[int, str] = field(default_factory=dict)
    ranks: tuple[int, ...] = ()
    #: The types that codes may have.
    kinds: Sequence[Dtype] = CODE_DTYPES
    #: Whether the zero point alone says the type of the codes.
    free: bool = False

    def value(self, index: int) -> Value:
        found = super().value(index)
        self.asked.add(index)
        return replace(found, dtype=self.dtypes.get(index, self.first))

    @property
    def first(self) -> Dtype:
        """The type of the first input."""
        return next(iter(self.dtypes.values()), FLOAT32)

    def const(self, index: int, what: str) -> Array:
        self.value(index)  # refused if it is not there
        self.constant_names[index] = what
        if index not in self.constants:
            raise Wanted(index)
        return self.constants[index]

    def whole(self, index: int) -> Array | None:
        return self.constants.get(index)

    def late(self, index: int, what: str) -> Array:
        return self.const(index, what).astype(object)

    def dtype_in(self, index: int, allowed: Any, what: str = "") -> Dtype:
        self.named[index] = what
        self.dtypes.setdefault(index, np.dtype(allowed[0]))
        return super().dtype_in(index, allowed, what)

    def rank_in(self, index: int, allowed: Any, what: str = "") -> int:
        self.ranks = self.ranks or tuple(allowed)
        return super().rank_in(index, allowed, what)

    def quant(
        self,
        scale_index: int,
        zero_index: int,
        dtype: Dtype | None,
        axis: int | None = None,
        *,
        block_size: int = 0,
        scales: Sequence[Dtype] = (FLOAT32,),
        kinds: Sequence[Dtype] = CODE_DTYPES,
    ) -> Quant:
        self.value(scale_index)
        self.dtypes.setdefault(scale_index, self.first if self.first in scales else scales[0])
        self.kinds = kinds
        self.parameters |= {scale_index, zero_index}
        self.free = self.free or dtype is None
        kind = self.codes if dtype is None else dtype
        if kind not in kinds:
            self.refuse(f"input {zero_index} (zero point)", "a type of codes", kind)
        return Quant(kind, np.ones((), np.float32), np.zeros((), kind))


@dataclass(frozen=True)
class Trial:
    """A node that an operator accepts but for the types of its inputs."""

    operator: Operator
    opset: int
    #: The shape of each input.
    shapes: tuple[Shape, ...]
    attributes: Mapping[str, Any]
    constants: Mapping[int, Array] = field(default_factory=dict)

    def check(self, dtypes: Mapping[int, Dtype], codes: Dtype = CODE_DTYPES[0]) -> Listening:
        names = tuple(f"i{index}" for index in range(len(self.shapes)))
        values = tuple(Value(name, FLOAT32, shape) for name, shape in zip(names, self.shapes, strict=True))
        node = Node(self.operator.op, self.operator.domain, names, ("y",), self.attributes)
        constants = dict(self.constants)
        return Listening(node, self.opset, values, Problems(), dict(dtypes), codes, constants)

    def infer(self, check: Listening) -> Inferred | None:
        """Return what the operator infers; None where it refuses the node."""
        try:
            return self.operator.infer(check, self.operator.attributes(check))
        except (Refused, ShapeError):
            return None


def _trials(operator: Operator, opset: int) -> Iterator[Trial]:
    """Yield nodes to try: those with the most inputs first, which show most."""
    known = {item.name for item in fields(operator.Attributes)}
    needed = {name: value for name, value in ATTRIBUTES.items() if name in known}
    given = [dict(part) for part in {(), tuple(needed.items()), *(((name, value),) for name, value in needed.items())}]
    if operator.example:
        given = [dict(operator.example)]
    if operator.example_shapes:
        yield from (Trial(operator, opset, operator.example_shapes, attributes) for attributes in given)
    fewest, most = operator.arity
    for count in range(min(most, max(fewest, MOST_INPUTS)), fewest - 1, -1):
        for first, others, last in SHAPES:
            shapes = (first, *[others] * (count - 2), last)[:count]
            for attributes in given:
                yield Trial(operator, opset, shapes, attributes)


def _accepted(trial: Trial, heard: list[Listening]) -> Trial | None:
    """Return the trial with constants that make the operator accept it, for some type of its first input."""
    check = trial.check({})
    heard.append(check)
    try:
        return trial if trial.infer(check) is not None else None
    except Wanted as wanted:
        for constant in (*CONSTANTS, np.ones((), check.first)):
            found = _accepted(replace(trial, constants={**trial.constants, wanted.index: constant}), heard)
            if found is not None:
                return found
        return None


def _find(operator: Operator, opset: int) -> tuple[Trial | None, list[Listening]]:
    """Return a node that the operator accepts at an opset, and everything that it was asked on the way."""
    heard: list[Listening] = []
    for trial in _trials(operator, opset):
        found = _accepted(trial, heard)
        if found is not None:
            return found, heard
    return None, heard


@dataclass(frozen=True)
class OperatorRow:
    """One operator as the table shows it."""

    name: str
    #: The opsets of its domain that are read.
    opsets: str
    #: Data inputs and their types, then what must be constant.
    inputs: str
    outputs: str
    #: How its results come about, and whether they are promised.
    computed: str
    #: The part of the operator that there is, where it is not the whole.
    only: str


@cache
def rows(opset: int | None = None) -> tuple[OperatorRow, ...]:
    """Return the supported operators as they are at an opset of ONNX, None for the newest; ONNX's own first.

    >>> [row.inputs for row in rows() if row.name == "MatMul"]
    ['a: float32; b: as a']
    """
    return tuple(_row(operator, opset) for _, operator in sorted(operators().items()))


def _row(operator: Operator, opset: int | None) -> OperatorRow:
    found, heard = _find(operator, newest(operator.domain) if opset is None or operator.domain != ONNX else opset)
    if found is None:
        raise AssertionError(f"no node was found that {operator.op} accepts")
    check = found.check({})
    found.infer(check)
    constants = list(dict.fromkeys(name for item in heard for name in item.constant_names.values()))
    types, outputs = _types(found, check)
    inputs = [f"{name}: {', '.join(kinds)}" for name, kinds in types.items()]
    constants += ["scales and zero points"] if check.parameters else []
    inputs += [f"constant {', '.join(constants)}"] if constants else []
    only = [f"rank {_range(check.ranks)}"] if check.ranks else []
    only += [operator.only] if operator.only else []
    name = f"{operator.domain}.{operator.op}" if operator.domain else operator.op
    return OperatorRow(name, _opsets(operator), "; ".join(inputs), outputs, _computed(operator, found), "; ".join(only))


def newest(domain: str) -> int:
    """Return the newest opset of a domain."""
    return onnx.defs.onnx_opset_version() if domain == ONNX else 1


def _range(numbers: tuple[int, ...]) -> str:
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else str(numbers[0])


def _types(trial: Trial, check: Listening) -> tuple[dict[str, list[str]], str]:
    """Return the types of each data input by its name, and of the output."""
    data = sorted(check.asked - check.parameters - check.constant_names.keys())
    schema = _schema(trial.operator)
    if not data:
        return {}, ", ".join(str(dtype) for dtype, _ in trial.infer(check) or ())
    found: dict[str, list[str]] = {}
    same: list[str] = []
    for index in data:
        name = check.named.get(index) or _formal(schema, index)
        follows = {base: _follows(trial, data[0], base, index) for base in data if base < index}
        like = max(follows, key=follows.__getitem__) if any(follows.values()) else None
        if like == data[0]:
            same.append(name)
        elif like is not None:
            found[name] = [f"as {check.named.get(like) or _formal(schema, like)}"]
        else:
            taken = [
                kind
                for kind in DTYPES.values()
                if any(_takes(trial, {data[0]: first, index: kind}) for first in DTYPES.values())
            ]
            found[name] = ["any"] if len(taken) > FEW and set(taken) >= _allowed(trial, index) else _names(taken)
    name = next(iter(found))
    others = [other for other in dict.fromkeys(same) if other != name]  # of any number of inputs, one stands for all
    if others:
        found[", ".join(others)] = [f"as {name}"]
    return found, _outputs(trial, check, data[0], name)


def _follows(trial: Trial, first: int, base: int, index: int) -> int:
    """Count the types that a data input can have where it has that of another one; 0 where it may have others too.

    first: the first data input.
    """
    kinds, start = DTYPES.values(), _start(trial, first, base)
    pairs = [(one, kind) for one in kinds for kind in kinds if _takes(trial, {**start, base: one, index: kind})]
    return len(pairs) if all(one == kind for one, kind in pairs) else 0


def _start(trial: Trial, first: int, base: int) -> dict[int, Dtype]:
    """Return the type that the first data input has while another one's is varied."""
    if base == first:
        return {}
    listening = trial.check({})
    trial.infer(listening)
    return {first: listening.dtypes.get(first, FLOAT32)}


def _allowed(trial: Trial, index: int) -> frozenset[Dtype]:
    """Return the types that ONNX gives an input of the operator, of those that there are here."""
    schema = input_types(trial.operator.op, trial.opset) if trial.operator.domain == ONNX else ()
    allowed = schema[min(index, len(schema) - 1)] if schema else frozenset()
    return (allowed & frozenset(DTYPES.values())) or frozenset(DTYPES.values())


def _takes(trial: Trial, dtypes: Mapping[int, Dtype], codes: Dtype = CODE_DTYPES[0]) -> Inferred | None:
    """Return what is inferred for these types; None where operator or schema refuses them.

    A constant that has the first input's type follows it.
    """
    if any(kind not in _allowed(trial, index) for index, kind in dtypes.items()):
        return None
    constants = {
        index: array if array.ndim else array.astype(next(iter(dtypes.values())))
        for index, array in trial.constants.items()
    }
    given = replace(trial, constants=constants)
    return given.infer(given.check(dtypes, codes))


def _outputs(trial: Trial, check: Listening, first: int, name: str) -> str:
    """Return the types of the output; all that a zero point may have where it alone says the type.

    first: the first data input; `name` is its name.
    """
    targets = [{"to": number} for number in DTYPES] if "to" in trial.attributes else [{}]
    made = [
        (kind, inferred[0][0])
        for kind in DTYPES.values()
        for target in targets
        for codes in (check.kinds if check.free else CODE_DTYPES[:1])
        if (inferred := _takes(replace(trial, attributes={**trial.attributes, **target}), {first: kind}, codes))
    ]
    if len(made) > 1 and all(kind == result for kind, result in made):
        return f"as {name}"
    for index, other in check.named.items():
        start = _start(trial, first, index)
        like = [(k, found[0][0]) for k in DTYPES.values() if (found := _takes(trial, {**start, index: k}))]
        if len(like) > 1 and all(kind == result for kind, result in like):
            return f"as {other}"
    return ", ".join(_names(list(dict.fromkeys(result for _, result in made))))


def _names(kinds: list[Dtype]) -> list[str]:
    return ["any"] if len(kinds) == len(DTYPES) else [str(kind) for kind in kinds]


def _schema(operator: Operator) -> onnx.defs.OpSchema | None:
    return onnx.defs.get_schema(operator.op, operator.domain) if operator.domain == ONNX else None


def _formal(schema: onnx.defs.OpSchema | None, index: int) -> str:
    """Return ONNX's name of an input, in the form that operators here give theirs."""
    if schema is None:
        return "x"
    name = schema.inputs[min(index, len(schema.inputs) - 1)].name
    return "x" if name in ("data", "input", "inputs", "X") else name.lower()


def _opsets(operator: Operator) -> str:
    """Return the opsets at which the operator accepts a node, of those at which ONNX changed it."""
    if operator.domain != ONNX:
        return str(newest(operator.domain))
    since = {max(schema.since_version, OLDEST_OPSET) for schema in _history(operator.op)}
    taken = [version for version in sorted(since) if _find(operator, version)[0] is not None]
    refused = [str(version) for version in sorted(since) if version not in taken and version > taken[0]]
    return f"{taken[0]} and later" + (f", not {', '.join(refused)}" if refused else "")


def _history(op: str) -> list[onnx.defs.OpSchema]:
    return [schema for schema in _all_schemas() if schema.name == op]


@cache
def _all_schemas() -> tuple[onnx.defs.OpSchema, ...]:
    return tuple(schema for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ONNX)


def _computed(operator: Operator, trial: Trial) -> str:
    """Say how the results come about."""
    if operator.rule:
        return f"integers: `{operator.rule}`"
    if "convert" in operator.reads:
        return "integers: `convert`"
    room = type(operator).__module__.rpartition(".")[0]
    if room in ROOMS:
        return ROOMS[room]
    check = trial.check({})
    step = operator.step(check, operator.attributes(check))
    doubts = {}
    for name in ("ort", "ort-unfused"):
        consts = {operand: np.ones(1, np.float32) for operand in step.input_names[1:]}
        doubts[name] = operator.doubt(Binding(step, PROFILES[name], consts))
    if doubts["ort-unfused"]:
        return f"float32, no promise: {doubts['ort-unfused']}"
    inferred = trial.infer(check)
    if inferred is None or inferred[0][0] != FLOAT32:
        return "exact"
    exact = "float32 sums, exact" if "float_sum" in operator.reads else "float32, exact"
    constant = " with constant weights" if operator.weight_operand is not None else ""
    return f"{exact}, but not under `ort`{constant}" if doubts["ort"] else exact


# -- what is not there -------------------------------------------------------------------------------------------------
def missing(opset: int | None = None) -> list[tuple[Unsupported, list[str]]]:
    """Return why operators are not there, with their names; of ONNX's own those that `opset` knows.

    >>> [names for group, names in missing() if "control flow" in group.reason]
    [['If', 'Loop', 'Scan']]
    """
    there = {op for domain, op in operators() if domain == ONNX} | {CONSTANT}
    known = {s.name for s in _all_schemas() if s.since_version <= (opset or newest(ONNX))}
    found: dict[Unsupported, list[str]] = {group: [] for group in (*GROUPS, LATER)}
    for op in sorted(known - there):
        found[why_not(ONNX, op)].append(op)
    for group in GROUPS:
        if group.domain != ONNX:
            found[group] = sorted(group.operators)
    return [(group, names) for group, names in found.items() if names]


def markdown(opset: int | None = None) -> str:
    """Return the lists of docs/operators.md, of ONNX's operators up to an opset; None means the newest."""
    lines = ["| operator | opsets | inputs | outputs | computed | only |", "|---|---|---|---|---|---|"]
    for row in rows(opset):
        lines.append(f"| {row.name} | {row.opsets} | {row.inputs} | {row.outputs} | {row.computed} | {row.only} |")
    lines += ["", "## What is not there, and why", ""]
    for group, names in missing(opset):
        of = "" if group.domain == ONNX else f"Of {group.domain}: "
        text = f"- {of}{', '.join(names)} **{group.reason}**. What helps: {group.help}."
        lines += wrap(text, 120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)
