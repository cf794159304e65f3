"""Quantize one layer of a QDQ model badly on purpose, and leave the rest as it is: what `qdqnp quality` must find.

scale       the scale of what the layer makes is 4 times too large
clipped     it is 4 times too small, so that large values are clipped
per_tensor  the layer's weights have one scale in place of one for each channel
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from tools.models.exporters.graphs import Rewriter

FACTOR = np.float32(4)
WEIGHTED = ("Conv", "Gemm", "MatMul")


class Planting:
    """A QDQ model whose constants are changed, one layer at a time."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(model)
        self.constants = dict(Rewriter(model).constants)
        self.makers = {name: node for node in model.graph.node for name in node.output}
        self._changed: dict[str, NDArray] = {}

    def layers(self) -> list[onnx.NodeProto]:
        """Return the layers with quantized weights whose result is quantized, in order."""
        return [node for node in self.model.graph.node if self._weights(node) is not None and self._quantizer(node)]

    def quantizer_of(self, layer: onnx.NodeProto) -> onnx.NodeProto:
        """Return the QuantizeLinear of what a layer makes."""
        found = self._quantizer(layer)
        assert found is not None
        return found

    def _weights(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        maker = self.makers.get(node.input[1]) if node.op_type in WEIGHTED else None
        return maker if maker is not None and maker.input[0] in self.constants else None

    def _quantizer(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        """Return the quantizer that reads a node's result, behind a Relu or a Clip or an Add of a bias."""
        readers = [other for other in self.model.graph.node if node.output[0] in other.input]
        if len(readers) != 1:
            return None
        if readers[0].op_type == "QuantizeLinear":
            return readers[0]
        return self._quantizer(readers[0]) if readers[0].op_type in ("Relu", "Clip") else None

    def rescale(self, layer: onnx.NodeProto, factor: np.float32) -> None:
        """Multiply the scale of what a layer makes; what reads it has its bias for the new scale."""
        quantizer = self.quantizer_of(layer)
        name = quantizer.input[1]
        old = self.constants[name]
        self._change(name, (old * factor).astype(np.float32))
        reads = {n.output[0] for n in self.model.graph.node if n.op_type == "DequantizeLinear" and n.input[1] == name}
        for node in self.model.graph.node:
            if node.op_type in ("Conv", "Gemm") and node.input[0] in reads:
                self._bias(node, 1 / float(factor))

    def per_tensor(self, layer: onnx.NodeProto) -> None:
        """Give a layer's weights the scale of its widest channel."""
        weights = self._weights(layer)
        assert weights is not None
        codes, scale = self.constants[weights.input[0]], self.constants[weights.input[1]]
        axis = next((a.i for a in weights.attribute if a.name == "axis"), 1)
        shape = [-1 if at == axis else 1 for at in range(codes.ndim)]
        widest = np.full_like(scale, scale.max())
        ratio = (scale / widest).reshape(shape)
        self._change(weights.input[0], np.rint(codes * ratio).astype(codes.dtype))
        self._change(weights.input[1], widest)
        self._bias(layer, (scale / widest).astype(np.float64))

    def _bias(self, layer: onnx.NodeProto, ratio: float | NDArray) -> None:
        bias = self.makers.get(layer.input[2]) if len(layer.input) > 2 else None
        if bias is None or bias.input[0] not in self.constants:
            return
        codes, scale = self.constants[bias.input[0]], self.constants[bias.input[1]]
        self._change(bias.input[0], np.rint(codes * ratio).astype(np.int32))
        self._change(bias.input[1], (scale / ratio).astype(np.float32))

    def _change(self, name: str, array: NDArray) -> None:
        self._changed[name] = self.constants[name] = array

    def finish(self) -> onnx.ModelProto:
        """Return the changed model."""
        for tensor in self.model.graph.initializer:
            if tensor.name in self._changed:
                tensor.CopyFrom(numpy_helper.from_array(self._changed[tensor.name], tensor.name))
        return self.model


KINDS: Mapping[str, Callable[[Planting, onnx.NodeProto], None]] = {
    "scale": lambda planting, layer: planting.rescale(layer, FACTOR),
    "clipped": lambda planting, layer: planting.rescale(layer, 1 / FACTOR),
    "per_tensor": Planting.per_tensor,
}


def planted(model: onnx.ModelProto, number: int, kind: str) -> tuple[str, onnx.ModelProto]:
    """Return the tensor that layer `number` makes, its codes, and the model in which it is quantized badly."""
    planting = Planting(model)
    layer = planting.layers()[number]
    KINDS[kind](planting, layer)
    return planting.quantizer_of(layer).output[0], planting.finish()
