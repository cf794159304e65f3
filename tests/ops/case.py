"""A case: a model of one node and its inputs; and the check that every case goes through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

import qdqnp
from qdqnp.element_types import plain_dtype
from qdqnp.executor.plan import accumulators
from tests.oracles import ort
from tests.oracles.integers import ACCUMULATORS, ORACLES
from tests.oracles.node import attributes, evaluate, operands

Array = NDArray[Any]
MS = "com.microsoft"


@dataclass(frozen=True)
class Case:
    """model: one node that makes 'y'. inputs: arrays of the graph's inputs."""

    model: onnx.ModelProto
    inputs: Mapping[str, Array] = field(default_factory=dict)

    def __str__(self) -> str:
        return onnx.printer.to_text(self.model)


def one_node(
    op: str,
    arguments: Sequence[tuple[str, Array] | None],
    feeds: Sequence[str] = ("x",),
    *,
    domain: str = "",
    opset: int = 17,
    output: Any = None,
    others: Sequence[str] = (),
    **attributes: Any,
) -> Case:
    """A case of one node. arguments: (name, array) in the node's order, None where an input is left out.

    feeds: which of them are graph inputs; the others are initializers. output: dtype of 'y', else the first
    argument's. others: names of the node's outputs behind 'y'. Attributes that are None are left out; a trailing
    underscore tells an attribute from a parameter here.
    """
    given = dict(item for item in arguments if item is not None)
    names = [item[0] if item is not None else "" for item in arguments]
    while names and not names[-1]:
        names.pop()
    kept = {name.rstrip("_"): value for name, value in attributes.items() if value is not None}
    node = helper.make_node(op, names, ["y", *others], name="node", domain=domain, **kept)
    kind = np.dtype(output) if output is not None else next(iter(given.values())).dtype
    graph = helper.make_graph(
        [node],
        "case",
        [_info(name, given[name].dtype, given[name].shape) for name in feeds],
        [_info("y", kind, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in given.items() if name not in feeds],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(MS, 1)])
    model.ir_version = 10
    return Case(model, {name: given[name] for name in feeds})


def _info(name: str, dtype: Any, shape: Sequence[int] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def computed(case: Case, strategy: str = "auto") -> Array:
    return qdqnp.load(case.model).run(case.inputs, strategy=strategy)["y"]


def expected(case: Case) -> Array:
    """By the integer oracle."""
    return evaluate(ORACLES, case.model, case.inputs)


def same(found: Array, wanted: Array) -> bool:
    """Equal in dtype, shape and every bit, but for the payloads of NaNs."""
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        return False
    if plain_dtype(found.dtype).kind != "f":
        return bool(np.array_equal(found, wanted))
    found, wanted = found.astype(np.float32), wanted.astype(np.float32)
    both = np.isnan(found) & np.isnan(wanted)
    return np.where(both, 0, found).tobytes() == np.where(both, 0, wanted).tobytes()


def assert_same(found: Array, wanted: Array, by: str, case: Case) -> None:
    if not same(found, wanted):
        inputs = {name: array.tolist() for name, array in case.inputs.items()}
        raise AssertionError(f"differs from {by}\nfound {found!r}\nwanted {wanted!r}\n{case}\ninputs {inputs}")


def check(case: Case) -> int:
    """qdqnp against the integer oracle and, where this CPU allows, against ONNX Runtime; the elements compared."""
    found = computed(case)
    assert qdqnp.load(case.model).program().tensors["y"].shape == found.shape
    assert_same(found, expected(case), "the integer oracle", case)
    if ort.comparable(case.model):
        assert_same(found, ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)
    return found.size


def check_bitwise(case: Case) -> int:
    """qdqnp against ONNX Runtime, where it can be compared, of operators that are promised; the elements compared."""
    assert qdqnp.load(case.model).plan("ort-unfused").promises["y"].exact
    found = computed(case)
    if ort.comparable(case.model):
        assert_same(found, ort.run(case.model, case.inputs)["y"], "ONNX Runtime", case)
    return found.size


def check_accumulators(case: Case) -> None:
    """The int32 accumulators of an operator that requantizes sums, against the integer oracle."""
    (node,) = case.model.graph.node
    model = qdqnp.load(case.model)
    plan, found = model.plan(), model.trace(case.inputs, accumulators=True).accumulators
    wanted = ACCUMULATORS[node.op_type](operands(case.model, case.inputs), attributes(case.model))
    assert accumulators(plan.steps[0], case.inputs).tolist() == wanted.tolist()
    assert found["y"].dtype == np.int32
    assert found["y"].tolist() == wanted.tolist()
