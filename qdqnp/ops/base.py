"""What an operator is: its schema, its attributes, its shapes, and how it binds to a profile.

Each operator file in this folder holds one subclass of `Operator`. The reader calls `attributes` and `infer` to check
a model; the lowering calls `step` to put a node into a program; the executor calls `bind` and then `evaluate`.
"""

from __future__ import annotations

import math
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar

import numpy as np

from qdqnp.errors import Problems
from qdqnp.graph import MICROSOFT, ONNX, Dim, Node, Shape, Value
from qdqnp.kernels.scratch import Scratch
from qdqnp.kernels.strategy import AUTO, Proof
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.rules.requantize.protocol import Requantizer
from qdqnp.program import Operand, Step
from qdqnp.quant import CODE_DTYPES, Array, Int64, Quant

Inferred = tuple[tuple[np.dtype[Any], Shape], ...]
FLOAT32 = np.dtype(np.float32)


class Refused(Exception):  # noqa: N818 - not an error of its own: `Site` turns it into a Problem
    """Stops the check of one node; its problem has been noted."""


@dataclass
class Site:
    """One node under examination, with the values it reads. Every fault goes to `problems`."""

    node: Node
    opset: int
    inputs: tuple[Value | None, ...]
    problems: Problems

    def refuse(self, what: str, expected: str, got: object, hint: str = "") -> typing.NoReturn:
        """Note a problem of this node and stop checking it."""
        self.problems.add(f"node {self.node.label}, {what}", expected, got, hint)
        raise Refused

    def given(self, index: int) -> bool:
        return index < len(self.inputs) and self.inputs[index] is not None

    def value(self, index: int) -> Value:
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            self.refuse(f"input {index}", "a tensor", "nothing", "This input is not optional.")
        return found

    def const(self, index: int, what: str) -> Array:
        value = self.value(index)
        if value.const is None:
            self.refuse(
                f"input {index} ({what}) '{value.name}'",
                "a constant",
                "a computed tensor",
                "qdqnp needs it when the model is loaded; fold it into an initializer.",
            )
        return value.const

    def optional_const(self, index: int, what: str) -> Array | None:
        return self.const(index, what) if self.given(index) else None

    def dtype_in(self, index: int, allowed: Sequence[Any], what: str = "") -> np.dtype[Any]:
        value = self.value(index)
        kinds = [np.dtype(kind) for kind in allowed]
        if value.dtype not in kinds:
            name = f"input {index} {what} '{value.name}'".replace("  ", " ")
            self.refuse(name, " or ".join(str(kind) for kind in kinds), value.dtype)
        return value.dtype

    def rank_in(self, index: int, allowed: Sequence[int], what: str = "") -> int:
        value = self.value(index)
        if len(value.shape) not in allowed:
            ranks = " or ".join(str(rank) for rank in allowed)
            self.refuse(
                f"input {index} {what} '{value.name}'".replace("  ", " "), f"rank {ranks}", f"shape {list(value.shape)}"
            )
        return len(value.shape)

    def quant(self, scale_index: int, zero_index: int, dtype: np.dtype[Any] | None, axis: int | None = None) -> Quant:
        """The Quant that a scale input and a zero point input describe, with every check on them.

        dtype: what the zero point's dtype must be; None accepts any code type (QuantizeLinear's output type is
        the zero point's own). axis: where several scales apply, the axis they belong to.
        """
        scale = self.const(scale_index, "scale")
        if scale.dtype != FLOAT32:
            self.refuse(f"input {scale_index} (scale)", "float32", scale.dtype)
        zero = self.optional_const(zero_index, "zero point")
        if zero is None:
            zero = np.zeros((), dtype if dtype is not None else np.uint8)
        if zero.dtype not in CODE_DTYPES or (dtype is not None and zero.dtype != dtype):
            self.refuse(f"input {zero_index} (zero point)", str(dtype or "an integer code type"), zero.dtype)
        bad = ~(np.isfinite(scale) & (scale > 0))
        if bad.any():
            at = int(np.argmax(bad.reshape(-1)))
            self.refuse(
                f"input {scale_index} (scale) '{self.value(scale_index).name}', index {at}",
                "a finite scale > 0",
                scale.reshape(-1)[at],
            )
        if scale.ndim > 1 or zero.ndim > 1 or zero.size not in (1, scale.size) or scale.size == 0:
            self.refuse(
                f"inputs {scale_index} and {zero_index} (scale and zero point)",
                "one value, or as many zero points as scales along one axis",
                f"shapes {list(scale.shape)} and {list(zero.shape)}",
            )
        if scale.size == 1:
            return Quant(zero.dtype, scale.reshape(()), zero.reshape(()))
        return Quant(zero.dtype, scale, zero if zero.size > 1 else zero.reshape(()), axis)


Evaluate = Callable[[Sequence[Array | None], Scratch], tuple[Array, ...]]
Sums = Callable[[Sequence[Array | None]], Int64]
Detail = Callable[[Sequence[Array | None]], tuple[Int64, Requantizer]]
Error = Callable[[Sequence[Array | None]], Array]


@dataclass
class Bound:
    """A step bound to a profile: everything that does not depend on the inputs is computed.

    evaluate: (input arrays in operand order, None where absent; Scratch) -> output arrays. Inputs are not changed,
    outputs never alias inputs that the caller owns unless `views` says so.
    parameters: the integers and floats this layer's arithmetic uses (multipliers, offsets), for inspect and golden.
    more_parameters: (inputs) -> those that depend on the inputs' shapes.
    sums, accumulators: (inputs) -> int64 sums before bias, and with it (not wrapped), in the shape of the output, of
    operators that sum and then requantize. detail: those sums with channels moved last, and the requantizer
    that turns them into codes. certificate: how it is computed, in words; covered: channels by kind.
    doubt: why the results are not promised to be exact for the profile, '' where they are.
    error: (inputs) -> how far two float32 computations of the output in different orders can be apart, float64 in the
    output's shape; of operators whose results a profile may leave without a promise.
    """

    evaluate: Evaluate
    parameters: Mapping[str, Array] = field(default_factory=dict)
    proof: Proof | None = None
    certificate: str = ""
    covered: Mapping[str, int] = field(default_factory=dict)
    sums: Sums | None = None
    accumulators: Sums | None = None
    detail: Detail | None = None
    more_parameters: Callable[[Sequence[Array | None]], Mapping[str, Any]] | None = None
    doubt: str = ""
    error: Error | None = None
    views: bool = False  # outputs may share memory with inputs (Reshape, Transpose, Identity ...)


@dataclass(frozen=True)
class NoAttributes:
    pass


class Operator(ABC):
    """One ONNX (or com.microsoft) operator. Subclasses are stateless; one instance is in the registry."""

    op: ClassVar[str]
    domain: ClassVar[str] = ONNX
    arity: ClassVar[tuple[int, int]] = (1, 1)  # fewest and most inputs
    Attributes: ClassVar[type] = NoAttributes
    # Attributes that change no number and are accepted and dropped, e.g. QLinearConv's channels_last = 0 spelled out.
    ignored: ClassVar[frozenset[str]] = frozenset()

    # -- reading -----------------------------------------------------------------------------------------------
    def attributes(self, site: Site) -> Any:
        """The node's attributes as the operator's dataclass; constant inputs such as Reshape's shape included."""
        return parse_attributes(self.Attributes, site, self.ignored)

    @abstractmethod
    def infer(self, site: Site, attributes: Any) -> Inferred:
        """dtype and shape of every output; refuses what is invalid or unsupported."""

    # -- lowering ----------------------------------------------------------------------------------------------
    def step(self, site: Site, attributes: Any) -> Step:
        """The node as a step. Operators with scale inputs fold them into their operands."""
        inputs = tuple(Operand(name) if name else None for name in site.node.inputs)
        outputs = tuple(Operand(name) for name in site.node.outputs if name)
        return self.make_step(site, attributes, inputs, outputs)

    def make_step(
        self, site: Site, attributes: Any, inputs: Sequence[Operand | None], outputs: Sequence[Operand]
    ) -> Step:
        return Step(self.op, self.domain, attributes, tuple(inputs), tuple(outputs), site.node.origins)

    # -- running -----------------------------------------------------------------------------------------------
    @abstractmethod
    def shapes(self, attributes: Any, inputs: Sequence[Shape | None]) -> tuple[Shape, ...]:
        """Output shapes from input shapes; unknown sizes (None or names) stay unknown. Raises ShapeError."""

    @abstractmethod
    def bind(self, step: Step, consts: Mapping[str, Array], profile: Profile, strategy: str = AUTO) -> Bound:
        """Fix everything that does not depend on the inputs. consts: the step's constant inputs by name."""

    def macs(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        """Multiply-accumulates for concrete shapes; 0 for operators that have none."""
        return 0

    def work(self, step: Step, inputs: Sequence[Shape | None], outputs: Sequence[Shape]) -> int:
        """Elements that a run handles besides its outputs, for concrete shapes: work memory, and what takes as long.
        Only the bound on what a model may ask for reads it; 0 where the outputs say enough."""
        return 0


class ShapeError(Exception):
    """Input shapes that do not fit an operator."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected, self.got = expected, got


def parse_attributes(kind: type, site: Site, ignored: frozenset[str] = frozenset()) -> Any:
    """Fill an operator's attribute dataclass from a node; refuses unknown names and wrong types.

    A dataclass field whose name starts with '_' is no ONNX attribute (the operator fills it from inputs).
    """
    known = _attribute_types(kind)
    values: dict[str, Any] = {}
    for name, value in site.node.attributes.items():
        if name in ignored:
            continue
        if name not in known:
            site.refuse(f"attribute '{name}'", f"one of {sorted(known)}" if known else "no attribute", value)
        if not _fits(value, known[name]):
            site.refuse(f"attribute '{name}'", _type_name(known[name]), repr(value))
        if isinstance(value, float) and not math.isfinite(value):
            site.refuse(f"attribute '{name}'", "a finite number", value)
        values[name] = value
    return kind(**values)


@cache  # the annotations are text, which typing compiles anew each time
def _attribute_types(kind: type) -> Mapping[str, Any]:
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in fields(kind) if not f.name.startswith("_")}


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, types.UnionType):
        return any(_fits(value, option) for option in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        element = typing.get_args(hint)[0]
        return isinstance(value, tuple) and all(isinstance(item, element) for item in value)
    if hint is bool:
        return isinstance(value, int) and value in (0, 1)
    return isinstance(value, hint)


def _type_name(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint)) if typing.get_origin(hint) is None else str(hint)


def known(dim: Dim) -> bool:
    """Whether a size is a number here."""
    return isinstance(dim, int)


def broadcast_shapes(shapes: Sequence[Shape]) -> Shape:
    """NumPy broadcasting on shapes with unknown sizes: an unknown size meets 1 or anything and stays unknown."""
    rank = max(len(shape) for shape in shapes)
    result: list[Dim] = []
    for axis in range(-rank, 0):
        dims = [shape[axis] for shape in shapes if -axis <= len(shape)]
        numbers = {dim for dim in dims if isinstance(dim, int) and dim != 1}
        if len(numbers) > 1:
            raise ShapeError("shapes that broadcast together", " and ".join(str(list(s)) for s in shapes))
        others = [dim for dim in dims if not isinstance(dim, int)]
        result.append(numbers.pop() if numbers else (others[0] if others else 1))
    return tuple(result)


def sums_apart(magnitude: Array, roundings: int) -> Array:
    """How far two float32 results of the same real value can be apart, each after so many roundings of sums whose
    terms' magnitudes add up to `magnitude`: each is within gamma = n u / (1 - n u) of it, u = 2^-24 (Higham, Accuracy
    and Stability of Numerical Algorithms, section 3.1), and each rounding of a subnormal by its smallest step."""
    share = roundings * 2.0**-24
    return np.asarray(2 * share / (1 - share) * magnitude + 2 * roundings * 2.0**-149)


__all__ = [
    "AUTO",
    "FLOAT32",
    "MICROSOFT",
    "ONNX",
    "Bound",
    "Error",
    "Inferred",
    "NoAttributes",
    "Operator",
    "Refused",
    "ShapeError",
    "Site",
    "broadcast_shapes",
    "known",
    "parse_attributes",
    "sums_apart",
]
