"""Build the float networks that styles.py quantizes: those of zoo_nets.py, and two that vision models have beside them.

attention  embeds patches, LayerNormalization, attention with a symbolic batch, Erf's Gelu (vision transformers)
neck       concatenated pools, upsampling, Concat, a head that scales its boxes (detectors)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx

from tools.models.dla import INPUT
from tools.models.zoo_nets import IMAGE, Net, mlp, residual, shuffle

PATCH = 8
WIDTH, HEADS = 16, 2


def linear(net: Net, x: str, out: int) -> str:
    return net.node("Add", net.matmul(x, out), net.bias(out))


def normalized(net: Net, x: str) -> str:
    scale = net.constant(np.ones(net.channels[x], np.float32))
    return net.node("LayerNormalization", x, scale, net.bias(net.channels[x]), axis=-1)


def scalar(net: Net, value: float) -> str:
    return net.constant(np.array(value, np.float32))


def gelu(net: Net, x: str) -> str:
    """Compute x (1 + erf(x / sqrt 2)) / 2 by the five nodes that torch exports."""
    erf = net.node("Erf", net.node("Div", x, scalar(net, float(np.sqrt(2)))))
    return net.node("Mul", net.node("Mul", x, net.node("Add", erf, scalar(net, 1))), scalar(net, 0.5))


def shaped_like(net: Net, x: str, *sizes: int) -> str:
    """Return the shape (batch of x, sizes), computed from x's own, as exporters write it for a symbolic batch."""
    batch = net.node("Gather", net.node("Shape", x), net.constant(np.array(0)), axis=0)
    return net.node("Concat", net.node("Unsqueeze", batch, net.ints(0)), net.ints(*sizes), axis=0)


def heads(net: Net, x: str, perm: list[int]) -> str:
    split = net.node("Reshape", x, shaped_like(net, x, -1, HEADS, WIDTH // HEADS))
    return net.node("Transpose", split, perm=perm)


def attention(seed: int = 0) -> onnx.ModelProto:
    """Build one block of a vision transformer; the batch is symbolic."""
    net = Net(seed)
    weights = net.weights(WIDTH, IMAGE[0], PATCH, PATCH, fan_in=IMAGE[0] * PATCH * PATCH)
    stem = {"kernel_shape": [PATCH] * 2, "strides": [PATCH] * 2}
    patches = net.node("Conv", INPUT, weights, net.bias(WIDTH), channels=WIDTH, **stem)
    x = net.node("Transpose", net.node("Reshape", patches, shaped_like(net, patches, WIDTH, -1)), perm=[0, 2, 1])
    y = normalized(net, x)
    query, key, value = (linear(net, y, WIDTH) for _ in range(3))
    scores = net.node("MatMul", heads(net, query, [0, 2, 1, 3]), heads(net, key, [0, 2, 3, 1]))
    scaled = net.node("Mul", scores, scalar(net, (WIDTH / HEADS) ** -0.5))
    mixed = net.node("MatMul", net.node("Softmax", scaled, axis=-1), heads(net, value, [0, 2, 1, 3]))
    joined = net.node("Transpose", mixed, perm=[0, 2, 1, 3], channels=WIDTH)
    x = net.node("Add", x, linear(net, net.node("Reshape", joined, shaped_like(net, joined, -1, WIDTH)), WIDTH))
    x = net.node("Add", x, linear(net, gelu(net, linear(net, normalized(net, x), 2 * WIDTH)), WIDTH))
    pooled = net.node("ReduceMean", x, axes=[1], keepdims=0)
    return net.model("attention", net.gemm(pooled, 10), ("N", *IMAGE))


def silu(net: Net, x: str) -> str:
    return net.node("Mul", x, net.node("Sigmoid", x))


def neck(seed: int = 0) -> onnx.ModelProto:
    """Build the neck and head of a detector."""
    net = Net(seed)
    fine = silu(net, net.conv(INPUT, 16, kernel=3, stride=2))
    coarse = silu(net, net.conv(fine, 16, kernel=3, stride=2))
    pooled = [coarse]
    for _ in range(2):
        pooled.append(net.node("MaxPool", pooled[-1], kernel_shape=[5, 5], pads=[2] * 4))
    x = net.conv(net.node("Concat", *pooled, channels=48, axis=1), 16)
    scales = net.constant(np.array([1, 1, 2, 2], np.float32))
    upsampled = net.node("Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric")
    x = silu(net, net.conv(net.node("Concat", upsampled, fine, channels=32, axis=1), 20))
    boxes = net.node("Sigmoid", net.node("Reshape", x, net.ints(1, 20, -1)))
    centres = net.node("Slice", boxes, net.ints(0), net.ints(2), net.ints(1), channels=2)
    others = net.node("Slice", boxes, net.ints(2), net.ints(20), net.ints(1), channels=18)
    centres = net.node("Sub", net.node("Mul", centres, scalar(net, 2)), scalar(net, 0.5))
    joined = net.node("Concat", centres, others, channels=20, axis=1)
    return net.model("neck", net.node("ReduceMax", joined, axes=[2], keepdims=0), (1, *IMAGE))


NETWORKS: Mapping[str, Callable[[int], onnx.ModelProto]] = {
    "residual": residual,
    "shuffle": shuffle,
    "mlp": mlp,
    "attention": attention,
    "neck": neck,
}
