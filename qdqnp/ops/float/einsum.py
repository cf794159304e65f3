"""Einsum in float32: the inputs meet one after the other, each time as one stack of matrix products.

Labels that go are summed as soon as no later input has them: in the product where both sides have them, before it where
one has. Source: ONNX Runtime 1.32, core/providers/cpu/math/einsum_utils.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.numerics.questions.sums import Index
from qdqnp.numerics.rules.float_sum import FloatSumRule, GemmCall
from qdqnp.ops.float.reductions import sums
from qdqnp.ops.geometry.equation import Equation, parse
from qdqnp.ops.movement.concat import MANY
from qdqnp.ops.node_check import FLOAT32, NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array

F = np.float32


@dataclass(frozen=True)
class EinsumAttributes:
    equation: str = ""


class Einsum(Operator):
    op = "Einsum"
    reads = ("float_sum",)
    views = True  # of one input that keeps its labels
    arity = (1, MANY)
    Attributes = EinsumAttributes
    example: ClassVar[Mapping[str, Any]] = {"equation": "...->..."}

    def infer(self, check: NodeCheck, attributes: EinsumAttributes) -> Inferred:
        for index in range(len(check.inputs)):
            check.dtype_in(index, (F,), "x")
        shapes = (check.value(index).shape for index in range(len(check.inputs)))
        return ((FLOAT32, self.shapes(attributes, *shapes)[0]),)

    def shapes(self, attributes: EinsumAttributes, *inputs: Shape) -> tuple[Shape, ...]:
        equation = parse(attributes.equation, [len(shape) for shape in inputs])
        sizes = equation.sizes(inputs)
        return (tuple(sizes[label] for label in equation.output),)

    def work(self, attributes: EinsumAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        """Count the inputs again, and what each meeting leaves."""
        equation, handled = parse(attributes.equation, [len(shape) for shape in inputs]), 0
        sizes = {label: size for label, size in equation.sizes(inputs).items() if isinstance(size, int)}
        met: set[str] = set()
        for number, labels in enumerate(equation.inputs):
            met |= set(labels)
            met = {label for label in met if (equation.last_input(label) or len(inputs)) > number}
            handled += math.prod(sizes[label] for label in met) + 2 * math.prod(inputs[number])
        return handled

    def macs(self, attributes: EinsumAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        equation = parse(attributes.equation, [len(shape) for shape in inputs])
        sizes = {label: size for label, size in equation.sizes(inputs).items() if isinstance(size, int)}
        met, total = set(equation.inputs[0]), 0
        for number, labels in enumerate(equation.inputs[1:], 1):
            met |= set(labels)
            total += math.prod(sizes[label] for label in met)
            met = {label for label in met if (equation.last_input(label) or len(inputs)) > number}
        return total

    def compute(self, binding: Binding, *inputs: Array) -> tuple[Array, ...]:
        equation, rule = parse(binding.step.attributes.equation, [x.ndim for x in inputs]), binding.profile.float_sum
        shape = concrete(self.shapes(binding.step.attributes, *(x.shape for x in inputs))[0])
        if any(x.size == 0 for x in inputs):
            return (np.zeros(shape, F),)
        labels = equation.labels
        spread = [_spread(x, given, labels) for x, given in zip(inputs, equation.inputs, strict=True)]
        gone = [[at for at, label in enumerate(labels) if equation.last_input(label) == n] for n in range(len(inputs))]
        with np.errstate(all="ignore"):
            found = _summed(spread[0], gone[0], rule) if gone[0] else spread[0]
            for right, leaving in zip(spread[1:], gone[1:], strict=True):
                found = _meet(found, right, leaving, rule)
        kept = [labels.index(label) for label in equation.output]
        rest = [at for at in range(len(labels)) if at not in kept]
        return (np.ascontiguousarray(found.transpose(*kept, *rest)).reshape(shape),)

    def origin(self, step: Step, output: int, index: Index, *inputs: Array) -> Any:
        equation: Equation = parse(step.attributes.equation, [x.ndim for x in inputs])
        place, met = dict(zip(equation.output, index, strict=True)), []
        for x, given in zip(inputs, equation.inputs, strict=True):
            spread = _spread(x, given, equation.labels)
            at: tuple[Any, ...] = tuple(
                slice(None) if label not in place else 0 if size == 1 else place[label]
                for label, size in zip(equation.labels, spread.shape, strict=True)
            )
            met.append(spread[at].reshape(-1))
        return np.concatenate(met)

    def doubt(self, binding: Binding) -> str:
        return binding.profile.float_sum.doubt(False)


def _spread(x: Array, given: str, labels: str) -> Array:
    """Return an input with one axis for each label, of size 1 for those that it does not have; a view."""
    kept = "".join(dict.fromkeys(given))
    for label in kept:
        while given.count(label) > 1:  # the diagonal of two axes is the last axis, of one label
            first = given.index(label)
            second = given.index(label, first + 1)
            x = np.diagonal(x, axis1=first, axis2=second)
            given = given[:first] + given[first + 1 : second] + given[second + 1 :] + label
    order = [label for label in labels if label in kept]
    sizes = dict(zip(given, x.shape, strict=True))
    arranged = x.transpose([given.index(label) for label in order])
    return arranged.reshape([sizes.get(label, 1) for label in labels])


def _summed(x: Array, gone: Sequence[int], rule: FloatSumRule) -> Array:
    shape = [1 if axis in gone else size for axis, size in enumerate(x.shape)]
    return np.asarray(sums(np.ascontiguousarray(x), tuple(gone), rule, einsum=True)).reshape(shape)


def _meet(left: Array, right: Array, gone: Sequence[int], rule: FloatSumRule) -> Array:
    """Multiply two arrays of one axis for each label, and sum the axes that go; they stay as axes of size 1."""
    both, lefts, rights = list[int](), list[int](), list[int]()
    for axis in range(left.ndim):
        in_left, in_right = left.shape[axis] > 1, right.shape[axis] > 1
        if axis in gone:
            if in_left and not in_right:
                left = _summed(left, [axis], rule)
            elif in_right and not in_left:
                right = _summed(right, [axis], rule)
        else:
            (both if in_left and in_right else lefts if in_left else rights).append(axis)
    order = [*both, *lefts, *gone, *rights]
    stacks, rows, terms = (math.prod(left.shape[axis] for axis in axes) for axes in (both, lefts, gone))
    columns = math.prod(right.shape[axis] for axis in rights)
    a = left.transpose(order).reshape(stacks, rows, terms)
    b = right.transpose(*both, *gone, *rights, *lefts).reshape(stacks, terms, columns)
    made = [rule.gemm(one, other, None, GemmCall(packed=False)) for one, other in zip(a, b, strict=True)]
    shape = [max(left.shape[axis], right.shape[axis]) if axis not in gone else 1 for axis in order]
    return np.stack(made).reshape(shape).transpose(np.argsort(order))
