"""A model for pictures of another size and number: the same network, with those sizes in its input."""

from __future__ import annotations

from pathlib import Path

import onnx


def resized(path: Path, out: Path, batch: int, size: int | None) -> Path:
    """Write the model at `path`, which takes one tensor (N, C, H, W), for `batch` pictures of that size; return `out`.

    size: height and width; None leaves height and width as they are.

    What the file says of sizes further on is left out: who reads it infers them.
    """
    model = onnx.load(str(path))
    (given,) = model.graph.input
    dims = given.type.tensor_type.shape.dim
    dims[0].dim_value = batch
    for dim in list(dims)[2:] if size is not None else ():
        dim.dim_value = size
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    onnx.save(model, str(out))
    return out
