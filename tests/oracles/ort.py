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
    small = {info.name: info.type.tensor_type.elem_type for info in model.graph.output if _is_small(info)}
    feeds = dict(feeds)
    model = _in_numpy_s_types(model, feeds, small)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    # asarray, because onnxruntime refuses NumPy scalars
    found = session.run(names, {name: np.asarray(array) for name, array in feeds.items()})
    made = dict(zip(names, (np.asarray(array) for array in found), strict=True))
    return {
        name: array.astype(onnx.helper.tensor_dtype_to_np_dtype(small[name])) if name in small else array
        for name, array in made.items()
    }


def _is_small(info: onnx.ValueInfoProto) -> bool:
    kind = info.type.tensor_type.elem_type  # 0 where the output has no type
    return kind != 0 and onnx.helper.tensor_dtype_to_np_dtype(kind) not in NUMPY_S


NUMPY_S = tuple(np.dtype(code) for code in "?bBhHiIqQefdU")


def _in_numpy_s_types(model: onnx.ModelProto, feeds: dict[str, Array], small: Mapping[str, int]) -> onnx.ModelProto:
    """The model with inputs of types that onnxruntime does not take from NumPy as initializers, and outputs of such
    types as float32, which holds their values; `feeds` loses the former."""
    if not small and all(array.dtype in NUMPY_S for array in feeds.values()):
        return model
    model = onnx.ModelProto.FromString(model.SerializeToString())
    graph = model.graph
    for name in [name for name, array in feeds.items() if array.dtype not in NUMPY_S]:
        graph.initializer.append(onnx.numpy_helper.from_array(feeds.pop(name), name))
        graph.input.remove(next(info for info in graph.input if info.name == name))
    for node in graph.node:
        for at, name in enumerate(node.output):
            if name in small:
                node.output[at] = f"{name}_small"
    opset = next(item for item in model.opset_import if item.domain == "")
    opset.version = max(opset.version, 25 if set(small.values()) & {25, 26} else 21 if small else 0)
    for name in small:
        graph.node.append(onnx.helper.make_node("Cast", [f"{name}_small"], [name], to=1))
        next(info for info in graph.output if info.name == name).type.tensor_type.elem_type = 1
    return model


def comparable(model: onnx.ModelProto) -> bool:
    """Whether this CPU's ONNX Runtime computes what qdqnp stands for.

    That arithmetic is x86-64's. Without VNNI, pairs of uint8 x int8 products saturate to int16 there; without AVX512,
    products of blocks are added up in other lanes.
    """
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    if (
        any(node.op_type in ("MatMulNBits", "Attention", "QAttention") for node in model.graph.node)
        and not has_avx512_vnni()
    ):
        return False
    return _sums_are_exact() or not _mixes_signs(model)


#: Those whose codes have one type each, whatever their place among the inputs.
INTEGER_PRODUCTS = {
    "MatMulInteger",
    "ConvInteger",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
    "QAttention",
    "DynamicQuantizeLSTM",
}


def _mixes_signs(model: onnx.ModelProto) -> bool:
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    kinds |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    if any(node.op_type in INTEGER_PRODUCTS for node in model.graph.node):
        return True
    return any(
        {kinds.get(node.input[0]), kinds.get(node.input[3])} == {onnx.TensorProto.UINT8, onnx.TensorProto.INT8}
        for node in model.graph.node
        if node.op_type in ("QLinearConv", "QLinearMatMul", "QGemm")
    )


def has_avx512_vnni() -> bool:
    return "avx512_vnni" in cpu_flags()


def _sums_are_exact() -> bool:
    return "vnni" in cpu_flags()


@functools.cache
def cpu_flags() -> str:
    """What Linux tells of the CPU; '' where it does not."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
