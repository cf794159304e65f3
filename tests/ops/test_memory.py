"""No operator takes more memory for each element than it declares: the bound on what a run may need rests on it."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Mapping

import numpy as np
import onnx
import pytest

import qdqnp
from qdqnp.executor.fast.sums import FastSums
from qdqnp.executor.work import shapes_of
from qdqnp.ops.geometry.conv import conv_weights
from qdqnp.quant import Quant
from tests.memory import peak_memory
from tests.networks import Builder
from tests.ops.case import Case, one_node
from tests.ops.cases import CASES, Generator
from tests.ops.cases.device import DEVICE_CASES
from tests.ops.cases.floats import BITWISE, CLOSE
from tests.ops.cases.indexed import INDEXED, with_indices_fed

GENERATORS: Mapping[str, Generator] = {
    **CASES,
    **DEVICE_CASES,
    **{f"float {name}": make for name, make in {**BITWISE, **CLOSE}.items()},
    "float MaxUnpool": with_indices_fed(INDEXED["MaxUnpool"]),
}
#: Elements of the smaller of two inputs; the other has four times as many, so that what is always taken does not count.
ELEMENTS = 2**12
CASES_EACH = 3
#: Operators that take long for each element; they get an eighth of the elements, and one case.
SLOW = ("float Attention", "float ConvTranspose", "float DynamicQuantizeLSTM", "float QAttention")


def grown(case: Case, times: int) -> Case | None:
    """The case with its inputs repeated along the first axis; None where the model does not take that."""
    if not case.inputs or any(array.ndim == 0 or array.size == 0 for array in case.inputs.values()):
        return None
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for declared in model.graph.input:
        declared.type.tensor_type.shape.dim[0].dim_param = f"N of {declared.name}"
    made = Case(model, {name: np.concatenate([array] * times) for name, array in case.inputs.items()})
    try:
        plan = qdqnp.load(model).plan()
        plan.admit({name: array.shape for name, array in made.inputs.items()})
    except qdqnp.QdqnpError:
        return None
    return made


def peak(case: Case) -> tuple[int, float]:
    """Bytes that a run takes at its peak, and what the step's elements are declared to take."""
    model = qdqnp.load(case.model)
    plan = model.plan()
    shapes = plan.shapes({name: array.shape for name, array in case.inputs.items()})
    declared = 0.0
    for bound in plan.steps:
        handled = sum(math.prod(shapes[name]) for name in (*bound.step.input_names, *bound.step.output_names))
        handled += bound.operator.work(bound.step.attributes, *shapes_of(bound.step, shapes))
        declared += handled * bound.operator.bytes_per_element
    with peak_memory() as found:
        model.run(case.inputs)
    return found(), declared


#: Cases whose inputs say sizes, so that more of them is no more of anything.
OF_SIZES = ("float ConstantOfShape", "float Range")


@pytest.mark.parametrize("name", [name for name in GENERATORS if name not in OF_SIZES])
def test_memory_grows_no_faster_than_declared(name: str) -> None:
    compared, elements, each = 0, *((ELEMENTS // 8, 1) if name in SLOW else (ELEMENTS, CASES_EACH))
    for seed in range(200):
        case = GENERATORS[name](np.random.default_rng(seed))
        times = math.ceil(elements / max((array.size for array in case.inputs.values()), default=1))
        small, large = grown(case, times), grown(case, 4 * times)
        if small is None or large is None:
            continue
        (few, declared_few), (many, declared_many) = peak(small), peak(large)
        assert many - few <= declared_many - declared_few, (name, seed, (many - few) / (declared_many - declared_few))
        compared += 1
        if compared == each:
            return
    assert compared, "no case that can grow"


X = np.ones((1, 3), np.float32)
#: Nodes that have nothing to compute: NumPy gives a view of the input.
IDLE = {
    "idle ReduceSum": one_node("ReduceSum", [("x", X)], noop_with_empty_axes=1),
    "idle ReduceProd": one_node("ReduceProd", [("x", X)], opset=18, noop_with_empty_axes=1),
    "idle Einsum": one_node("Einsum", [("x", X)], equation="kj->jk"),
    "idle GatherND": one_node("GatherND", [("x", X), ("i", np.array([0]))]),
}


def test_what_a_run_returns_shares_no_memory() -> None:
    """Else a tensor would change with an input or with another tensor."""
    cases = {name: [make(np.random.default_rng(seed)) for seed in range(3)] for name, make in GENERATORS.items()}
    for name, each in [*cases.items(), *((name, [case]) for name, case in IDLE.items())]:
        for case in each:
            model = qdqnp.load(case.model)
            with contextlib.suppress(qdqnp.QdqnpError):  # as of a division by zero
                returned = [*model.trace(case.inputs).values(), *model.run(case.inputs).values()]
                for one, other in itertools.combinations(returned, 2):
                    assert not np.may_share_memory(one, other), name
                assert not any(np.may_share_memory(a, b) for a in returned for b in case.inputs.values()), name


def test_weights_of_a_convolution_are_made_of_codes_in_one_array() -> None:
    """int64, of which a network's largest layer has megabytes."""
    kernel = np.zeros((256, 256, 3, 3), np.int8)
    quant = Quant(np.dtype(np.int8), np.ones(256, np.float32), np.zeros(256, np.int8), 0)
    with peak_memory() as peak:
        made = conv_weights(kernel, quant, 1).centered
    assert made.nbytes <= peak() < 1.5 * made.nbytes


def test_weights_of_a_product_are_made_without_wide_integers() -> None:
    """float32 of int16, in the first run of a step alone; of int64 it would take twice as much at its peak."""
    net = Builder(1)
    proto = net.model(net.conv(net.quantized("input", 512, 1.0), 512), [1, 512, 1, 1])
    layers = [bound.kernel.layer for bound in qdqnp.load(proto).plan().steps if isinstance(bound.kernel, FastSums)]
    (weights,) = (layer.weights for layer in layers if layer is not None)
    with peak_memory() as peak:
        size = weights.array.nbytes
    assert size == 4 * 512 * 512
    assert 1.4 * size < peak() < 2.2 * size


@pytest.mark.parametrize("count", [2**14, 2**16])
def test_what_is_filled_in_takes_no_more_than_declared(count: int) -> None:
    """ConstantOfShape and Range make as much as an input says."""
    for op, values in (("ConstantOfShape", [count]), ("Range", [0, count, 1])):
        names = [f"n{index}" for index in range(len(values))]
        dims = (np.array([value] if op == "ConstantOfShape" else value, np.int64) for value in values)
        case = one_node(op, list(zip(names, dims, strict=True)), names, output=np.float32 if len(names) == 1 else None)
        qdqnp.load(case.model).run(case.inputs)  # what a process does once
        with peak_memory() as peak:
            made = qdqnp.load(case.model).run(case.inputs)["y"]
        assert peak() < 2**20 + 32 * made.size
