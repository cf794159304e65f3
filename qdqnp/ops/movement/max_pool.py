"""MaxPool on codes or float32: the maximum needs no arithmetic, so codes stay codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.kernels.float_max import float_max_pool
from qdqnp.kernels.pool import max_pool
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.pool import PoolAttributes, check_mlas, check_pool, pool_origin, pool_shape, pool_work
from qdqnp.ops.geometry.windows import as_planes, window_for
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class MaxPoolAttributes(PoolAttributes):
    #: The order of the indices, an output that is refused; it also chooses ONNX Runtime's kernel.
    storage_order: int = 0


class MaxPool(Operator):
    op = "MaxPool"
    only = "without indices"
    Attributes = MaxPoolAttributes
    monotone = True

    def infer(self, check: NodeCheck, attributes: MaxPoolAttributes) -> Inferred:
        dtype = check.dtype_in(0, (np.int8, np.uint8, np.float32), "x")
        if len([name for name in check.node.outputs if name]) > 1:
            hint = "Only the values are computed."
            check.refuse("output 1 (Indices)", "no such output", check.node.outputs[1], hint)
        check_pool(check, attributes)
        if attributes.storage_order not in (0, 1):
            check.refuse("attribute 'storage_order'", "0 or 1", attributes.storage_order)
        return ((dtype, pool_shape(attributes, check.value(0).shape)),)

    def shapes(self, attributes: MaxPoolAttributes, x: Shape) -> tuple[Shape, ...]:
        return (pool_shape(attributes, x),)

    def work(self, attributes: MaxPoolAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        return pool_work(attributes, inputs[0], output, sum(attributes.kernel_shape))  # one axis after the other

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        attributes: MaxPoolAttributes = binding.step.attributes
        shape = concrete(pool_shape(attributes, x.shape))
        rows, cols = (1, *shape[2:])[-2:]
        window = window_for(attributes, attributes.kernel_shape, x.shape[2:])
        if x.dtype.kind == "f":
            plain = attributes.storage_order == 0 and window.dilations == (1, 1)
            if plain:
                check_mlas(binding.step.label, window)
            return (float_max_pool(as_planes(x), window, rows, cols, x.ndim == 4, plain).reshape(shape),)
        return (max_pool(as_planes(x), window, rows, cols).reshape(shape),)

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return pool_origin(step.attributes, index, x)
