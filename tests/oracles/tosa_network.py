"""A quantized network as a TOSA graph: every layer by TOSA's own operators, every tensor an output.

Only names, attributes, scales and constants are qdqnp's; the integers of each RESCALE are the oracle's, and the
reference model computes. Images are NCHW in a program, NHWC in TOSA.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qdqnp.program import Program, Step
from qdqnp.quant import Quant
from tests.oracles.tosa import Graph, Value

Array = NDArray[Any]
HOST = ("QuantizeLinear", "DequantizeLinear")  # what the host computes, before and after


def tensors(program: Program, codes: Mapping[str, Array], double: bool) -> dict[str, Array]:
    """Every int8 tensor of the program as the reference model computes it, by name.

    codes: what the host quantizes, by name.
    """
    graph = Graph(double)
    values = {name: graph.input(_nhwc(array)) for name, array in codes.items()}
    kept: list[str] = []
    for step in program.steps:
        if step.op in HOST:
            continue
        made = _step(graph, step, values, program)
        values[step.outputs[0].name] = graph.keep(made)
        kept.append(step.outputs[0].name)
    found = graph.run()
    return {name: _nchw(array) for name, array in zip(kept, found, strict=True)}


def _nhwc(array: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def _nchw(array: Array) -> Array:
    return np.moveaxis(array, -1, 1) if array.ndim == 4 else array


def _pair(quant: Quant) -> tuple[float, int]:
    return float(quant.scale), int(quant.zero_point)


def _pads(attributes: Any) -> list[int]:
    """Top, bottom, left, right of ONNX's top, left, bottom, right."""
    top, left, bottom, right = attributes.pads or (0, 0, 0, 0)
    return [top, bottom, left, right]


def _step(graph: Graph, step: Step, values: Mapping[str, Value], program: Program) -> Value:
    x = values.get(step.inputs[0].name) if step.inputs[0] else None
    assert x is not None
    match step.op:
        case "QLinearConv":
            return _conv(graph, step, x, program)
        case "QLinearAdd":
            b = step.inputs[1]
            assert b is not None
            return graph.add(x, values[b.name], _pair(step.quant(0)), _pair(step.quant(1)), _pair(step.y))
        case "QLinearConcat":
            parts = []
            for index, operand in enumerate(step.inputs):
                assert operand is not None
                one, (s_y, z_y) = values[operand.name], _pair(step.y)
                scale, zero = _pair(step.quant(index))
                same = (scale, zero) == (s_y, z_y)
                parts.append(one if same else graph.rescale(one, scale / s_y, zero, z_y))
            shape = (*x.shape[:3], sum(part.shape[3] for part in parts))
            assert step.attributes.axis == 1
            return graph.op("Concat", parts, shape, np.int8, 3)
        case "QLinearGlobalAveragePool":
            return graph.mean(x, _pair(step.quant(0)), _pair(step.y))
        case "MaxPool":
            attributes = step.attributes
            strides = list(attributes.strides or (1, 1))
            return graph.maximum(x, list(attributes.kernel_shape), strides, _pads(attributes))
        case "Flatten":
            assert x.shape[1:3] == (1, 1)
            return graph.reshaped(x, (x.shape[0], x.shape[3]))
    raise NotImplementedError(step.op)


def _const(program: Program, step: Step, index: int) -> Array:
    operand = step.inputs[index]
    assert operand is not None
    found = program.tensors[operand.name].const
    assert found is not None
    return found


def _conv(graph: Graph, step: Step, x: Value, program: Program) -> Value:
    weights, attributes = _const(program, step, 1), step.attributes
    groups = attributes.group
    dense = np.zeros((weights.shape[0], x.shape[3], *weights.shape[2:]), np.int8)  # TOSA's CONV2D has no groups
    outs, ins = weights.shape[0] // groups, x.shape[3] // groups
    for g in range(groups):
        rows = slice(g * outs, (g + 1) * outs)
        dense[rows, g * ins : (g + 1) * ins] = weights[rows]
    bias = np.zeros(len(dense), np.int32) if len(step.inputs) < 3 else _const(program, step, 2)
    (s_x, z_x), (s_y, z_y) = _pair(step.quant(0)), _pair(step.y)
    assert not np.any(step.quant(1).zero_point)
    sums = graph.conv(
        x,
        np.ascontiguousarray(np.moveaxis(dense, 1, -1)),
        bias,
        z_x,
        list(attributes.strides or (1, 1)),
        _pads(attributes),
        list(attributes.dilations or (1, 1)),
    )
    scales = step.quant(1).scale.astype(np.float64).reshape(-1)
    return graph.rescale(sums, s_x * scales / s_y, 0, z_y)
