"""One operator of a TFLite network, as TensorFlow's converter writes it in TOSA, run by the reference model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.oracles.tflite import Operator, Tensor
from tests.oracles.tosa import Graph, Value
from tests.oracles.tosa_softmax import softmax

Array = NDArray[Any]
SAME = 0  # TFLite's number of that padding


def _pair(tensor: Tensor) -> tuple[float, int]:
    return float(tensor.scale[0]), int(tensor.zero_point[0])


def run(op: Operator, double: bool) -> Array:
    """The operator's codes. Raises ValueError where the reference model finds a value unpredictable."""
    graph = Graph(double)
    constant = {"CONV_2D": 1, "MEAN": 1}.get(op.kind, len(op.inputs))
    values = [graph.input(tensor.values) for tensor in op.inputs[:constant] if tensor is not None]
    graph.keep(_made(graph, op, values))
    return graph.run()[0]


def _made(graph: Graph, op: Operator, values: list[Value]) -> Value:
    x, *rest = (tensor for tensor in op.inputs if tensor is not None)
    y, options = op.output, op.options
    (s_x, z_x), (s_y, z_y) = _pair(x), _pair(y)
    match op.kind:
        case "ADD":
            return graph.add(*values, _pair(x), _pair(rest[0]), (s_y, z_y))
        case "MUL":
            return graph.mul(*values, _pair(x), _pair(rest[0]), (s_y, z_y))
        case "SOFTMAX":
            return softmax(graph, values[0], s_x, z_x, z_y)
        case "QUANTIZE":
            return graph.rescale(values[0], s_x / s_y, z_x, z_y)
        case "MEAN":
            axes = [int(axis) for axis in rest[0].values.reshape(-1)]
            return graph.mean(values[0], _pair(x), (s_y, z_y), axes)
        case "AVERAGE_POOL_2D":
            kernel, strides = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
            pads = _same(x.values.shape[1:3], kernel, strides) if options.padding == SAME else [0, 0, 0, 0]
            return graph.average(values[0], (z_x, z_y), kernel, strides, pads)
        case "CONV_2D":
            w, bias = rest
            sums = graph.conv(values[0], w.values, bias.values, z_x, [1, 1], [0, 0, 0, 0], [1, 1])
            return graph.rescale(sums, s_x * w.scale.astype(np.float64) / s_y, 0, z_y)
    raise NotImplementedError(op.kind)


def _same(sizes: Any, kernel: Any, strides: Any) -> list[int]:
    """Top, bottom, left, right of TFLite's SAME padding."""
    pads = []
    for length, extent, stride in zip(sizes, kernel, strides, strict=True):
        total = max((-(-length // stride) - 1) * stride + extent - length, 0)
        pads += [total // 2, total - total // 2]
    return pads
