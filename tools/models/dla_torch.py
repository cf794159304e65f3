"""A Deep Layer Aggregation network in PyTorch, read off the same tape as its ONNX file: what `train` trains.

The names of its parameters are those of timm, which `build_dla` reads. Importing this file imports torch.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import nn

from tools.models.dla import INPUT, OUTPUT, Architecture, Layer, describe
from tools.models.dla_onnx import EPSILON


class DlaNetwork(nn.Module):
    """The network: pictures float32 (batch, 3, height, width) in, scores float32 (batch, classes) out."""

    def __init__(self, architecture: Architecture, classes: int) -> None:
        super().__init__()
        self.tape = describe(architecture, classes)
        self.uses = Counter(name for layer in self.tape for name in layer.inputs)
        for layer in self.tape:
            shape = layer.conv
            if shape is None:
                continue
            padding = shape.kernel // 2
            conv = nn.Conv2d(
                *(shape.inputs, shape.outputs, shape.kernel, shape.stride, padding),
                groups=shape.groups,
                bias=shape.norm is None,
            )
            _put(self, layer.name, conv)
            if shape.norm is not None:
                # He et al., 2015, over the outputs, as the authors' code starts
                nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
                _put(self, shape.norm, nn.BatchNorm2d(shape.outputs, eps=EPSILON))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        tensors, left = {INPUT: pictures}, dict(self.uses)
        for layer in self.tape:
            tensors[layer.output] = self._layer(layer, [tensors[name] for name in layer.inputs])
            for name in layer.inputs:
                left[name] -= 1
                if not left[name]:
                    tensors.pop(name, None)
        return tensors[OUTPUT]

    def _layer(self, layer: Layer, inputs: list[torch.Tensor]) -> torch.Tensor:
        if layer.conv is not None:
            made = self.get_submodule(layer.name)(*inputs)
            return made if layer.conv.norm is None else self.get_submodule(layer.conv.norm)(made)
        if layer.op == "Concat":
            return torch.cat(inputs, 1)
        return _OPERATORS[layer.op](*inputs)


_OPERATORS = {
    "Relu": nn.functional.relu,
    "Add": torch.add,
    "MaxPool": lambda x: nn.functional.max_pool2d(x, 2),
    "GlobalAveragePool": lambda x: nn.functional.adaptive_avg_pool2d(x, 1),
    "Flatten": lambda x: torch.flatten(x, 1),
}


def _put(root: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module where its name, such as level3.tree1.conv1, says."""
    *parents, last = name.split(".")
    place = root
    for parent in parents:
        if not hasattr(place, parent):
            place.add_module(parent, nn.Module())
        place = place.get_submodule(parent)
    place.add_module(last, module)
