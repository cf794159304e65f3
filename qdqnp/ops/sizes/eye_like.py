"""EyeLike makes a matrix of the input's shape, with ones on a diagonal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.element_types import DTYPES
from qdqnp.graph import Shape
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array

KINDS = ", ".join(map(str, DTYPES.values()))


@dataclass(frozen=True)
class EyeLikeAttributes:
    #: The output's type by its number in ONNX; None for the input's.
    dtype: int | None = None
    #: Which diagonal: 0 the main one, above it positive.
    k: int = 0


class EyeLike(Operator):
    op = "EyeLike"
    Attributes = EyeLikeAttributes
    of_shapes = True

    def attributes(self, check: NodeCheck) -> Any:
        given: EyeLikeAttributes = super().attributes(check)
        if given.dtype is not None and given.dtype not in DTYPES:
            check.refuse("attribute 'dtype'", f"the number of one of {KINDS}", given.dtype)
        return given

    def infer(self, check: NodeCheck, attributes: EyeLikeAttributes) -> Inferred:
        check.rank_in(0, (2,), "x")
        dtype = check.value(0).dtype if attributes.dtype is None else DTYPES[attributes.dtype]
        return ((dtype, check.value(0).shape),)

    def shapes(self, attributes: EyeLikeAttributes, x: Shape) -> tuple[Shape, ...]:
        return (x,)

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        attributes: EyeLikeAttributes = binding.step.attributes
        dtype: Any = x.dtype if attributes.dtype is None else DTYPES[attributes.dtype]
        k = max(min(attributes.k, x.shape[1]), -x.shape[0])
        return (np.eye(x.shape[0], x.shape[1], k, dtype),)

    def known(self, attributes: Any, *shapes: Array) -> Sequence[Array] | None:
        return None

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return 0  # it is filled in
