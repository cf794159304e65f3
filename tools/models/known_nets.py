"""Build float networks of well-known architectures with seeded weights, for measurements at their real sizes.

mobilenet_v2   inverted residuals, depthwise 3x3, ReLU6 (Sandler et al., 2018)
resnet50       bottlenecks of 1x1, 3x3, 1x1, ReLU (He et al., 2015)
yolo_neck      split blocks, pools in a row, upsampling, Concat, SiLU: backbone and neck of a small detector

BatchNormalization is left out, as if folded. The last convolution of a residual branch has smaller weights, so that
sums do not grow from block to block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx

from tools.models.dla import INPUT
from tools.models.exporters.nets import silu
from tools.models.zoo_nets import Net, halves

CLASSES = 1000
SIDE = 224

#: Of each stage: expansion, channels, blocks, and the stride of the first block.
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
#: Of each stage: channels inside a bottleneck, blocks, and the stride of the first block.
RESNET50 = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


def classifier(net: Net, name: str, x: str) -> onnx.ModelProto:
    pooled = net.node("Flatten", net.node("GlobalAveragePool", x))
    return net.model(name, net.gemm(pooled, CLASSES, transB=1), (1, 3, SIDE, SIDE))


def mobilenet_v2(seed: int = 0) -> onnx.ModelProto:
    """Build MobileNetV2 of width 1."""
    net = Net(seed)
    x = net.relu6(net.conv(INPUT, 32, kernel=3, stride=2))
    for expansion, channels, blocks, stride in MOBILENET_V2:
        for block in range(blocks):
            y = x if expansion == 1 else net.relu6(net.conv(x, expansion * net.channels[x]))
            y = net.conv(net.relu6(net.depthwise(y, stride=1 if block else stride)), channels, gain=0.5)
            x = net.node("Add", x, y) if block else y
    return classifier(net, "mobilenet_v2", net.relu6(net.conv(x, 1280)))


def resnet50(seed: int = 0) -> onnx.ModelProto:
    """Build ResNet-50; a stage's stride is that of its first 3x3."""
    net = Net(seed)
    x = net.relu(net.conv(INPUT, 64, kernel=7, stride=2))
    x = net.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    for channels, blocks, stride in RESNET50:
        for block in range(blocks):
            step = 1 if block else stride
            y = net.relu(net.conv(net.relu(net.conv(x, channels)), channels, kernel=3, stride=step))
            y = net.conv(y, 4 * channels, gain=0.5)
            shortcut = x if block else net.conv(x, 4 * channels, stride=step)
            x = net.relu(net.node("Add", y, shortcut))
    return classifier(net, "resnet50", x)


def activated(net: Net, x: str, out: int, kernel: int = 1, stride: int = 1) -> str:
    return silu(net, net.conv(x, out, kernel, stride))


def split_block(net: Net, x: str, out: int, shortcut: bool) -> str:
    """Change one half of the channels by two 3x3, and join all three."""
    kept, changed = halves(net, activated(net, x, out), "Split")
    y = activated(net, activated(net, changed, out // 2, kernel=3), out // 2, kernel=3)
    y = net.node("Add", changed, y) if shortcut else y
    return activated(net, net.node("Concat", kept, changed, y, channels=out * 3 // 2, axis=1), out)


def upsampled(net: Net, x: str) -> str:
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    return net.node("Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric")


def joined(net: Net, *parts: str) -> str:
    return net.node("Concat", *parts, channels=sum(net.channels[part] for part in parts), axis=1)


def yolo_neck(seed: int = 0) -> onnx.ModelProto:
    """Build a backbone of four strides, pools in a row, and a neck of two scales, whose average is classified."""
    net = Net(seed)
    x = activated(net, activated(net, INPUT, 16, kernel=3, stride=2), 32, kernel=3, stride=2)
    x = split_block(net, x, 32, shortcut=True)
    fine = split_block(net, activated(net, x, 64, kernel=3, stride=2), 64, shortcut=True)
    coarse = split_block(net, activated(net, fine, 128, kernel=3, stride=2), 128, shortcut=True)
    pooled = [activated(net, coarse, 64)]
    for _ in range(3):
        pooled.append(net.node("MaxPool", pooled[-1], kernel_shape=[5, 5], pads=[2] * 4))
    coarse = activated(net, joined(net, *pooled), 128)
    fine = split_block(net, joined(net, upsampled(net, coarse), fine), 64, shortcut=False)
    smaller = activated(net, fine, 64, kernel=3, stride=2)
    return classifier(net, "yolo_neck", split_block(net, joined(net, smaller, coarse), 128, shortcut=False))


NETWORKS: Mapping[str, Callable[[int], onnx.ModelProto]] = {
    "mobilenet_v2": mobilenet_v2,
    "resnet50": resnet50,
    "yolo_neck": yolo_neck,
}
