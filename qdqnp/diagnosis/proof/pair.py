"""One layer under two profiles, whose lowerings may have made steps of other code types of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from qdqnp.diagnosis.proof.anchor import Anchor, parts_of, shift_of
from qdqnp.diagnosis.proof.claim import NotProvenError, Witness
from qdqnp.errors import Problem, QdqnpError
from qdqnp.executor.fast.kernel import Definition
from qdqnp.executor.plan import BoundStep
from qdqnp.executor.work import shapes_of
from qdqnp.kernels.scratch import Scratch
from qdqnp.ops.integer.asking import Part
from qdqnp.program import Operand
from qdqnp.quant import EIGHT_BIT, Array, Quant, code_range

# Witnesses are run through the definition of a layer up to this many products, each of which may take three int64, and
# through its fast form, which is proven equal, beyond.
DEFINITION_PRODUCTS = 2**25


@dataclass(frozen=True, eq=False)
class StepPair:
    """The steps that make one tensor under the first profile and under another."""

    anchor: Anchor
    second: BoundStep
    #: The shape of every tensor of both programs by name.
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def first(self) -> BoundStep:
        return self.anchor.bound

    @property
    def sides(self) -> tuple[BoundStep, BoundStep]:
        return self.first, self.second

    @property
    def output(self) -> str:
        return self.first.step.output_names[0]

    @property
    def span(self) -> int | None:
        """The largest difference that codes of the output can have; None where it holds no 8-bit codes."""
        if any(bound.tensors[self.output].dtype not in EIGHT_BIT for bound in self.sides):
            return None
        (low, high), (least, most) = (_ends(bound) for bound in self.sides)
        return max(most - low, high - least, 0)

    def reads(self) -> list[Operand]:
        """Return the operands of the first step that are neither absent nor constants."""
        return [o for o in self.first.step.inputs if o is not None and o.name not in self.first.consts]

    def check_alike(self) -> None:
        """Raise NotProvenError where the two steps are not one operator on the same tensors, with the same numbers."""
        a, b = self.first.step, self.second.step
        if a is b:
            return
        if (a.op, a.domain) != (b.op, b.domain):
            raise NotProvenError(f"{a.op} under one profile, {b.op} under the other")
        if not _equal(a.attributes, b.attributes) or len(a.inputs) != len(b.inputs):
            raise NotProvenError(f"a {a.op} with other attributes under the other profile")
        for one, other in zip((*a.inputs, *a.outputs), (*b.inputs, *b.outputs), strict=True):
            if (one is None) != (other is None):
                raise NotProvenError("an operand that only one of the two has")
            if one is not None and other is not None and not self._operands_agree(one, other):
                raise NotProvenError(f"'{one.name}' is another tensor, or other codes, under the other profile")

    def _operands_agree(self, one: Operand, other: Operand) -> bool:
        """Tell whether two operands are the same numbers: one tensor, or constants that are equal."""
        if (one.quant is None) != (other.quant is None):
            return False
        consts = self.first.consts.get(one.name), self.second.consts.get(other.name)
        if consts[0] is None or consts[1] is None:
            same_tensor = consts[0] is consts[1] and one.name == other.name
            return same_tensor and (one.quant is None or other.quant is None or _same_reals(one.quant, other.quant))
        if one.quant is None or other.quant is None:
            return bool(np.array_equal(consts[0], consts[1]))
        same_scale = one.quant.scale.tobytes() == other.quant.scale.tobytes()
        return same_scale and np.array_equal(one.quant.centered(consts[0]), other.quant.centered(consts[1]))

    def parts(self) -> tuple[list[Part], list[Part]]:
        """Return what both steps ask, about inputs of zeros.

        Raises NotProvenError where they are no integer operators that ask the same.
        """
        found = [self.anchor.parts, parts_of(self.second, self.shapes)]
        kinds = [[type(part.question) for part in parts] for parts in found]
        if not kinds[0]:
            raise NotProvenError(f"nothing is known of {self.first.step.op} but by running it")
        if kinds[0] != kinds[1]:
            raise NotProvenError("the two profiles ask other questions")
        for bound in self.sides:
            quants = [operand.quant for operand in (*bound.step.inputs[:1], *bound.step.outputs) if operand is not None]
            if any(quant is None or quant.dtype not in EIGHT_BIT for quant in quants if quant is not None):
                raise NotProvenError("codes of more than 8 bits")
        return found[0], found[1]

    def witness(
        self, inputs: Mapping[str, Array], codes: tuple[int, int], index: tuple[int, ...] | None, total: int | None
    ) -> Witness:
        """Run an input of the layer under both profiles and return it as a witness.

            inputs: codes in the dtypes of the first step, by name.
            codes: the element's codes in the model file's dtype, as they are claimed.
            index: the element; None for any that has these codes.
            total: the element's sum, for the witness.

        Raises QdqnpError where no such element has these codes: then a claim is wrong.
        """
        tensors = self.first.tensors
        given = {name: tensors[name].as_in_file(array) for name, array in inputs.items()}
        made = [self._run(bound, given).astype(np.int64) for bound in self.sides]
        there = (made[0] == codes[0]) & (made[1] == codes[1])
        found = [tuple(int(i) for i in np.argwhere(there)[0])] if index is None and there.any() else [index]
        if found[0] is None or not there[found[0]]:
            where = f"layer '{self.first.step.label}', element {found[0]}"
            raise QdqnpError("qdqnp contradicts itself", [Problem(where, f"the codes {codes}", "others")])
        return Witness(given, self.output, found[0], codes, total)

    def _run(self, bound: BoundStep, given: Mapping[str, Array]) -> Array:
        """Return a step's output in the model file's dtype, for inputs in the file's."""
        arrays = bound.arrays({name: bound.tensors[name].as_here(array) for name, array in given.items()})
        inputs, output = shapes_of(bound.step, self.shapes)
        products = bound.operator.macs(bound.step.attributes, inputs, output)
        slow = Definition(bound.operator, bound.binding) if products <= DEFINITION_PRODUCTS else bound.kernel
        with np.errstate(all="ignore"):
            (made,) = slow(arrays, Scratch())
        return bound.tensors[bound.step.output_names[0]].as_in_file(made)


def _ends(bound: BoundStep) -> tuple[int, int]:
    """Return the least and the largest code of a step's output, in the model file's dtype."""
    operand = bound.step.outputs[0]
    low, high = code_range(bound.tensors[operand.name].dtype) if operand.quant is None else operand.quant.range
    return low + shift_of(bound), high + shift_of(bound)


def _same_reals(one: Quant, other: Quant) -> bool:
    """Tell whether codes that lie equally far above the lowest of their dtype stand for the same real numbers."""
    above = [quant.zero_point.astype(np.int64) - code_range(quant.dtype)[0] for quant in (one, other)]
    return one.scale.tobytes() == other.scale.tobytes() and bool(np.array_equal(above[0], above[1]))


def _equal(one: Any, other: Any) -> bool:
    """Compare attributes, which may hold arrays."""
    if is_dataclass(one) and type(one) is type(other):
        return all(_equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return bool(np.array_equal(one, other))
    return bool(one == other)
