"""MaxPool on codes or float32: the maximum needs no arithmetic, so codes stay codes. And where each maximum lies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from qdqnp.graph import Shape, Sizes, concrete
from qdqnp.kernels.float_max import float_max_pool, float_max_volume
from qdqnp.kernels.pool import choose_one_by_one, max_pool
from qdqnp.numerics.questions.sums import Index
from qdqnp.ops.geometry.pool import PoolAttributes, check_mlas, check_pool, pool_origin, pool_shape, pool_work
from qdqnp.ops.geometry.windows import as_planes, axes_for, window_for
from qdqnp.ops.node_check import NodeCheck
from qdqnp.ops.operator import Binding, Inferred, Operator
from qdqnp.program import Operand, Step
from qdqnp.quant import Array


@dataclass(frozen=True)
class MaxPoolAttributes(PoolAttributes):
    #: Whether indices count along the last axis first (0) or the first one (1); it also chooses ONNX Runtime's kernel.
    storage_order: int = 0
    #: Whether the indices are an output.
    _indices: bool = False


class MaxPool(Operator):
    op = "MaxPool"
    Attributes = MaxPoolAttributes
    monotone = True

    def attributes(self, check: NodeCheck) -> Any:
        return replace(super().attributes(check), _indices=len(check.named_outputs()) > 1)

    def infer(self, check: NodeCheck, attributes: MaxPoolAttributes) -> Inferred:
        dtype = check.dtype_in(0, (np.int8, np.uint8, np.float32), "x")
        check_pool(check, attributes)
        if attributes.storage_order not in (0, 1):
            check.refuse("attribute 'storage_order'", "0 or 1", attributes.storage_order)
        shape = pool_shape(attributes, check.value(0).shape)
        return ((dtype, shape), (np.dtype(np.int64), shape))

    def step(self, check: NodeCheck, attributes: MaxPoolAttributes) -> Step:
        outputs = [Operand(name) for name in check.named_outputs()]
        return self.make_step(check, attributes, (Operand(check.node.inputs[0]),), outputs)

    def shapes(self, attributes: MaxPoolAttributes, x: Shape) -> tuple[Shape, ...]:
        return (pool_shape(attributes, x),) * (1 + attributes._indices)

    def work(self, attributes: MaxPoolAttributes, inputs: Sequence[Sizes], output: Sizes) -> int:
        one_by_one = attributes._indices or len(attributes.kernel_shape) > 2
        kernel = attributes.kernel_shape
        return pool_work(attributes, inputs[0], output, math.prod(kernel) if one_by_one else sum(kernel))

    def compute(self, binding: Binding, x: Array) -> tuple[Array, ...]:
        attributes: MaxPoolAttributes = binding.step.attributes
        shape = concrete(pool_shape(attributes, x.shape))
        if attributes._indices or x.ndim == 5:
            return self._one_by_one(binding.step.label, attributes, x, shape)
        rows, cols = (1, *shape[2:])[-2:]
        window = window_for(attributes, attributes.kernel_shape, x.shape[2:])
        if x.dtype.kind == "f":
            plain = attributes.storage_order == 0 and window.dilations == (1, 1)
            if plain:
                check_mlas(binding.step.label, window.pads)
            return (float_max_pool(as_planes(x), window, rows, cols, x.ndim == 4, plain).reshape(shape),)
        return (max_pool(as_planes(x), window, rows, cols).reshape(shape),)

    def _one_by_one(self, label: str, attributes: MaxPoolAttributes, x: Array, shape: Sizes) -> tuple[Array, ...]:
        """Compare the elements of each window in turn, as ONNX Runtime does for indices, and in three axes."""
        axes = axes_for(attributes, attributes.kernel_shape, x.shape[2:])
        plain = attributes.storage_order == 0 and all(dilation == 1 for _, dilation, _, _ in axes)
        if x.dtype.kind == "f" and plain and not attributes._indices:
            check_mlas(label, [pad for axis in axes for pad in axis[2:]])
            return (float_max_volume(x, axes, attributes.kernel_shape, shape[2:]),)
        by_rows = attributes.storage_order == 0
        best, place = choose_one_by_one(x, axes, attributes.kernel_shape, shape[2:], by_rows)
        if not attributes._indices:
            return (best,)
        channel = np.arange(math.prod(x.shape[:2])).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))
        return best, place + channel * math.prod(x.shape[2:])

    def origin(self, step: Step, output: int, index: Index, x: Array) -> Any:
        return pool_origin(step.attributes, index, x)
