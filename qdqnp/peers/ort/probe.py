"""Find out what ONNX Runtime computes on this machine, by running small models and not by reading CPU flags."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from qdqnp.files.regular import read_bytes
from qdqnp.limits import MAX_FILE_BYTES
from qdqnp.numerics.rules.add import FixedAdd, FloatAdd
from qdqnp.numerics.rules.binary import BinaryRule
from qdqnp.numerics.rules.float_sum import MlasSums
from qdqnp.peers.ort.session import EXTENDED, OFF, open_session, run_session
from qdqnp.quant import Array, Quant

MICROSOFT = "com.microsoft"
EXACT, SATURATES, OTHER = "exact", "saturates in pairs", "neither"


def make_model(
    nodes: Sequence[onnx.NodeProto],
    fed: Mapping[str, Any],
    constants: Mapping[str, Any],
    outputs: Sequence[str],
    opset: int = 17,
) -> bytes:
    """Make a model of these nodes.

    nodes: the nodes.
    fed: arrays of the graph's inputs by name, for their types and shapes.
    constants: arrays of the initializers by name.
    outputs: names of the graph's outputs.
    opset: the version of the ONNX operators.
    """
    arrays = {name: np.asarray(value) for name, value in fed.items()}
    graph = helper.make_graph(
        nodes,
        "probe",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in arrays.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


def one_node(
    op: str, inputs: Mapping[str, Any], fed: Sequence[str] = ("x",), domain: str = "", **attributes: Any
) -> Array:
    """Return what onnxruntime, optimization off, computes for one node.

        op: the operator.
        inputs: arrays by name in the node's order.
        fed: which of the inputs are inputs of the model; the others are constants.
        domain: the operator's domain.
        attributes: the node's attributes.

    Raises PeerError where onnxruntime refuses the model.
    """
    node = helper.make_node(op, list(inputs), ["y"], domain=domain, **attributes)
    feeds = {name: np.asarray(value) for name, value in inputs.items() if name in fed}
    constants = {name: value for name, value in inputs.items() if name not in fed}
    model = make_model([node], feeds, constants, ["y"])
    return run_session(open_session(model, OFF, {}), ["y"], feeds)[0]


def optimized_operators(model: bytes, config: Mapping[str, str] | None = None) -> list[str]:
    """List the operators of the graph that a session at level EXTENDED runs. Raises PeerError where it refuses the
    model."""
    with tempfile.TemporaryDirectory(prefix="qdqnp-") as folder:
        path = Path(folder) / "optimized.onnx"
        open_session(model, EXTENDED, config or {}, save=path)
        optimized = onnx.load_model_from_string(read_bytes(path, MAX_FILE_BYTES))
        return [node.op_type for node in optimized.graph.node]


# -- sums of uint8 x int8 products -------------------------------------------------------------------------------------
@cache
def saturates() -> bool:
    """Return whether uint8 x int8 products are added up in pairs that saturate to 16 bits, in any kernel."""
    return SATURATES in (conv_sums(), matmul_sums())


@cache
def conv_sums() -> str:
    """Say how a convolution adds up: EXACT, SATURATES, or OTHER."""
    return _sums("QLinearConv", np.full((1, 4, 4, 4), 255, np.uint8), np.full((4, 4, 1, 1), 127, np.int8))


@cache
def matmul_sums() -> str:
    """Say how a matrix product adds up: EXACT, SATURATES, or OTHER."""
    return _sums("QLinearMatMul", np.full((4, 4), 255, np.uint8), np.full((4, 4), 127, np.int8))


def _sums(op: str, x: Array, w: Array) -> str:
    """Run sums that are 4 * 255 * 127 each, or 2 * 32,767 where pairs saturate; the code is a 1024th of the sum."""
    one, step, x_zero, w_zero = np.float32(1), np.float32(1024), np.uint8(0), np.int8(0)
    y = one_node(op, {"x": x, "xs": one, "xz": x_zero, "w": w, "ws": one, "wz": w_zero, "ys": step, "yz": x_zero})
    found = {round(4 * 255 * 127 / 1024): EXACT, round(2 * 32_767 / 1024): SATURATES}
    return found.get(int(y.flat[0]), OTHER) if len(set(y.flat)) == 1 else OTHER


# -- the other arithmetics ---------------------------------------------------------------------------------------------
@cache
def add_rule() -> str:
    """Say which rule QLinearAdd follows on all pairs of codes: 'ort', 'ort-arm64', or OTHER. The scales are decimal, so
    that sums meet exact ties, which is where the two rules differ."""
    quants = [
        Quant(np.dtype(np.int8), np.asarray(s, np.float32), np.asarray(z, np.int8))
        for s, z in ((0.05, 3), (0.03, -7), (0.02, 5))
    ]
    codes = np.arange(-128, 128).astype(np.int8)
    a, b = (np.ascontiguousarray(grid) for grid in np.meshgrid(codes, codes))
    (qa, qb, qy) = quants
    inputs = {
        "x": a,
        "as": qa.scale,
        "az": qa.zero_point,
        "b": b,
        "bs": qb.scale,
        "bz": qb.zero_point,
        "ys": qy.scale,
        "yz": qy.zero_point,
    }
    found = one_node("QLinearAdd", inputs, ("x", "b"), MICROSOFT)
    rules: dict[str, BinaryRule] = {"ort": FloatAdd(), "ort-arm64": FixedAdd()}
    return next((name for name, rule in rules.items() if np.array_equal(rule.bind(*quants)(a, b), found)), OTHER)


@cache
def float_sums_known() -> bool:
    """Return whether float32 convolutions are added up in the order of the profiles ort, ort-x64 and ort-unfused. Three
    are run: one with many output channels and pixels, one with a single pixel, one depthwise."""
    rng = np.random.default_rng(0)
    rule = MlasSums()
    for (channels, size), (filters, group) in (((300, 4), (6, 1)), ((300, 1), (7, 1)), ((5, 4), (5, 5))):
        x = rng.standard_normal((1, channels, size, size), dtype=np.float32)
        w = rng.standard_normal((filters, channels // group, 1, 1), dtype=np.float32)
        columns = x.reshape(group, channels // group, size * size)
        wanted = rule.conv(w.reshape(group, filters // group, channels // group), columns, size * size, False)
        found = one_node("Conv", {"x": x, "w": w}, ("x", "w"), group=group)
        if not np.array_equal(found.reshape(-1), wanted.reshape(-1)):
            return False
    return True


@cache
def int8_fuses_by_default() -> bool:
    """Return whether a session without settings makes integer operators of int8 tensors (ARM64), or leaves them float
    where they have several readers (x86-64)."""
    nodes = [
        *pair("x", "a"),
        helper.make_node("Add", ["a", "a"], ["s"]),
        *pair("s", "y"),
    ]
    return "QLinearAdd" in optimized_operators(make_model(nodes, {"x": np.zeros(4, np.float32)}, PAIR, ["y"]))


PAIR = {"scale": np.float32(0.05), "zero": np.int8(3)}


def pair(name: str, back: str) -> list[onnx.NodeProto]:
    """Make a QuantizeLinear and a DequantizeLinear with the parameters PAIR."""
    return [
        helper.make_node("QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"]),
        helper.make_node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [back]),
    ]


def computed_profiles() -> dict[str, str]:
    """Say for each profile of ONNX Runtime whether sessions here compute it: 'yes', 'no', or with which setting."""
    ours, signed = add_rule() == "ort" and float_sums_known(), int8_fuses_by_default()
    exact = "with session.x64quantprecision=1, where uint8 meets int8" if saturates() else "yes"
    return {
        "ort": exact if ours else "no",
        "ort-x64": exact if ours and not signed else "no",
        "ort-unfused": "yes" if ours else "no",
        "ort-avx2": "yes" if ours and not signed and saturates() else "no",
        "ort-arm64": "yes" if signed and add_rule() == "ort-arm64" else "no",
    }


def arithmetic() -> dict[str, str]:
    """Say in words what ONNX Runtime computes on this machine, by what was asked."""
    add = add_rule()
    known = "in the known order (profiles ort, ort-x64, ort-unfused)" if float_sums_known() else "in another"
    default = "integer operators" if int8_fuses_by_default() else "float where read several times"
    return {
        "uint8 x int8 sums of a convolution": conv_sums(),
        "uint8 x int8 sums of a matrix product": matmul_sums(),
        "QLinearAdd": f"as profile {add}" if add != OTHER else "as no profile",
        "float32 sums": known,
        "int8 in a default session": default,
    }
