"""compare on real tensors: any float32 is a value, infinities and NaN too; bits tell what differs."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import qdqnp
from qdqnp.diagnosis.align import align
from qdqnp.diagnosis.compare.compare import compare
from qdqnp.diagnosis.compare.report import CompareReport
from qdqnp.diagnosis.compare.status import EQUAL
from qdqnp.diagnosis.dump import Dump, DumpEntry
from qdqnp.diagnosis.faults import extent
from qdqnp.diagnosis.replay import Reference
from qdqnp.diagnosis.tally import same
from qdqnp.numerics.profiles import PROFILES
from qdqnp.quant import Array

LAYERS = ("big", "infinite", "nan", "last")


def reference() -> Reference:
    """A chain that passes 2^62, reaches infinity and becomes NaN in some elements; x has rows of 5."""
    nodes = [
        helper.make_node("Mul", ["x", "x"], ["big"]),
        helper.make_node("Mul", ["big", "big"], ["infinite"]),
        helper.make_node("Sub", ["infinite", "infinite"], ["nan"]),
        helper.make_node("Add", ["nan", "one"], ["last"]),
    ]
    info = helper.make_tensor_value_info
    outputs = [info(name, TensorProto.FLOAT, [1, 8, 5]) for name in ("last",)]
    one = numpy_helper.from_array(np.float32(1), "one")
    graph = helper.make_graph(nodes, "g", [info("x", TensorProto.FLOAT, [1, 8, 5])], outputs, [one])
    model = qdqnp.load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9))
    x = np.linspace(-9e10, 9e10, 40, dtype=np.float32).reshape(1, 8, 5)
    x[0, 3] = 0.3
    return Reference(model, PROFILES["ort"], [{"x": x}])


def report(changed: dict[str, Array] | None = None) -> CompareReport:
    found = reference()
    given = {**{name: found.cases[0][name] for name in LAYERS}, **(changed or {})}
    dump = Dump(Path("dump"), tuple(DumpEntry(name, array) for name, array in given.items()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return compare(found, align(dump, found.targets, 1))


def test_a_right_dump_with_infinities_and_nan_is_equal() -> None:
    values = reference().cases[0]
    assert values["big"].max() > 2**62 and np.isinf(values["infinite"]).any() and np.isnan(values["nan"]).any()
    found = report()
    assert found.equal and [row.status for row in found.rows] == [EQUAL] * len(LAYERS)


@pytest.mark.parametrize("name", LAYERS)
def test_one_wrong_element_is_one_wrong_layer(name: str) -> None:
    wrong = reference().cases[0][name].copy()
    wrong[0, 3, 2] += 1
    found = report({name: wrong})
    own = {row.name: row.single.differing for row in found.rows if row.single.differing}
    assert own[name] == 1 and not found.equal and not any(row.failed for row in found.rows)


def test_nan_and_infinity_for_a_value_are_differences() -> None:
    for value in (np.nan, np.inf, -np.inf):
        wrong = reference().cases[0]["big"].copy()
        wrong[0, 3, 2] = value
        assert not report({"big": wrong}).equal


def test_doubles_beyond_float32_are_read_as_infinity() -> None:
    wrong = reference().cases[0]["big"].astype(np.float64)
    wrong[0, 3, 2] = 1e300
    assert not report({"big": wrong}).equal


def test_padded_rows_of_reals_are_compared_as_reals() -> None:
    """Infinities and NaN have no integers; 0.3 and 0.7 have the same one."""
    want = np.full((8, 5), 0.3, np.float32)
    want[0, 0], want[1, 1] = np.inf, np.nan
    buffer = np.zeros((8, 8), np.float32)
    buffer[:, :5] = want
    got = buffer.reshape(-1)[: want.size]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert extent._padded(want, got, 8)
        assert not extent._padded(want, np.where(got == np.float32(0.3), np.float32(0.7), got), 8)


def test_same() -> None:
    a = np.float32([0.0, 1, np.nan, np.inf])
    assert same(a, a.copy()) and same(a, np.float32([-0.0, 1, np.nan, np.inf]))
    assert not same(a, np.float32([0, 1, np.nan, -np.inf])) and not same(a, a.reshape(2, 2))
    assert same(np.int8([1, -1]), np.array([1, -1])) and not same(np.int8([1]), np.int8([2]))
