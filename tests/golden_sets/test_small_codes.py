"""Golden sets of 4-bit codes: one code is one byte of int8, as in a device's dump of them."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.dump import read_dump
from qdqnp.diagnosis.dump_writer import write_dump
from qdqnp.diagnosis.reference import reference_from
from qdqnp.golden_sets import Options, write
from qdqnp.golden_sets.reading import read
from qdqnp.inputs.random_inputs import random_feeds
from qdqnp.model import load


def four_bits() -> bytes:
    """x -> Q -> DQ -> Q, of int4."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Neg", ["d"], ["n"]),
        helper.make_node("QuantizeLinear", ["n", "s", "z"], ["y"]),
    ]
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 9])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.INT4, [4, 9])]
    constants = [numpy_helper.from_array(np.float32(0.3), "s")]
    constants.append(numpy_helper.from_array(np.array(1, ml_dtypes.int4), "z"))
    graph = helper.make_graph(nodes, "net", infos, outputs, constants)
    opsets = [helper.make_opsetid("", 21)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())


def test_a_set_is_written_read_and_compared(tmp_path: Path) -> None:
    source = four_bits()
    model = load(source)
    feeds = list(random_feeds(model.program(), 2, seed=0))
    write(tmp_path / "set", source, feeds, 2, profile="ort-unfused", options=Options())
    golden = read(tmp_path / "set")
    stored = [tensor for tensor in golden.tensors if tensor.name == "q" and tensor.role == "output"]
    assert [tensor.dtype for tensor in stored] == ["int8"]
    made = [model.trace(given, profile="ort-unfused") for given in feeds]
    assert made[0]["q"].dtype == ml_dtypes.int4
    assert golden.array(stored[0], 0).tolist() == made[0]["q"].astype(int).tolist()
    as_int8 = {name: [case[name].astype(np.int8) for case in made] for name in ("q", "y")}
    write_dump(tmp_path / "dump", as_int8)
    reference = reference_from(tmp_path / "set")
    report = compare(reference, align(read_dump(tmp_path / "dump"), reference.targets, 2))
    assert len(report.rows) >= 2 and report.equal and report.exit_code == 0
