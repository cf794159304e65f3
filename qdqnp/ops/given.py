"""Operators that are given for one load: a class of the user's, in the manner of onnx's `OpRun`, becomes an Operator.

    class Quant:
        op_domain = "qonnx.custom_op.general"

        def _run(self, x, scale, zero, bits, signed=1, narrow=0, rounding_mode="ROUND"):
            return (...,)

The name of the class is the operator's. `_run` gets the inputs in their order, absent ones as None, and attributes by
name where it names them; all attributes are also attributes of `self`. No `__init__` is called. Lists of numbers come
as lists, tensors as arrays. Arrays must not be changed.

Dtypes and shapes of the outputs are those that `_infer(self, *inputs, **attributes)` returns arrays of; its inputs are
arrays of zeros without memory of their own. Without `_infer` they are read off a trial: `_run` on ones, when the model
is loaded and for new shapes of inputs. What `_run` returns in a run must have the dtypes and shapes that were found.

No result is promised to be exact, unless the class says `exact = True`.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import new_class
from typing import Any, ClassVar

import numpy as np

from qdqnp.errors import InputError, ModelError, Problem, Problems, shorten
from qdqnp.graph import ONNX, Dim, Shape
from qdqnp.limits import MAX_RANK, SHAPES_KEPT, TRIAL_BYTES, readable_bytes
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops import registry
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator, ShapeError
from qdqnp.program import Step
from qdqnp.quant import Array

RUN, INFER = "_run", "_infer"
DOUBT = "it was given for this load, and does not say that it is exact"
#: Where a class that cannot be imported says how to make it again: a function that can, and its arguments.
AGAIN = "_made_by"
#: Sizes that stand for those that are not known: what differs between two trials is not known either.
STAND_INS = (2, 3)
#: More inputs than a node may have.
MANY = 2**31


@dataclass(frozen=True, eq=False)
class GivenAttributes:
    """What a node says to an operator that was given."""

    #: The attributes by name.
    values: Mapping[str, Any]
    #: The dtype of each input, None where it is absent.
    dtypes: tuple[np.dtype[Any] | None, ...]
    #: The inputs that are constants, by their number.
    constants: Mapping[int, Array]
    #: How many outputs the node has.
    outputs: int
    #: The node's label.
    label: str
    #: Dtypes and shapes of the outputs that were found, by the shapes of the inputs.
    found: dict[tuple[Shape | None, ...], Inferred] = field(default_factory=dict)


class GivenOperator(Operator):
    """An operator whose arithmetic is a class of the user's."""

    Attributes = GivenAttributes
    #: The user's class.
    kind: ClassVar[type]

    @property
    def is_tried(self) -> bool:
        """Whether dtypes and shapes are read off a trial."""
        return not hasattr(self.kind, INFER)

    def __reduce__(self) -> tuple[Any, ...]:
        again = getattr(self.kind, AGAIN, None)
        if again is not None:
            return _made_again, again
        found: Any = sys.modules.get(self.kind.__module__)
        for part in self.kind.__qualname__.split("."):
            found = getattr(found, part, None)
        if found is not self.kind:
            name = f"{self.kind.__module__}.{self.kind.__qualname__}"
            why = "it is made inside of a function, or read from a file; put it into a module"
            raise TypeError(f"cannot pickle operator {self.op}: its class {name} cannot be imported: {why}")
        return given_operator, (self.kind,)

    # -- reading -----------------------------------------------------------------------------------------------
    def attributes(self, check: NodeCheck) -> GivenAttributes:
        constants = {
            at: array for at in range(len(check.inputs)) if check.given(at) and (array := check.whole(at)) is not None
        }
        return GivenAttributes(
            dict(check.node.attributes),
            tuple(None if value is None else value.dtype for value in check.inputs),
            constants,
            len(check.named_outputs()),
            check.node.label,
        )

    def infer(self, check: NodeCheck, attributes: GivenAttributes) -> Inferred:
        shapes = [None if value is None else value.shape for value in check.inputs]
        try:
            return self._inferred(attributes, shapes)
        except _GivenFailed as failed:
            check.refuse("operator", failed.expected, failed.got, failed.hint)

    # -- running -----------------------------------------------------------------------------------------------
    def shapes(self, attributes: GivenAttributes, *inputs: Any, **_: Any) -> tuple[Shape, ...]:
        try:
            return tuple(shape for _, shape in self._inferred(attributes, inputs))
        except _GivenFailed as failed:
            raise ShapeError(failed.expected, failed.got) from failed

    def compute(self, binding: Binding, *inputs: Any, **_: Any) -> tuple[Array, ...]:
        attributes = binding.step.attributes
        shapes = [None if array is None else array.shape for array in inputs]
        try:
            wanted = self._inferred(attributes, shapes)
            arrays = [None if array is None else _read_only(array) for array in inputs]
            found = self._call(RUN, attributes, arrays)
        except _GivenFailed as failed:
            raise InputError(f"operator {self.op} failed", [_problem(attributes, failed)]) from failed
        problems = Problems()
        for at, (array, (dtype, shape)) in enumerate(zip(found, wanted, strict=True)):
            if array.dtype != dtype or array.shape != shape:
                where = f"node {attributes.label}, output {at}"
                problems.add(
                    where, f"{dtype} of shape {list(shape)}", f"{array.dtype} of shape {list(array.shape)}", LIKE
                )
        problems.raise_if_any(f"operator {self.op} makes something else than it said", InputError)
        return tuple(np.array(array, order="C") for array in found)

    def doubt(self, binding: Binding) -> str:
        return "" if getattr(self.kind, "exact", False) is True else DOUBT

    def origin(self, step: Step, output: int, index: Index, *inputs: Any, **_: Any) -> Any:
        """All elements of all inputs: what the class does with them is not known."""
        return np.concatenate([np.zeros(0, np.int64), *(array.reshape(-1) for array in inputs if array is not None)])

    # -- the user's class --------------------------------------------------------------------------------------
    def _inferred(self, attributes: GivenAttributes, shapes: Sequence[Shape | None]) -> Inferred:
        """Return dtype and shape of every output, which are found once for the same shapes. Raises _GivenFailed."""
        key = tuple(None if shape is None else tuple(shape) for shape in shapes)
        found = attributes.found.get(key)
        if found is None:  # no lock: two threads may both look
            found = self._sought(attributes, key)
            if len(attributes.found) >= SHAPES_KEPT:
                attributes.found.clear()
            attributes.found[key] = found
        return found

    def _sought(self, attributes: GivenAttributes, shapes: Sequence[Shape | None]) -> Inferred:
        if all(isinstance(size, int) for shape in shapes for size in shape or ()):
            return tuple((array.dtype, array.shape) for array in self._trial(attributes, shapes, 1))
        trials = [self._trial(attributes, shapes, stand_in) for stand_in in STAND_INS]
        names = {size for shape in shapes for size in shape or () if not isinstance(size, int)}
        name = names.pop() if len(names) == 1 else None
        found = []
        for first, second in zip(*trials, strict=True):
            if first.dtype != second.dtype or first.ndim != second.ndim:
                raise _GivenFailed(
                    "one dtype and rank of its output for all sizes", f"{_kind(first)} and {_kind(second)}"
                )
            sizes = zip(first.shape, second.shape, strict=True)
            found.append((first.dtype, tuple(_size(pair, name) for pair in sizes)))
        return tuple(found)

    def _trial(self, attributes: GivenAttributes, shapes: Sequence[Shape | None], stand_in: int) -> tuple[Array, ...]:
        """Return outputs for inputs of these shapes, whose values mean nothing."""
        function = RUN if self.is_tried else INFER
        sizes = [None if s is None else tuple(n if isinstance(n, int) else stand_in for n in s) for s in shapes]
        dtypes = attributes.dtypes
        needed = sum(
            math.prod(s) * d.itemsize for s, d in zip(sizes, dtypes, strict=True) if s is not None and d is not None
        )
        if function == RUN and needed > TRIAL_BYTES:
            hint = f"Give it a method {INFER}(self, *inputs, **attributes) that returns arrays of that dtype and shape."
            expected = f"inputs of at most {readable_bytes(TRIAL_BYTES)} for a trial of an operator without {INFER}"
            raise _GivenFailed(expected, readable_bytes(needed), hint)
        arrays: list[Array | None] = []
        for at, (size, dtype) in enumerate(zip(sizes, dtypes, strict=True)):
            if size is None or dtype is None:
                arrays.append(None)
            elif at in attributes.constants and attributes.constants[at].shape == size:
                arrays.append(attributes.constants[at])
            elif function == INFER:
                arrays.append(np.broadcast_to(np.zeros((), dtype), size))
            else:
                arrays.append(_read_only(np.ones(size, dtype)))
        return self._call(function, attributes, arrays)

    def _call(self, function: str, attributes: GivenAttributes, inputs: Sequence[Array | None]) -> tuple[Array, ...]:
        """Return what a method of the user's class returns, as arrays, one for each output of the node."""
        made: Any = object.__new__(self.kind)
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in attributes.values.items()}
        called = getattr(made, function)
        named = inspect.signature(called).parameters
        everything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in named.values())
        try:
            for name, value in values.items():
                setattr(made, name, value)
            with np.errstate(all="ignore"):
                found = called(
                    *inputs, **{name: value for name, value in values.items() if everything or name in named}
                )
        except Exception as error:  # whatever the user's code raises
            got = f"{type(error).__name__}: {shorten(str(error), 300)}"
            hint = f"It was tried on ones, to learn dtype and shape; {INFER} says them." if function == RUN else ""
            raise _GivenFailed(f"{self.kind.__name__}.{function} to return arrays", got, hint) from error
        arrays = [found] if isinstance(found, (np.ndarray, np.generic)) else found
        if not isinstance(arrays, (tuple, list)) or not all(isinstance(a, (np.ndarray, np.generic)) for a in arrays):
            raise _GivenFailed(
                f"{self.kind.__name__}.{function} to return an array, or a tuple of arrays", type(found).__name__
            )
        if len(arrays) < attributes.outputs:
            raise _GivenFailed(f"{attributes.outputs} arrays of {self.kind.__name__}.{function}", str(len(arrays)))
        if any(array.ndim > MAX_RANK for array in arrays):
            raise _GivenFailed(f"at most {MAX_RANK} axes", "more")
        return tuple(np.asarray(array) for array in arrays[: attributes.outputs])


LIKE = f"Its dtype and shape must not depend on values; {INFER} may say them."


class _GivenFailed(Exception):  # noqa: N818 - turned into a Problem by who knows the place
    """The user's class did not do what it must."""

    def __init__(self, expected: str, got: str, hint: str = "") -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected, self.got, self.hint = expected, got, hint


def _problem(attributes: GivenAttributes, failed: _GivenFailed) -> Problem:
    return Problem(f"node {attributes.label}", failed.expected, failed.got)


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view


def _kind(array: Array) -> str:
    return f"{array.dtype} of rank {array.ndim}"


def _size(pair: tuple[int, int], name: Dim) -> Dim:
    """Return a size of an output: what two trials agree on, or the name of the only size that they vary."""
    if pair[0] == pair[1]:
        return pair[0]
    return name if pair == STAND_INS else None


def _made_again(function: Callable[..., type], *arguments: object) -> Operator:
    """Return the operator of a class that cannot be imported."""
    return given_operator(function(*arguments))


def given_operator(kind: type | Operator) -> Operator:
    """Return the operator of a user's class: an Operator, or a class in the manner of onnx's `OpRun`.

    Raises ModelError where the class is neither.
    """
    if isinstance(kind, Operator):
        return kind
    where = f"operator {getattr(kind, '__name__', kind)!s}"
    if isinstance(kind, type) and issubclass(kind, Operator) and not inspect.isabstract(kind) and hasattr(kind, "op"):
        return kind()
    run = getattr(kind, RUN, None)
    if not isinstance(kind, type) or not callable(run) or not isinstance(getattr(kind, "op_domain", None), str):
        expected = f"a class with a text `op_domain` and a method `{RUN}`, or a whole qdqnp.ops.operator.Operator"
        got = kind.__name__ if isinstance(kind, type) else repr(kind)
        raise ModelError("this is no operator", [Problem(where, expected, shorten(got))])
    positional = list(inspect.signature(run).parameters.values())[1:]
    by_place = [p for p in positional if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    several = any(p.kind is p.VAR_POSITIONAL for p in positional)
    fewest = sum(p.default is p.empty for p in by_place)
    domain: str = getattr(kind, "op_domain")  # noqa: B009 - mypy does not know it of `type`
    members = {
        "op": kind.__name__,
        "domain": ONNX if domain == "ai.onnx" else domain,
        "arity": (fewest, MANY if several else len(by_place)),
        "kind": kind,
        "__doc__": kind.__doc__,
    }
    made: Any = new_class(kind.__name__, (GivenOperator,), {"register": False}, lambda body: body.update(members))
    operator: Operator = made()
    return operator


def given_operators(kinds: Iterable[type | Operator]) -> tuple[Operator, ...]:
    """Return the operators of several classes, for one load.

    Raises ModelError for what is no operator, for two of one name, and for one that qdqnp has: its rules, and what a
    lowering does with it, would not be those of the class.
    """
    found: dict[tuple[str, str], Operator] = {}
    problems = Problems()
    for kind in kinds:
        operator = given_operator(kind)
        key = operator.domain, operator.op
        known = registry.lookup(*key)
        where = f"operator {distinct(*key)}"
        if known is not None and type(known) is not type(operator):
            problems.add(where, "one that qdqnp does not have", "its name", "Give it a domain of its own.")
        elif key in found:
            problems.add(where, "each operator once", "two of this name")
        found[key] = operator
    problems.raise_if_any("operators that cannot be given", ModelError)
    return tuple(found.values())


def distinct(domain: str, op: str) -> str:
    return f"{domain}.{op}" if domain else op


def distinct_name(operator: Operator) -> str:
    """Return the name that steps of an operator have: its own, with the domain where qdqnp has another of that name."""
    taken = any(op == operator.op for domain, op in registry.operators() if domain != operator.domain)
    return distinct(operator.domain, operator.op) if taken else operator.op
