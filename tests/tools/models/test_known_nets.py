"""The networks of well-known architectures, as they are measured."""

from __future__ import annotations

import math
from collections import Counter

import onnx
import pytest

from tools.models.known_nets import NETWORKS

#: Parameters of torchvision's networks once each BatchNormalization is folded into the convolution before it.
FOLDED = {"mobilenet_v2": 3_504_872 - 17_056, "resnet50": 25_557_032 - 26_560}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_valid_and_as_large_as_those_they_are_named_after(name: str) -> None:
    model = NETWORKS[name](0)
    onnx.checker.check_model(model, full_check=True)
    parameters = sum(
        math.prod(tensor.dims) for tensor in model.graph.initializer if tensor.data_type == 1 and tensor.dims
    )
    if name in FOLDED:
        assert parameters == FOLDED[name]
    else:
        operators = Counter(node.op_type for node in model.graph.node)
        assert operators["Sigmoid"] == operators["Mul"] > 20
        assert operators.keys() >= {"Split", "Concat", "Resize", "MaxPool", "Add"}
