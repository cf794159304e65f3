"""ONNX Runtime as an oracle: a model as it is written, with no optimization, on one thread."""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

Array = NDArray[Any]


def run(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs by name. onnxruntime's own exceptions where it refuses the model or the feeds."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    # asarray, because onnxruntime refuses NumPy scalars
    found = session.run(names, {name: np.asarray(array) for name, array in feeds.items()})
    return dict(zip(names, (np.asarray(array) for array in found), strict=True))


def comparable(model: onnx.ModelProto) -> bool:
    """Whether this CPU's ONNX Runtime computes what qdqnp stands for.

    That arithmetic is x86-64's. Without VNNI, pairs of uint8 x int8 products saturate to int16 there.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    return _sums_are_exact() or not _mixes_signs(model)


def _mixes_signs(model: onnx.ModelProto) -> bool:
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    kinds |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    return any(
        {kinds.get(node.input[0]), kinds.get(node.input[3])} == {onnx.TensorProto.UINT8, onnx.TensorProto.INT8}
        for node in model.graph.node
        if node.op_type in ("QLinearConv", "QLinearMatMul", "QGemm")
    )


@functools.cache
def _sums_are_exact() -> bool:
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "vnni" in info
