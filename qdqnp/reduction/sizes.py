"""Make the tensors of a model smaller: one size, everywhere where it stands, becomes a smaller one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

#: Integer constants of at most so many elements may be shapes.
_A_SHAPE = 16
#: What a size is tried to become.
_SMALLER = (1, 2, 4)


def sizes_of(model: onnx.ModelProto) -> list[int]:
    """Return the sizes of inputs and constants that are above 1, the largest first."""
    found = {
        dim.dim_value
        for info in model.graph.input
        for dim in info.type.tensor_type.shape.dim
        if dim.HasField("dim_value")
    }
    found |= {size for tensor in model.graph.initializer for size in tensor.dims}
    return sorted((size for size in found if size > 1), reverse=True)


def smaller(size: int) -> Iterator[int]:
    """Yield the sizes that a size is tried to become, the smallest first."""
    yield from (to for to in _SMALLER if to < size)
    if size // 2 > _SMALLER[-1]:
        yield size // 2


def resized(model: onnx.ModelProto, size: int, to: int) -> onnx.ModelProto:
    """Return the model with a size made smaller in all inputs, constants, and constants that state shapes."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    for info in graph.input:
        for dim in info.type.tensor_type.shape.dim:
            if dim.HasField("dim_value") and dim.dim_value == size:
                dim.dim_value = to
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.int64 and array.ndim < 2 and array.size <= _A_SHAPE and size in array:
            array = np.where(array == size, to, array)
        if size in array.shape:
            array = array[tuple(slice(to) if have == size else slice(None) for have in array.shape)]
        tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("group", "shape", "split"):
                attribute.i = to if attribute.i == size else attribute.i
                for at, value in enumerate(attribute.ints):
                    attribute.ints[at] = to if value == size else value
    forget_shapes(made)
    return made


def forget_shapes(model: onnx.ModelProto) -> None:
    """Have the shapes of computed tensors inferred anew; sizes of outputs that onnx cannot infer become names."""
    del model.graph.value_info[:]
    ranks = {info.name: len(info.type.tensor_type.shape.dim) for info in model.graph.output}
    for info in model.graph.output:
        info.type.tensor_type.ClearField("shape")
    with suppress(Exception):  # onnx raises several classes; the candidate is refused later where it must be
        inferred = shape_inference.infer_shapes(model)
        del model.graph.output[:]
        model.graph.output.extend(inferred.graph.output)
    for number, info in enumerate(model.graph.output):
        if not info.type.tensor_type.HasField("shape"):
            for at in range(ranks[info.name]):
                info.type.tensor_type.shape.dim.add().dim_param = f"s{number}_{at}"
