"""Examines one node of a file: the values it reads, its attributes, and every fault that is found."""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

import numpy as np

from qdqnp.errors import Problems
from qdqnp.graph import Node, Value
from qdqnp.quant import CODE_DTYPES, Array, Quant

FLOAT32 = np.dtype(np.float32)
#: The most scales along one axis that are known only when a step runs.
MAX_RUNTIME_SCALES = 2**16


class Refused(Exception):  # noqa: N818 - not an error of its own: `NodeCheck` turns it into a Problem
    """Stops the check of one node, whose problem has been noted."""


@dataclass
class NodeCheck:
    """One node under examination, with the values it reads. Every fault goes to `problems`."""

    node: Node
    opset: int
    inputs: tuple[Value | None, ...]
    problems: Problems
    #: The scales and zero points that are no constants, by their number: `quant` puts ones and zeros in their place.
    runtime_scales: set[int] = field(default_factory=set, init=False)
    #: The inputs that say sizes, axes and the like and are known when a run begins, by their number.
    runtime_sizes: set[int] = field(default_factory=set, init=False)

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

    def named_outputs(self) -> list[str]:
        """Return the names of the outputs that are wanted; refuse one without a name in front of one that has one."""
        names = list(self.node.outputs)
        while names and not names[-1]:
            names.pop()
        if not all(names):
            hint = "Name it; what nobody reads does no harm."
            self.refuse("outputs", "a name for each in front of the last", "an unnamed one", hint)
        return names

    def known(self, index: int) -> Array | None:
        """Return an input that is a constant, or computed from constants and sizes; None for others.

        Its elements are objects where some of them are not known yet: numbers, names of sizes, and None.
        """
        value = self.value(index)
        return value.const if value.const is not None else value.known

    def whole(self, index: int) -> Array | None:
        """Return an input all of whose elements are known; None for others."""
        found = self.known(index)
        return None if found is None or found.dtype == object else found

    def const(self, index: int, what: str) -> Array:
        found = self.whole(index)
        if found is None:
            depends = "on the sizes of the inputs" if self.known(index) is not None else "on data"
            self.refuse(
                f"input {index} ({what}) '{self.value(index).name}'",
                "a constant",
                f"a tensor that depends {depends}",
                "qdqnp needs it when the model is loaded. Fix the sizes of the inputs, or let the model end in front "
                "of it (outputs=[...], --outputs).",
            )
        return found

    def late(self, index: int, what: str) -> Array:
        """Return an input that must be known before a run, as objects: numbers, names of sizes, and None.

        Where some are not known, `runtime_sizes` has its number, and the step is made anew when they are.
        """
        found = self.known(index)
        if found is None:
            self.refuse(
                f"input {index} ({what}) '{self.value(index).name}'",
                "a constant, or a tensor that is computed from sizes alone",
                "a tensor that depends on data",
                "The sizes that follow from it are not known before a run. Let the model end in front of it "
                "(outputs=[...], --outputs).",
            )
        if found.dtype == object:
            self.runtime_sizes.add(index)
        return np.asarray(found).astype(object)

    def late_array(self, index: int, what: str, stand_in: int) -> Array:
        """Return an input that must be known before a run; where a run alone knows it, numbers that stand in its place.

        `runtime_sizes` has the number of the input then, as `late` says.
        """
        found = self.whole(index)
        if found is not None:
            return found
        return np.full(self.late(index, what).shape, stand_in, self.value(index).dtype)

    def optional_const(self, index: int, what: str) -> Array | None:
        return self.const(index, what) if self.given(index) else None

    def dtype_in(self, index: int, allowed: Sequence[Any], what: str = "") -> np.dtype[Any]:
        value = self.value(index)
        kinds = [np.dtype(kind) for kind in allowed]
        if value.dtype not in kinds:
            name = f"input {index} {what} '{value.name}'".replace("  ", " ")
            self.refuse(name, " or ".join(str(kind) for kind in kinds), value.dtype)
        return value.dtype

    def channels_first(self) -> None:
        """Refuse the attribute channels_last."""
        if self.node.attributes.get("channels_last", 0) != 0:
            hint = "Save the model without layout optimization."
            self.refuse("attribute 'channels_last'", "0 (NCHW)", 1, hint)

    def rank_in(self, index: int, allowed: Sequence[int], what: str = "") -> int:
        value = self.value(index)
        if len(value.shape) not in allowed:
            ranks = " or ".join(str(rank) for rank in allowed)
            self.refuse(
                f"input {index} {what} '{value.name}'".replace("  ", " "), f"rank {ranks}", f"shape {list(value.shape)}"
            )
        return len(value.shape)

    def _parameter(self, index: int, what: str, instead: int, rank: int) -> Array:
        """Return a scale or zero point that is a constant, or an array of `instead` in its place.

        rank: how many axes it may have where it has any.
        """
        value = self.value(index)
        known = self.whole(index)
        if known is not None:
            return known
        sizes = [size for size in value.shape if isinstance(size, int)]
        if len(value.shape) not in (0, rank) or len(sizes) < len(value.shape) or math.prod(sizes) > MAX_RUNTIME_SCALES:
            expected = (
                f"a constant, or a tensor of rank 0 or {rank} of known sizes, at most {MAX_RUNTIME_SCALES} in all"
            )
            self.refuse(f"input {index} ({what}) '{value.name}'", expected, f"shape {list(value.shape)}")
        self.runtime_scales.add(index)
        return np.full(sizes, instead, value.dtype)

    def quant(
        self,
        scale_index: int,
        zero_index: int,
        dtype: np.dtype[Any] | None,
        axis: int | None = None,
        *,
        block_size: int = 0,
        scales: Sequence[np.dtype[Any]] = (FLOAT32,),
        kinds: Sequence[np.dtype[Any]] = CODE_DTYPES,
    ) -> Quant:
        """Return the Quant that a scale input and a zero point input describe, with every check on them.

        dtype: what the zero point's dtype must be; None accepts any code type, as QuantizeLinear's output type is
            the zero point's own.
        axis: the axis to which the scales belong where several apply.
        block_size: how many codes along `axis` share a scale; 0 for all of a slice.
        scales: the types that scales may have; they become float32, which holds all their values.
        kinds: the types that codes may have.

        Of what is no constant, type and shape are checked; `runtime_scales` then has its number.
        """
        rank = len(self.value(0).shape) if block_size else 1
        scale = self._parameter(scale_index, "scale", 1, rank)
        if scale.dtype not in scales:
            self.refuse(f"input {scale_index} (scale)", " or ".join(map(str, scales)), scale.dtype)
        scale = scale.astype(np.float32)
        if self.given(zero_index):
            zero = self._parameter(zero_index, "zero point", 0, rank)
        else:
            zero = np.zeros((), dtype if dtype is not None else np.uint8)
        if zero.dtype not in kinds or (dtype is not None and zero.dtype != dtype):
            self.refuse(f"input {zero_index} (zero point)", str(dtype or "an integer code type"), zero.dtype)
        bad = ~(np.isfinite(scale) & (scale > 0))
        if bad.any():
            at = int(np.argmax(bad.reshape(-1)))
            self.refuse(
                f"input {scale_index} (scale) '{self.value(scale_index).name}', index {at}",
                "a finite scale > 0",
                scale.reshape(-1)[at],
            )
        if block_size:
            return self._blocks(scale_index, zero_index, scale, zero, axis, block_size)
        if scale.ndim > 1 or zero.ndim > 1 or zero.size not in (1, scale.size) or scale.size == 0:
            self.refuse(
                f"inputs {scale_index} and {zero_index} (scale and zero point)",
                "one value, or as many zero points as scales along one axis",
                f"shapes {list(scale.shape)} and {list(zero.shape)}",
            )
        if scale.size == 1:
            return Quant(zero.dtype, scale.reshape(()), zero.reshape(()))
        return Quant(zero.dtype, scale, zero if zero.size > 1 else zero.reshape(()), axis)

    def _blocks(
        self, scale_index: int, zero_index: int, scale: Array, zero: Array, axis: int | None, block_size: int
    ) -> Quant:
        """Return the Quant of scales and zero points that blocks have."""
        rank = len(self.value(0).shape)
        if block_size < 0:
            self.refuse("attribute 'block_size'", "0, or a size of at least 1", block_size)
        if axis is None or not -rank <= axis < rank:
            self.refuse("attribute 'axis'", f"an axis of rank {rank}", axis)
        if scale.ndim != rank or (self.given(zero_index) and zero.shape != scale.shape) or scale.size == 0:
            self.refuse(
                f"inputs {scale_index} and {zero_index} (scale and zero point)",
                f"{rank} axes, and the same shape, one value for each block",
                f"shapes {list(scale.shape)} and {list(zero.shape)}",
            )
        return Quant(zero.dtype, scale, zero, axis % rank, block_size=block_size)


def parse_attributes(kind: type, check: NodeCheck, ignored: frozenset[str] = frozenset()) -> Any:
    """Fill an operator's attribute dataclass from a node; refuse unknown names and wrong types.

    A dataclass field whose name starts with '_' is not an ONNX attribute (the operator fills it from inputs).
    """
    known = _attribute_types(kind)
    values: dict[str, Any] = {}
    for name, value in check.node.attributes.items():
        if name in ignored:
            continue
        if name not in known:
            check.refuse(f"attribute '{name}'", f"one of {sorted(known)}" if known else "no attribute", value)
        if not _fits(value, known[name]):
            check.refuse(f"attribute '{name}'", _type_name(known[name]), repr(value))
        if isinstance(value, float) and not math.isfinite(value):
            check.refuse(f"attribute '{name}'", "a finite number", value)
        values[name] = value
    return kind(**values)


@cache  # the annotations are text, which typing would compile again each time
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
    return isinstance(value, typing.get_origin(hint) or hint)


def _type_name(hint: Any) -> str:
    return getattr(hint, "__name__", str(hint)) if typing.get_origin(hint) is None else str(hint)
