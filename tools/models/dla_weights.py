"""Provide weights for a DLA network: taken from a checkpoint, or drawn from a seed and calibrated."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from rich.console import Console
from rich.progress import track

from qdqnp.errors import Problems
from qdqnp.inputs.pictures import Picture
from tools.models.calibration import preparation
from tools.models.checkpoints import CheckpointError, Weights
from tools.models.dla import INPUT, Architecture, Layer, describe, parameter_shapes, unused_projections
from tools.models.dla_onnx import check_size, layer_nodes, make_model


def classes_of(checkpoint: Weights, default: int = 1000) -> int:
    """Return the number of classes that a checkpoint was trained for."""
    classifier = checkpoint.get("fc.weight")
    return default if classifier is None or classifier.ndim == 0 else len(classifier)


def fit_checkpoint(checkpoint: Weights, architecture: Architecture, classes: int) -> Weights:
    """Return the float32 weights of `architecture` from a checkpoint, or raise one error that lists all that is wrong.

    Checkpoints of the authors' code and of timm have the same tensor names. Other tensors are left out: projections
    that are never used, and the batches that PyTorch counted in training.
    """
    shapes = parameter_shapes(describe(architecture, classes))
    spare = tuple(unused_projections(architecture))
    given = {
        name: value
        for name, value in checkpoint.items()
        if not name.startswith(spare) and not name.endswith(".num_batches_tracked")
    }
    if "fc.weight" in given and given["fc.weight"].ndim == 2:  # a classifier that was saved as a linear layer
        given["fc.weight"] = given["fc.weight"][:, :, None, None]
    _check_fit(given, shapes, architecture)
    return {name: given[name].astype(np.float32) for name in shapes}


def _check_fit(given: Weights, shapes: dict[str, tuple[int, ...]], architecture: Architecture) -> None:
    problems = Problems()
    for name, shape in shapes.items():
        if name not in given:
            problems.add(name, f"a tensor of shape {shape}", "no such key (missing)")
        elif given[name].shape != shape:
            hint = "Pass --classes with the checkpoint's number of classes." if name.startswith("fc.") else ""
            problems.add(name, f"shape {shape}", f"shape {given[name].shape}", hint)
        elif not np.issubdtype(given[name].dtype, np.floating):
            problems.add(name, "floating-point numbers", given[name].dtype)
        elif not np.isfinite(given[name]).all():
            problems.add(name, "finite numbers", "NaN or infinity among them")
    for name in given:
        if name not in shapes:
            problems.add(name, "no such key", f"a tensor of shape {given[name].shape} (unexpected)")
    problems.raise_if_any(f"The checkpoint does not fit {architecture.name}", CheckpointError)


def seeded_weights(
    architecture: Architecture, classes: int, seed: int, pictures: Sequence[Picture], size: tuple[int, int]
) -> Weights:
    """Draw random weights from `seed` and calibrate them on `pictures`, so that activations do not vanish.

    The pictures are prepared as for ImageNet networks: their centre of (height, width) `size`, normalized.
    """
    check_size(size)
    prepare = preparation(crop=size)
    batch = np.concatenate([prepare(picture) for picture in pictures])
    layers = describe(architecture, classes)
    drawn = {name: _draw(name, shape, seed) for name, shape in parameter_shapes(layers).items()}
    # What a block adds is weaker than its shortcut, as in trained networks. Were both alike, each block would
    # amplify the rounding of the ones before it, and the scores of a quantized network would be mostly noise.
    for layer in layers:
        if layer.op == "Add":
            drawn[f"{layer.inputs[0]}.weight"] *= np.float32(0.4)
    return calibrate_norms(layers, drawn, batch)


def _draw(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    # Every tensor has its own generator, so that it does not depend on which others there are.
    random = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if len(shape) == 4:  # He et al., 2015: the variance of a ReLU network survives the layer
        drawn = random.normal(scale=np.sqrt(2 / np.prod(shape[1:])), size=shape)
    elif name.endswith(".weight"):  # of BatchNormalization: channels differ in range, as trained ones do
        drawn = random.uniform(0.5, 1.5, shape)
    else:
        drawn = random.normal(scale=0.25, size=shape)
    return drawn.astype(np.float32)


def calibrate_norms(layers: Sequence[Layer], weights: Weights, batch: NDArray[np.float32]) -> Weights:
    """Return `weights` with the statistics of each BatchNormalization set to those of its input on `batch`.

    The tape runs layer by layer, so that each layer sees the output of the layers before it, which are calibrated
    already. Without this, random weights let activations vanish or explode over 50 layers. `batch` is the preprocessed
    input, float32 (pictures, 3, height, width).
    """
    weights = dict(weights)
    tensors = {INPUT: batch}
    readers = Counter(name for layer in layers for name in layer.inputs)
    for layer in track(layers, "setting statistics", console=Console(stderr=True), transient=True):
        first, *norm = layer_nodes(layer)
        result = _run_node(first, weights | tensors)
        if norm:
            weights[f"{layer.output}.running_mean"] = result.mean((0, 2, 3), np.float64).astype(np.float32)
            weights[f"{layer.output}.running_var"] = result.var((0, 2, 3), np.float64).astype(np.float32)
            result = _run_node(norm[0], weights | {layer.name: result})
        tensors[layer.output] = result
        readers.subtract(layer.inputs)
        for name in set(layer.inputs):
            if readers[name] == 0:
                del tensors[name]
    return weights


def _run_node(node: onnx.NodeProto, tensors: Weights) -> NDArray[np.float32]:
    """Compute the output of one node with onnxruntime; `tensors` has its inputs by name."""
    import onnxruntime

    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in node.input]
    output = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
    model = make_model(helper.make_graph([node], "node", inputs, [output]))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {name: tensors[name] for name in node.input})
    return result
