"""What ONNX Runtime computes on this machine, found out by running small models, not by reading CPU flags."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from qdqnp.quant import Array
from qdqnp.sources.ort_session import OFF, open_session, run_session

MICROSOFT = "com.microsoft"


def one_node(
    op: str,
    inputs: Mapping[str, Any],
    constant: tuple[str, ...] = (),
    domain: str = "",
    opset: int = 17,
    **attributes: Any,
) -> Array:
    """What onnxruntime, optimization off, computes for one node. inputs: by name in the node's order, None where left
    out; those in `constant` are initializers of the model. Raises PeerError where it refuses."""
    given = {name: np.asarray(array) for name, array in inputs.items() if array is not None}
    names = [name if array is not None else "" for name, array in inputs.items()]
    node = helper.make_node(op, names, ["y"], domain=domain, **attributes)
    fed = {name: array for name, array in given.items() if name not in constant}
    kinds = {name: helper.np_dtype_to_tensor_dtype(array.dtype) for name, array in given.items()}
    graph = helper.make_graph(
        [node], "probe",
        [helper.make_tensor_value_info(name, kinds[name], array.shape) for name, array in fed.items()],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(given[name], name) for name in constant],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return run_session(open_session(model.SerializeToString(), OFF, {}), ["y"], fed)[0]


@cache
def saturates() -> bool:
    """Whether uint8 x int8 products are added up in pairs that saturate to 16 bits, in any kernel."""
    return conv_saturates() or matmul_saturates()


@cache
def conv_saturates() -> bool:
    return _saturated("QLinearConv", np.full((1, 4, 4, 4), 255, np.uint8), np.full((4, 4, 1, 1), 127, np.int8))


@cache
def matmul_saturates() -> bool:
    return _saturated("QLinearMatMul", np.full((4, 4), 255, np.uint8), np.full((4, 4), 127, np.int8))


def _saturated(op: str, x: Array, w: Array) -> bool:
    """Every sum is 4 * 255 * 127 = 129,540, or 2 * 32,767 where pairs saturate; its code is a 1024th of it."""
    one, step, x_zero, w_zero = np.float32(1), np.float32(1024), np.uint8(0), np.int8(0)
    inputs: dict[str, Any] = {
        "x": x,
        "xs": one,
        "xz": x_zero,
        "w": w,
        "ws": one,
        "wz": w_zero,
        "ys": step,
        "yz": x_zero,
    }
    y = one_node(op, inputs, ("xs", "xz", "w", "ws", "wz", "ys", "yz"))
    return set(y.reshape(-1).tolist()) != {round(129_540 / 1024)}
